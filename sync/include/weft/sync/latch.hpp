#pragma once
/// @file
/// `latch`: counts down once. As `std::latch`, for fibers and threads.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>

namespace weft::inline v0 {

/// Opens for good when it has been counted down to 0.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once. Who has returned from wait() may destroy it, once
/// all others who wait have returned, too.
/// @par Memory ordering
/// All that was done before count_down() is visible to whoever sees the latch open.
class latch {
public:
  /// @throws std::invalid_argument  for a negative number. One that begins at 0 is open
  explicit latch(std::ptrdiff_t expected);
  latch(latch const&) = delete;
  latch& operator=(latch const&) = delete;
  /// Aborts with a message if somebody waits.
  ~latch();

  /// Takes `n` off. Does not wait.
  /// @throws std::invalid_argument  for a negative `n`, or more than is left; then nothing has changed
  void count_down(std::ptrdiff_t n = 1);
  /// Whether it is open. Never waits.
  [[nodiscard]] bool try_wait() const noexcept { return (list_.flags() & open_flag) != 0; }
  /// Waits until it is open. A cancellation point, even where it need not wait.
  void wait() { (void)wait_until_(never); }
  /// Waits at most `limit`; with 0 it only looks.  @returns whether it is open. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether it is open. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }
  /// count_down() and wait().
  void arrive_and_wait(std::ptrdiff_t n = 1) {
    count_down(n);
    wait();
  }
  /// count_down() and wait_for().  @returns whether it is open; what was counted down stays so
  template <class Rep, class Period>
  [[nodiscard]] bool arrive_and_wait_for(std::chrono::duration<Rep, Period> limit, std::ptrdiff_t n = 1) {
    count_down(n);
    return wait_for(limit);
  }
  /// count_down() and wait_until(), likewise.
  template <class Clock, class Duration>
  [[nodiscard]] bool arrive_and_wait_until(std::chrono::time_point<Clock, Duration> deadline, std::ptrdiff_t n = 1) {
    count_down(n);
    return wait_until(deadline);
  }
  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }

private:
  static constexpr auto open_flag = detail::wait_list::flag_a;
  bool wait_until_(time_point deadline);

  detail::wait_list list_;
  std::atomic<std::ptrdiff_t> left_;
};

}  // namespace weft::inline v0
