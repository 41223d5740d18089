#pragma once
/// @file
/// Manual-reset event. Its whole state is a `wait_list`: one flag, and who waits for it.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>

namespace weft::inline v0 {

namespace detail {
class event_wait;
}

/// A flag that fibers and threads can wait for. As asyncio's `Event`.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that was done before set() is visible to whoever saw the event set.
class event {
public:
  event() noexcept = default;
  event(event const&) = delete;
  event& operator=(event const&) = delete;
  /// Aborts with a message if somebody waits.
  ~event();

  /// Sets the flag and wakes everyone who waits, in the order in which they came. Does not wait.
  void set() noexcept;
  /// Clears the flag. Who has been woken stays woken.
  void reset() noexcept;
  [[nodiscard]] bool is_set() const noexcept { return (list_.flags() & set_flag) != 0; }
  /// The same, under the name of the other forms. Never waits.
  [[nodiscard]] bool try_wait() const noexcept { return is_set(); }

  /// Waits until the flag is set. A cancellation point, even where it need not wait.
  void wait() { (void)wait_until_(never); }
  /// Waits at most `limit`; with 0 it only looks.  @returns whether the flag was set. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether the flag was set. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }

private:
  friend class detail::event_wait;
  static constexpr auto set_flag = detail::wait_list::flag_a;
  bool wait_until_(time_point deadline);

  detail::wait_list list_;
};

}  // namespace weft::inline v0
