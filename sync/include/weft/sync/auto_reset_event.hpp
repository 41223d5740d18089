#pragma once
/// @file
/// Auto-reset event: each set() lets one through.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>

namespace weft::inline v0 {

/// A flag that the one who sees it set clears, so that one signal is for one waiter.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that was done before set() is visible to the one that it lets through.
/// @par Fairness
/// First come, first served.
class auto_reset_event {
public:
  auto_reset_event() noexcept = default;
  auto_reset_event(auto_reset_event const&) = delete;
  auto_reset_event& operator=(auto_reset_event const&) = delete;
  /// Aborts with a message if somebody waits.
  ~auto_reset_event();

  /// Lets the first of those who wait through; if nobody waits, the next one who comes. Signals do not add up. Does not
  /// wait.
  void set() noexcept;
  /// Takes back a signal that nobody has got.
  void reset() noexcept;
  /// Takes the signal if there is one. Never waits.
  [[nodiscard]] bool try_wait() noexcept;

  /// Waits for a signal. A cancellation point, even where it need not wait; cancelled means that none was taken.
  void wait() { (void)wait_until_(never); }
  /// Waits at most `limit`; with 0 it only tries.  @returns whether it got a signal. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether it got a signal. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }

private:
  static constexpr auto set_flag = detail::wait_list::flag_a;
  bool wait_until_(time_point deadline);

  detail::wait_list list_;  // set: nobody waits
};

}  // namespace weft::inline v0
