#include <weft/sync/rate_limiter.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <stdexcept>

namespace weft::inline v0 {

namespace {

/// Rounded up, so that in the long run never more than `n` come in that time.
std::chrono::nanoseconds share(std::chrono::nanoseconds per, std::ptrdiff_t n) {
  if (n <= 0) throw std::invalid_argument("weft::rate_limiter: the number must be positive");
  if (per <= std::chrono::nanoseconds{0}) throw std::invalid_argument("weft::rate_limiter: the time must be positive");
  return std::chrono::nanoseconds{(per.count() - 1) / n + 1};
}

/// In whole intervals: the time less one of them would hold a few more or less than `n`.
std::chrono::nanoseconds tolerance(std::chrono::nanoseconds interval, std::ptrdiff_t n) noexcept {
  return interval * std::min<std::ptrdiff_t>(n - 1, std::chrono::nanoseconds::max() / interval);
}

}  // namespace

rate_limiter::rate_limiter(std::ptrdiff_t n, std::chrono::nanoseconds per, exact)
    : interval_(share(per, n)), tolerance_(tolerance(interval_, n)) {}

rate_limiter::~rate_limiter() {
  if (waiting_ != 0) detail::refuse("a rate_limiter is destroyed while somebody waits for it");
}

bool rate_limiter::take(time_point at) noexcept {
  if (at < full_at_ && full_at_ - at > tolerance_) return false;
  full_at_ = detail::add(std::max(full_at_, at), interval_);
  return true;
}

bool rate_limiter::try_acquire() {
  auto const at = detail::present();
  detail::wait_list::section const held{lock_};
  return waiting_ == 0 && take(at);
}

/// Counts itself among those who wait before anybody who comes later looks.
class rate_limiter::place {
public:
  explicit place(rate_limiter& in) noexcept : in_(in) {}
  place(place const&) = delete;
  ~place() {
    detail::wait_list::section const held{in_.lock_};
    --in_.waiting_;
  }

private:
  rate_limiter& in_;
};

bool rate_limiter::acquire_until_(time_point deadline) {
  detail::check_cancelled();
  {
    auto const at = detail::present();
    detail::wait_list::section const held{lock_};
    if (waiting_ == 0 && take(at)) return true;
    if (deadline <= at) return false;
    ++waiting_;
  }
  place const in_line{*this};
  if (!turn_.try_acquire_until(deadline)) return false;
  scoped_permit const turn{turn_};
  for (;;) {
    auto const at = detail::present();
    time_point next{};
    {
      detail::wait_list::section const held{lock_};
      if (take(at)) return true;
      next = full_at_ - tolerance_;
    }
    if (next > deadline) return false;
    sleep_until(next);
  }
}

}  // namespace weft::inline v0
