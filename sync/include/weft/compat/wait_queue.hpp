#pragma once
/// @file
/// What everything with a name of Boost.Fiber waits in: a lock for a few lines, and lines of those who wait. Whoever
/// wakes another does so under the lock; so one that is woken may destroy all of it when it has had the lock itself.

#include <weft/runtime/clock.hpp>
#include <weft/sync/condition_variable.hpp>

#include <atomic>
#include <mutex>

namespace weft::inline v0::compat::detail {

/// Guards a few lines, and is never held over a wait. It has no owner: a thread's stand-in unlocks it for the thread.
class guard {
public:
  void lock() noexcept {
    // acquire: pairs with unlock().
    while (locked_.exchange(true, std::memory_order_acquire)) locked_.wait(true, std::memory_order_relaxed);
  }
  void unlock() noexcept {
    locked_.store(false, std::memory_order_release);  // pairs with lock()
    locked_.notify_one();  // whoever has had the lock by now may have freed it: of this, only the address is used
  }

private:
  std::atomic<bool> locked_{false};
};

using guard_lock = std::unique_lock<guard>;

/// Those who wait, first come, first served. All members are called with the lock held.
class wait_queue {
public:
  /// Unlocks, waits to be notified, and locks again. A plain thread that has fibers runs them meanwhile.
  /// @returns false if `deadline` passed first
  /// @throws cancelled  with the lock held
  bool wait_until(guard_lock& held, time_point deadline);
  void wait(guard_lock& held) { (void)wait_until(held, never); }
  /// The same, and does not lock again: who has been notified uses neither the lock nor the line any more.
  /// @throws cancelled  without the lock; and others, with it
  bool leave_until(guard_lock& held, time_point deadline);

  void notify_one() noexcept { line_.notify_one(); }
  void notify_all() noexcept { line_.notify_all(); }

private:
  condition_variable line_;
};

}  // namespace weft::inline v0::compat::detail
