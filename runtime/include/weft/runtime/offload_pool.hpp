#pragma once
/// @file
/// `offload_pool`: threads of one's own for calls that compute or block, apart from those of a runtime. For a library
/// that must not be called by many threads at once, or a slow service that must not use up the runtime's pool.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/offload.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace weft::inline v0 {

/// Whether a pool's threads stay.
enum class pool_growth : unsigned char {
  fixed,   ///< they start with the first calls, and stay
  elastic  ///< they start when none is idle, and end after `idle_time` without a call
};

/// Choices for a pool.
struct offload_pool_options {
  /// Names the threads, as far as the system allows, and the pool in reports.
  std::string name = "pool";
  /// At most so many, up to 4096. 0: one for each CPU that this process may use; 512 in an elastic pool.
  std::size_t threads = 0;
  /// Calls that may queue before run() makes its caller wait for room. At least 1.
  std::size_t queue = 1024;
  pool_growth growth = pool_growth::fixed;
  /// After which an idle thread of an elastic pool ends.
  std::chrono::nanoseconds idle_time = std::chrono::seconds{10};
  /// How often the destructor says on stderr what it waits for.
  std::chrono::nanoseconds report_every = std::chrono::seconds{5};
};

/// A pool of OS threads behind a bounded queue.
/// @par Thread safety
/// run() from any fiber of any runtime, and from any thread, at once. shutdown() and destruction: one party at a time,
/// while others may be in run().
class offload_pool {
public:
  /// Starts no thread yet.
  /// @throws std::invalid_argument  for options out of range, saying which
  explicit offload_pool(offload_pool_options options = {});
  offload_pool(offload_pool const&) = delete;
  offload_pool& operator=(offload_pool const&) = delete;
  /// shutdown() without limit and whatever happens to the caller; says on stderr every `report_every` what it waits
  /// for. Aborts on a thread of the pool itself, which would wait for itself.
  ~offload_pool();

  /// Calls `f(args...)` on a thread of the pool and waits for it: a fiber parks, a thread sleeps. All else is as of
  /// offload(). Within a call of this pool, or one that such a call waits for, it runs in place.
  /// @throws runtime_stopped  after shutdown()
  template <class F, class... Args>
    requires detail::not_options<F>
  decltype(auto) run(F&& f, Args&&... args) {
    return detail::run_borrowed({pool_.get()}, std::forward<F>(f), std::forward<Args>(args)...);
  }
  /// The same with choices, as of offload(). A thread may be in cancel scopes, too.
  template <class F, class... Args>
  auto run(offload_options const& options, F&& f, Args&&... args) {
    return detail::run_owned({pool_.get()}, options, std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// Takes no more calls, waits until those that it has taken have ended, queued ones too, or `limit` has passed, and
  /// ends the threads. A cancellation point.
  /// @returns false if calls remain at the limit, which are then named on stderr: they go on, and shutdown() may be
  ///   repeated
  /// @throws error  within a call of the pool itself, which would wait for itself
  template <class Rep, class Period>
  [[nodiscard]] bool shutdown(std::chrono::duration<Rep, Period> limit) {
    return stop(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same without limit.
  void shutdown() { (void)stop(never); }

  [[nodiscard]] std::string_view name() const noexcept;
  /// Threads that there are now. A snapshot.
  [[nodiscard]] std::size_t threads() const noexcept;
  /// Calls that run now. A snapshot.
  [[nodiscard]] std::size_t running() const noexcept;
  /// Calls that wait in the queue now. A snapshot.
  [[nodiscard]] std::size_t queued() const noexcept;

private:
  bool stop(time_point deadline);

  std::unique_ptr<detail::job_pool> pool_;
  std::chrono::nanoseconds report_every_;
  int maker_;  // the process: in a child forked from it there are no threads to wait for
};

}  // namespace weft::inline v0
