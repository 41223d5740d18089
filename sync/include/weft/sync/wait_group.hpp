#pragma once
/// @file
/// `wait_group`: waits until everything that was counted in has been counted out. As Go's `sync.WaitGroup`.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>
#include <cstddef>

namespace weft::inline v0 {

/// A number of things under way. It may go up and down again and again; whoever waits goes on when it is 0.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once. Who has returned from wait() may destroy it, if
/// nobody else uses it any more.
/// @par Memory ordering
/// All that was done before done() is visible to whose wait() returns for it.
class wait_group {
public:
  wait_group() noexcept = default;
  wait_group(wait_group const&) = delete;
  wait_group& operator=(wait_group const&) = delete;
  /// Aborts with a message if somebody waits.
  ~wait_group();

  /// Counts `n` in, or out if it is negative. Does not wait.
  /// @throws std::invalid_argument  if the number would become negative; then nothing has changed
  /// @throws std::overflow_error    if it would become too large; likewise
  void add(std::ptrdiff_t n = 1);
  /// Counts one out.
  void done() { add(-1); }
  [[nodiscard]] std::ptrdiff_t count() const noexcept;
  /// Whether the number is 0. Never waits.
  [[nodiscard]] bool try_wait() const noexcept { return count() == 0; }

  /// Waits until the number is 0. A cancellation point, even where it need not wait.
  void wait() { (void)wait_until_(never); }
  /// Waits at most `limit`; with 0 it only looks.  @returns whether the number was 0. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether the number was 0. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }

private:
  bool wait_until_(time_point deadline);

  mutable detail::wait_list list_;
  std::ptrdiff_t count_ = 0;  // guarded by the list's lock
};

}  // namespace weft::inline v0
