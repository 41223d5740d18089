#pragma once
/// @file
/// `rate_limiter`: so many in so much time. A token bucket, kept as the time at which it would be full again (the
/// "generic cell rate algorithm", ITU-T I.371).

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/sync/semaphore.hpp>

#include <chrono>
#include <cstddef>

namespace weft::inline v0 {

/// Lets `n` through at once after a rest, and then one each `per / n`, rounded up to nanoseconds.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Fairness
/// First come, first served.
class rate_limiter {
public:
  /// @throws std::invalid_argument  if one of the two is not positive
  template <class Rep, class Period>
  rate_limiter(std::ptrdiff_t n, std::chrono::duration<Rep, Period> per)
      : rate_limiter(n, detail::to_nanoseconds(per), exact{}) {}
  rate_limiter(rate_limiter const&) = delete;
  rate_limiter& operator=(rate_limiter const&) = delete;
  /// Aborts with a message if somebody waits.
  ~rate_limiter();

  /// Waits until one more may go. A cancellation point, even where it need not wait; cancelled means not counted.
  void acquire() { (void)acquire_until_(never); }
  /// @returns whether one more may go now, and nobody waits for it; then it counts. Never waits.
  [[nodiscard]] bool try_acquire();
  /// Waits at most `limit`. Who is first in line does not begin to wait for what will not come in time.
  /// @returns whether one more may go. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> limit) {
    return acquire_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(std::chrono::time_point<Clock, Duration> deadline) {
    return acquire_until_(detail::to_deadline(deadline));
  }

private:
  struct exact {};
  class place;
  rate_limiter(std::ptrdiff_t n, std::chrono::nanoseconds per, exact);
  bool acquire_until_(time_point deadline);
  bool take(time_point present) noexcept;

  std::chrono::nanoseconds const interval_;   // between two, in the long run
  std::chrono::nanoseconds const tolerance_;  // by how much one may come before its time
  semaphore turn_{1};                         // whose turn it is to wait
  detail::wait_list lock_;                    // nobody waits in it; guards the next two
  std::ptrdiff_t waiting_ = 0;                // in line, or asleep
  time_point full_at_{time_point::min()};     // when the bucket is full
};

}  // namespace weft::inline v0
