#pragma once
/// @file
/// `condition_variable`, for any lockable: a line of those who wait.

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/waiter.hpp>

#include <chrono>
#include <concepts>
#include <condition_variable>

namespace weft::inline v0 {

/// What lock() and unlock() can be called on, such as a `std::unique_lock<weft::mutex>`.
template <class L>
concept basic_lockable = requires(L& lock) {
  lock.lock();
  lock.unlock();
};

/// As `std::condition_variable_any`, for fibers and threads. There are no spurious wake-ups.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once. It may be destroyed when all who wait have been
/// notified; one who waits with a limit, or may be cancelled, must have returned, for it may have to leave the line by
/// itself.
/// @par Fairness
/// First come, first served.
/// @par Cancellation
/// Every wait is a cancellation point. It locks again, shielded, before it throws, and a notification that it got goes
/// to it and not to the void: then it returns, and the next wait throws.
class condition_variable {
public:
  condition_variable() noexcept = default;
  /// Aborts with a message if somebody waits who has not been notified.
  ~condition_variable();
  condition_variable(condition_variable const&) = delete;
  condition_variable& operator=(condition_variable const&) = delete;

  /// Wakes the first of those who wait. Does not wait.
  void notify_one() noexcept;
  /// Wakes all who wait. Does not wait.
  void notify_all() noexcept;

  /// Unlocks, waits to be notified, and locks again. `lock` is held by the caller; its unlock() must neither wait nor
  /// throw.
  /// @throws std::system_error (operation_not_permitted)  if `lock` says that it is not held
  template <basic_lockable L>
  void wait(L& lock) {
    (void)wait_until_(lock, never);
  }
  /// Waits until `holds()`, which is called with the lock held.
  template <basic_lockable L, std::predicate P>
  void wait(L& lock, P holds) {
    while (!holds()) wait(lock);
  }
  /// Waits at most `limit`.
  template <basic_lockable L, class Rep, class Period>
  std::cv_status wait_for(L& lock, std::chrono::duration<Rep, Period> limit) {
    return wait_until_(lock, detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits until `holds()`, at most `limit`.  @returns what `holds()` says at last
  template <basic_lockable L, class Rep, class Period, std::predicate P>
  bool wait_for(L& lock, std::chrono::duration<Rep, Period> limit, P holds) {
    return wait_until_holds(lock, detail::deadline_after(detail::to_nanoseconds(limit)), holds);
  }
  /// Waits at most until `deadline`.
  template <basic_lockable L, class Clock, class Duration>
  std::cv_status wait_until(L& lock, std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(lock, detail::to_deadline(deadline));
  }
  /// Waits until `holds()`, at most until `deadline`.  @returns what `holds()` says at last
  template <basic_lockable L, class Clock, class Duration, std::predicate P>
  bool wait_until(L& lock, std::chrono::time_point<Clock, Duration> deadline, P holds) {
    return wait_until_holds(lock, detail::to_deadline(deadline), holds);
  }

private:
  template <basic_lockable L, class P>
  bool wait_until_holds(L& lock, time_point deadline, P& holds) {
    while (!holds()) {
      if (wait_until_(lock, deadline) == std::cv_status::timeout) return holds();
    }
    return true;
  }

  template <basic_lockable L>
  std::cv_status wait_until_(L& lock, time_point deadline) {
    if constexpr (requires { static_cast<bool>(lock.owns_lock()); }) {
      if (!lock.owns_lock()) refuse_unlocked();
    }
    waiter self{"condition"};
    detail::wait_node node{self};
    enqueue(node);
    lock.unlock();
    auto const cause = self.wait(deadline);
    if (cause != wake_cause::notified) withdraw(node);
    {
      cancel_shield const whatever_happens;
      lock.lock();
    }
    self.rethrow(cause);
    return cause == wake_cause::timed_out ? std::cv_status::timeout : std::cv_status::no_timeout;
  }

  [[noreturn]] static void refuse_unlocked();
  void enqueue(detail::wait_node& node) noexcept;
  void withdraw(detail::wait_node& node) noexcept;

  detail::wait_list line_;
};

}  // namespace weft::inline v0
