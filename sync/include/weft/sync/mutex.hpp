#pragma once
/// @file
/// `mutex`: a word for the lock and those who stand in line for it, and a byte of statistics. A newcomer may take a
/// free lock before those who wait, which keeps the lock with who runs; but one that has waited for more than a
/// millisecond is handed it directly, so that none starves (after Go's `sync.Mutex`, src/sync/mutex.go).

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/short_spin.hpp>
#include <weft/runtime/detail/wait_graph.hpp>
#include <weft/sync/detail/lock_line.hpp>

#include <chrono>

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
  /// Aborts with a message if somebody holds the lock, or waits for it.
  ~mutex();

  /// Waits for the lock. Not recursive: who holds it already waits for good. Where whoever holds it may be running on
  /// another CPU, the wait begins on the CPU, for some microseconds at most.
  /// @par Cancellation
  /// A cancellation point where it has to wait; cancelled means that the lock is not ours.
  void lock() {
    if (!line_.try_lock_unawaited(spinning_.untried()) && !line_.try_lock()) [[unlikely]]
      (void)lock_slowly(never);
    (void)note_held();
  }
  /// Takes the lock if it is free. Never waits.
  [[nodiscard]] bool try_lock() noexcept {
    return (line_.try_lock_unawaited(spinning_.untried()) || line_.take()) && note_held();
  }
  /// Waits at most `limit`; with 0 it only tries.  @returns whether the lock is ours. Cancellation as lock().
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> limit) {
    return (line_.try_lock_unawaited(spinning_.untried()) ||
            lock_slowly(detail::deadline_after(detail::to_nanoseconds(limit)))) &&
           note_held();
  }
  /// Waits at most until `deadline`.  @returns whether the lock is ours. Cancellation as lock().
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return (line_.try_lock_unawaited(spinning_.untried()) || lock_slowly(detail::to_deadline(deadline))) && note_held();
  }
  /// By who holds the lock, on whatever thread. Does not wait. Aborts with a message if nobody holds it; with
  /// `runtime_options::debug` also if another does.
  void unlock() noexcept {
    if (detail::wait_graph::is_kept()) [[unlikely]]
      detail::wait_graph::note_freed(this);
    if (!line_.try_unlock_unawaited(spinning_.untried()) && !line_.try_unlock()) [[unlikely]]
      unlock_slowly();
  }

private:
  bool note_held() noexcept {
    if (detail::wait_graph::is_kept()) [[unlikely]]
      detail::wait_graph::note_held(this);
    return true;
  }
  bool lock_slowly(time_point deadline);
  void unlock_slowly() noexcept;

  detail::lock_line line_;
  detail::spin_history spinning_;
};
static_assert(sizeof(mutex) <= 16);

}  // namespace weft::inline v0
