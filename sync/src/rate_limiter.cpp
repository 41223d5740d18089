#include <weft/sync/rate_limiter.hpp>

#include "queueing.hpp"

#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <stdexcept>

namespace weft::inline v0 {

namespace {

std::chrono::nanoseconds share(std::chrono::nanoseconds per, std::ptrdiff_t n) {
  if (n <= 0) throw std::invalid_argument("weft::rate_limiter: the number must be positive");
  if (per <= std::chrono::nanoseconds{0}) throw std::invalid_argument("weft::rate_limiter: the time must be positive");
  return std::max(per / n, std::chrono::nanoseconds{1});
}

}  // namespace

rate_limiter::rate_limiter(std::ptrdiff_t n, std::chrono::nanoseconds per, exact)
    : interval_(share(per, n)), tolerance_(per - interval_) {}

bool rate_limiter::take(time_point at) noexcept {
  if (at < full_at_ && full_at_ - at > tolerance_) return false;
  full_at_ = std::max(full_at_, at) + interval_;
  return true;
}

bool rate_limiter::try_acquire() {
  if (!turn_.try_acquire()) return false;
  scoped_permit const turn{turn_};
  return take(detail::present());
}

bool rate_limiter::acquire_until_(time_point deadline) {
  if (!turn_.try_acquire_until(deadline)) return false;
  scoped_permit const turn{turn_};
  while (!take(detail::present())) {
    auto const next = full_at_ - tolerance_;
    if (next > deadline) return false;
    sleep_until(next);
  }
  return true;
}

}  // namespace weft::inline v0
