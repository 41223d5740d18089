#pragma once
/// @file
/// `mutex`: one word. A newcomer may take a free lock before those who wait for it, which keeps the lock with who runs;
/// but one that has waited for more than a millisecond is handed it directly, so that none starves (after Go's
/// `sync.Mutex`, src/sync/mutex.go).

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>
#include <cstdint>

namespace weft::inline v0 {

/// Mutual exclusion of fibers and threads, as `std::timed_mutex`: for `std::unique_lock`, `std::scoped_lock` and so on.
/// A fiber may go on on another thread while it holds the lock.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
class mutex {
public:
  constexpr mutex() noexcept = default;
  mutex(mutex const&) = delete;
  mutex& operator=(mutex const&) = delete;
  /// Aborts with a message if somebody holds the lock.
  ~mutex();

  /// Waits for the lock. Not recursive: who holds it already waits for good.
  /// @par Cancellation
  /// A cancellation point where it has to wait; cancelled means that the lock is not ours.
  void lock() {
    if (!line_.try_set_flags(0, locked)) [[unlikely]]
      (void)lock_slowly(never);
  }
  /// Takes the lock if it is free. Never waits.
  [[nodiscard]] bool try_lock() noexcept { return line_.try_set_flags(0, locked) || try_lock_slowly(); }
  /// Waits at most `limit`; with 0 it only tries.  @returns whether the lock is ours. Cancellation as lock().
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> limit) {
    return try_lock() || lock_slowly(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether the lock is ours. Cancellation as lock().
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return try_lock() || lock_slowly(detail::to_deadline(deadline));
  }
  /// By who holds the lock, on whatever thread. Does not wait. Aborts with a message if nobody holds it.
  void unlock() noexcept {
    if (!line_.try_set_flags(locked, 0)) [[unlikely]]
      unlock_slowly();
  }

private:
  static constexpr auto locked = detail::wait_list::flag_a;
  static constexpr auto called = detail::wait_list::flag_b;  // one of the line has been woken to try again

  static bool take(detail::wait_list::section& line) noexcept;
  bool try_lock_slowly() noexcept;
  bool lock_slowly(time_point deadline);
  void unlock_slowly() noexcept;

  detail::wait_list line_;
};
static_assert(sizeof(mutex) <= 16);

}  // namespace weft::inline v0
