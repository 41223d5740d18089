#pragma once
/// @file
/// The four kinds of mutex. They know their owners, which may be plain threads; one that is released goes to whoever
/// comes first, and the first of those who wait is called.

#include <weft/compat/context.hpp>
#include <weft/compat/wait_queue.hpp>
#include <weft/runtime/clock.hpp>

#include <chrono>
#include <cstddef>

namespace weft::inline v0::compat {

namespace detail {

/// What they have in common.
class owned_lock {
public:
  owned_lock() noexcept = default;
  owned_lock(owned_lock const&) = delete;
  owned_lock& operator=(owned_lock const&) = delete;

protected:
  /// @throws lock_error  resource_deadlock_would_occur, if the caller has it already
  void lock_once();
  bool try_lock_once();
  void lock_again();
  bool try_lock_again();
  /// Waits for itself until the time has passed, if the caller has it already.
  bool try_lock_once_until(time_point deadline);
  bool try_lock_again_until(time_point deadline);
  void release();

private:
  void check_not_ours(fibers::context const* self) const;
  bool wait_for_it(guard_lock& held, fibers::context const* self, time_point deadline);
  bool take_if_free(fibers::context const* self) noexcept;
  bool take_again(fibers::context const* self) noexcept;
  static void let_others_run() noexcept;

  guard guard_;
  wait_queue line_;
  fibers::context const* owner_ = nullptr;
  std::size_t count_ = 0;  // how often the owner has locked it
};

}  // namespace detail

namespace fibers {

/// @par Thread safety
/// Any member of any kind of mutex, from any fiber and thread, at once; only the destructor needs to be alone.
/// @par Cancellation
/// Locking is a cancellation point, except for try_lock(); cancelled means that the lock is not ours.
class mutex : detail::owned_lock {
public:
  /// @throws lock_error  resource_deadlock_would_occur, if the caller has the lock
  void lock() { lock_once(); }
  /// Where it fails, others have had their turn.
  /// @throws lock_error  as lock()
  bool try_lock() { return try_lock_once(); }
  /// @throws lock_error  operation_not_permitted, if the caller does not have the lock
  void unlock() { release(); }
};

class timed_mutex : detail::owned_lock {
public:
  void lock() { lock_once(); }
  bool try_lock() { return try_lock_once(); }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> const& limit) {
    return try_lock_once_until(weft::detail::deadline_after(weft::detail::to_nanoseconds(limit)));
  }
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> const& deadline) {
    return try_lock_once_until(weft::detail::to_deadline(deadline));
  }
  void unlock() { release(); }
};

/// Who has the lock may lock again, and unlocks as often.
class recursive_mutex : detail::owned_lock {
public:
  void lock() { lock_again(); }
  bool try_lock() { return try_lock_again(); }
  void unlock() { release(); }
};

class recursive_timed_mutex : detail::owned_lock {
public:
  void lock() { lock_again(); }
  bool try_lock() { return try_lock_again(); }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> const& limit) {
    return try_lock_again_until(weft::detail::deadline_after(weft::detail::to_nanoseconds(limit)));
  }
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> const& deadline) {
    return try_lock_again_until(weft::detail::to_deadline(deadline));
  }
  void unlock() { release(); }
};

}  // namespace fibers
}  // namespace weft::inline v0::compat
