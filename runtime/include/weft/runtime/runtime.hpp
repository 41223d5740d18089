#pragma once
/// @file
/// `runtime`: the workers, and the fibers that run on them.

#include <weft/runtime/options.hpp>
#include <weft/runtime/spawn.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace weft {

namespace detail {

struct runtime_insight;

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
/// started again.
/// @par Thread safety
/// All members may be called from any thread or fiber at once, except start(), shutdown() and destruction, which one
/// party does at a time.
class runtime {
public:
  /// Starts the workers.
  /// @throws std::invalid_argument  for options out of range, saying which
  /// @throws std::system_error, std::bad_alloc  if a thread or an event loop cannot be had, or memory; nothing is left
  ///   behind
  explicit runtime(runtime_options options = {});
  runtime(runtime const&) = delete;
  runtime& operator=(runtime const&) = delete;
  /// shutdown() without limit. Aborts when called on one of the runtime's own fibers, which would wait for itself.
  ~runtime();

  /// Starts the workers again after shutdown().
  /// @throws error  if they run; otherwise as the constructor
  void start();

  /// Stops admission, cancels all fibers with reason shutdown, waits until they have ended or `limit` has passed, and
  /// stops the workers. From a fiber of another runtime only that fiber waits.
  /// @returns false if fibers remain at the limit: the workers then go on, and the call may be repeated.
  template <class Rep, class Period>
  [[nodiscard]] bool shutdown(std::chrono::duration<Rep, Period> limit) {
    return stop(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same without limit.
  void shutdown() { (void)stop(never); }

  /// Runs `f()` as a fiber and waits for it; only the caller waits, be it fiber or thread.
  /// @returns what it returns, or throws what it throws
  /// @throws runtime_stopped  when the runtime is not running; otherwise as weft::spawn() and task::get()
  template <class F>
    requires spawnable<F>
  detail::spawn_result<F> run(F&& f) {
    return spawn(std::forward<F>(f)).get();
  }

  /// weft::spawn() into this runtime, from anywhere.
  template <class F, class... Args>
    requires spawnable<F, Args...>
  task<detail::spawn_result<F, Args...>> spawn(F&& f, Args&&... args) {
    detail::admission const entry = admit();
    return detail::spawn_in(entry.home(), nullptr, std::forward<F>(f), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires spawnable<F, Args...>
  task<detail::spawn_result<F, Args...>> spawn(spawn_options const& options, F&& f, Args&&... args) {
    detail::admission const entry = admit();
    return detail::spawn_in(entry.home(), &options, std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// How many workers there are, running or not.
  [[nodiscard]] std::size_t workers() const noexcept;
  /// Fibers that have been spawned and have not ended. A snapshot.
  [[nodiscard]] std::size_t live_fibers() const noexcept;

private:
  friend struct detail::runtime_insight;
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
/// did. The calling thread sleeps meanwhile.
/// @throws error  inside a fiber: call `f` itself there, or spawn it; otherwise as runtime's constructor and run()
template <class F>
  requires spawnable<F>
detail::spawn_result<F> run(F&& f, runtime_options options = {}) {
  detail::check_run_outside();
  runtime rt{std::move(options)};
  return rt.run(std::forward<F>(f));
}

}  // namespace weft
