#pragma once
/// @file
/// `recursive_mutex`: a mutex that knows its owner, and counts.

#include <weft/sync/mutex.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>

namespace weft::inline v0 {

/// As `std::recursive_timed_mutex`: who holds the lock may lock again, and unlocks as often. It belongs to a fiber or
/// to a thread; a fiber's lock stays its own on whatever thread it goes on.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Cancellation
/// Locking is a cancellation point where it has to wait.
class recursive_mutex {
public:
  recursive_mutex() noexcept = default;
  recursive_mutex(recursive_mutex const&) = delete;
  recursive_mutex& operator=(recursive_mutex const&) = delete;

  /// Waits for the lock, unless the caller holds it already.
  void lock() {
    if (!locked_again()) {
      mutex_.lock();
      own();
    }
  }
  /// Never waits.
  [[nodiscard]] bool try_lock() noexcept { return locked_again() || (mutex_.try_lock() && own()); }
  /// Waits at most `limit`; with 0 it only tries.  @returns whether the lock is ours
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> limit) {
    return locked_again() || (mutex_.try_lock_for(limit) && own());
  }
  /// Waits at most until `deadline`.  @returns whether the lock is ours
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return locked_again() || (mutex_.try_lock_until(deadline) && own());
  }
  /// Takes one lock() back. Does not wait. Aborts with a message if the caller does not hold the lock.
  void unlock() noexcept;

private:
  bool locked_again() noexcept;
  bool own() noexcept;

  mutex mutex_;
  std::atomic<void const*> owner_{nullptr};  // written by who holds the lock
  std::size_t count_ = 0;                    // the owner's
};

}  // namespace weft::inline v0
