#pragma once
/// @file
/// `condition_variable` for `mutex`, and `condition_variable_any` for whatever can be locked.

#include <weft/compat/mutex.hpp>
#include <weft/compat/wait_queue.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/clock.hpp>

#include <chrono>
#include <mutex>

namespace weft::inline v0::compat::fibers {

enum class cv_status { no_timeout = 1, timeout };

/// @par Thread safety
/// Any member, from any fiber and thread, at once. It may be destroyed when all who wait have been notified; one who
/// waits with a limit, or may be cancelled, must have returned.
/// @par Cancellation
/// Every wait is a cancellation point, and locks again before it throws.
class condition_variable_any {
public:
  condition_variable_any() noexcept = default;
  condition_variable_any(condition_variable_any const&) = delete;
  condition_variable_any& operator=(condition_variable_any const&) = delete;

  void notify_one() noexcept {
    await_newcomers();
    line_.notify_one();
  }
  void notify_all() noexcept {
    await_newcomers();
    line_.notify_all();
  }

  /// Unlocks, waits to be notified, and locks again.
  template <class Lock>
  void wait(Lock& lock) {
    (void)wait_until_(lock, never);
  }
  template <class Lock, class Predicate>
  void wait(Lock& lock, Predicate holds) {
    while (!holds()) wait(lock);
  }
  template <class Lock, class Clock, class Duration>
  cv_status wait_until(Lock& lock, std::chrono::time_point<Clock, Duration> const& deadline) {
    return wait_until_(lock, weft::detail::to_deadline(deadline));
  }
  template <class Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, std::chrono::time_point<Clock, Duration> const& deadline, Predicate holds) {
    return wait_until_(lock, weft::detail::to_deadline(deadline), holds);
  }
  template <class Lock, class Rep, class Period>
  cv_status wait_for(Lock& lock, std::chrono::duration<Rep, Period> const& limit) {
    return wait_until_(lock, weft::detail::deadline_after(weft::detail::to_nanoseconds(limit)));
  }
  template <class Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, std::chrono::duration<Rep, Period> const& limit, Predicate holds) {
    return wait_until_(lock, weft::detail::deadline_after(weft::detail::to_nanoseconds(limit)), holds);
  }

private:
  /// Who has unlocked, and waits as far as anybody can see, is in line when this returns. It is not held when they are
  /// woken: then all of it may be gone at once.
  void await_newcomers() noexcept { detail::guard_lock const held{guard_}; }

  /// At the end of a wait, whatever came of it. What fails here would leave the caller without its lock.
  template <class Lock>
  static void lock_again(Lock& lock) noexcept {
    cancel_shield const whatever_happens;
    lock.lock();
  }

  template <class Lock>
  cv_status wait_until_(Lock& lock, time_point deadline) {
    detail::guard_lock held{guard_};
    lock.unlock();
    bool in_time = false;
    try {
      in_time = line_.leave_until(held, deadline);
    } catch (...) {
      if (held) held.unlock();  // it has not come to the wait
      lock_again(lock);
      throw;
    }
    lock_again(lock);  // *this may be gone
    return in_time ? cv_status::no_timeout : cv_status::timeout;
  }
  template <class Lock, class Predicate>
  bool wait_until_(Lock& lock, time_point deadline, Predicate& holds) {
    while (!holds()) {
      if (wait_until_(lock, deadline) == cv_status::timeout) return holds();
    }
    return true;
  }

  detail::guard guard_;
  detail::wait_queue line_;
};

/// The same, for `mutex` alone.
class condition_variable {
public:
  void notify_one() noexcept { any_.notify_one(); }
  void notify_all() noexcept { any_.notify_all(); }

  void wait(std::unique_lock<mutex>& lock) { any_.wait(lock); }
  template <class Predicate>
  void wait(std::unique_lock<mutex>& lock, Predicate holds) {
    any_.wait(lock, holds);
  }
  template <class Clock, class Duration>
  cv_status wait_until(std::unique_lock<mutex>& lock, std::chrono::time_point<Clock, Duration> const& deadline) {
    return any_.wait_until(lock, deadline);
  }
  template <class Clock, class Duration, class Predicate>
  bool wait_until(std::unique_lock<mutex>& lock, std::chrono::time_point<Clock, Duration> const& deadline,
                  Predicate holds) {
    return any_.wait_until(lock, deadline, holds);
  }
  template <class Rep, class Period>
  cv_status wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> const& limit) {
    return any_.wait_for(lock, limit);
  }
  template <class Rep, class Period, class Predicate>
  bool wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> const& limit, Predicate holds) {
    return any_.wait_for(lock, limit, holds);
  }

private:
  condition_variable_any any_;
};

}  // namespace weft::inline v0::compat::fibers
