#pragma once
/// @file
/// `runtime`: the workers, and the fibers that run on them.

#include <weft/runtime/detail/sigint.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/options.hpp>
#include <weft/runtime/spawn.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace weft::inline v0 {

class runtime;

namespace detail {

struct runtime_insight;
/// @throws deadlock  if all fibers of `rt` have been cancelled since the last call, because they waited for good
void throw_if_deadlocked(runtime const& rt);

/// A caller from outside on its way into a runtime, which is not taken down meanwhile.
class admission {
public:
  /// @throws runtime_stopped
  explicit admission(scheduler& home);
  admission(admission const&) = delete;
  ~admission();
  [[nodiscard]] scheduler* home() const noexcept { return &home_; }

private:
  scheduler& home_;
};

}  // namespace detail

/// Runs fibers on OS threads of its own. An ordinary object: several may live at once, and each may be stopped and
/// started again. In a child process made by fork while a runtime runs, all of weft fails: it may exec or exit.
/// @par Thread safety
/// All members may be called from any thread or fiber at once, except start(), shutdown() and destruction, which one
/// party does at a time.
class runtime {
public:
  /// Starts the workers.
  /// @throws std::invalid_argument  for options out of range, saying which
  /// @throws std::system_error, std::bad_alloc  if a thread or an event loop cannot be had, or memory; nothing is left
  ///   behind
  /// @throws std::system_error (not_supported)  if the calling thread has a hardware shadow stack
  /// @throws what `on_worker_start` throws; nothing is left behind
  explicit runtime(runtime_options options = {});
  runtime(runtime const&) = delete;
  runtime& operator=(runtime const&) = delete;
  /// shutdown() without limit, with a report every five seconds of the fibers that it waits for. Aborts when called on
  /// one of the runtime's own fibers, or within a call that one has offloaded: it would wait for itself.
  ~runtime();

  /// Starts the workers again after shutdown().
  /// @throws error  if they run; otherwise as the constructor
  void start();

  /// Stops admission, cancels all fibers with reason shutdown, waits until they have ended or `limit` has passed, and
  /// stops the workers. From a fiber of another runtime only that fiber waits.
  /// @returns false if fibers remain at the limit: `on_shutdown_report` is told which, the workers go on, and the call
  /// may be repeated.
  template <class Rep, class Period>
  [[nodiscard]] bool shutdown(std::chrono::duration<Rep, Period> limit) {
    return stop(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same without limit; `on_shutdown_report` is told every five seconds which fibers remain.
  /// @throws error  within a call that one of the runtime's own fibers has offloaded: it would wait for itself
  void shutdown() { (void)stop(never); }

  /// Runs `f()` as a fiber and waits for it; only the caller waits, be it fiber or thread.
  /// @returns what it returns, or throws what it throws
  /// @throws runtime_stopped  when the runtime is not running; otherwise as weft::spawn() and task::get()
  /// @throws deadlock  see `runtime_options::debug`
  template <class F>
    requires spawnable<F>
  detail::spawn_result<F> run(F&& f) {
    auto task = spawn(std::forward<F>(f));
    task.wait();
    detail::throw_if_deadlocked(*this);
    return task.get();
  }

  /// weft::spawn() into this runtime, from anywhere.
  template <class F, class... Args>
    requires spawnable<F, Args...>
  [[gnu::always_inline]] task<detail::spawn_result<F, Args...>> spawn(F&& f, Args&&... args) {
    detail::admission const entry = admit();
    return detail::spawn_in(entry.home(), nullptr, std::forward<F>(f), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires spawnable<F, Args...>
  [[gnu::always_inline]] task<detail::spawn_result<F, Args...>> spawn(spawn_options const& options, F&& f,
                                                                      Args&&... args) {
    detail::admission const entry = admit();
    return detail::spawn_in(entry.home(), &options, std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// Runs `f(args...)` as a fiber of this runtime, from anywhere, and keeps no handle. What it returns is dropped; what
  /// it throws goes to `on_unhandled_exception`. Does not wait.
  /// @throws as spawn(); runtime_stopped  when the runtime is not running
  template <class F, class... Args>
    requires spawnable<F, Args...>
  void post(F&& f, Args&&... args) {
    spawn_options options;
    options.detached = true;
    options.where = {};  // not here
    (void)spawn(options, std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// For a guest (see `runtime_options::guest`): runs the fibers that are ready, timers that are due and descriptors
  /// that can be served, on the calling thread, and returns when nothing is ready, or some time after `limit`: a fiber
  /// that does not wait is not interrupted. One thread at a time, not always the same. Whoever waits for a guest's task
  /// from a thread (run(), task::get() and the like) does the same until the task has ended, as long as no other
  /// thread does.
  /// @returns whether more is ready, so that it should be called again soon
  /// @throws error  for a runtime that is no guest, on a fiber, and while another thread is in it; runtime_stopped
  bool poll_once(std::chrono::nanoseconds limit = std::chrono::milliseconds{1});
  /// A descriptor that is readable when poll_once() has something to do, for the loop that the guest lives in. To be
  /// waited for, not read; the runtime's own, until it is stopped.
  /// @throws error  for a runtime that is no guest; runtime_stopped
  [[nodiscard]] int wake_fd() const;

  /// How many workers there are, running or not.
  [[nodiscard]] std::size_t workers() const noexcept;
  /// Fibers that have been spawned and have not ended. A snapshot.
  [[nodiscard]] std::size_t live_fibers() const noexcept;
  /// weft::all_tasks() of this runtime, from anywhere; none when it is stopped. Spawning from outside waits meanwhile.
  [[nodiscard]] std::vector<task_info> all_tasks() const;
  /// weft::dump() of this runtime, from anywhere.
  void dump(std::ostream& to) const;
  /// What it has done since it was started, and what is there now.
  [[nodiscard]] runtime_stats stats() const;
  /// With `runtime_options::measure_stacks`: how deep the stacks of the fibers got that have ended since the runtime
  /// was started, the deepest first. Empty without, and when it is stopped.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<weft::stack_usage> stack_usage() const;
  /// Gives the memory of idle stacks back to the system at once, whatever `runtime_options::stack_release` says, except
  /// for one page each and for the few that each worker has at hand. Takes about a microsecond for each stack that was
  /// used; fibers go on running meanwhile. Not a cancellation point.
  /// @returns bytes given back
  std::size_t release_stacks() const;

private:
  friend struct detail::runtime_insight;
  friend void detail::throw_if_deadlocked(runtime const& rt);
  detail::admission admit() const;
  bool stop(time_point deadline);

  runtime_options options_;
  mutable std::mutex mutex_;                      // guards the pointer, not what it points to
  std::unique_ptr<detail::scheduler> scheduler_;  // null: stopped
};

namespace detail {
/// @throws error  inside a fiber
void check_run_outside();
}  // namespace detail

/// Makes a runtime, runs `f()` in it as a fiber, cancels and joins what `f` left behind, and returns or throws what `f`
/// did. The calling thread sleeps meanwhile. The first SIGINT cancels `f` (see `runtime_options::handle_sigint`), which
/// then mostly ends with `cancelled`. Several threads may run at once; a signal is for all of them.
/// @throws error  inside a fiber: call `f` itself there, or spawn it; otherwise as runtime's constructor and run()
template <class F>
  requires spawnable<F>
detail::spawn_result<F> run(F&& f, runtime_options options = {}) {
  detail::check_run_outside();
  // Until what `f` left behind has ended, too. A guest's caller runs its fibers, and cannot sleep for a signal.
  detail::sigint_scope signals{options.handle_sigint && !options.guest};
  runtime rt{std::move(options)};
  auto task = rt.spawn(std::forward<F>(f));
  signals.wait_for(task);
  task.wait();
  detail::throw_if_deadlocked(rt);
  return task.get();
}

}  // namespace weft::inline v0
