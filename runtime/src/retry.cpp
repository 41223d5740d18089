#include <weft/runtime/retry.hpp>

#include "scheduler.hpp"

#include <weft/runtime/environment.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace weft::inline v0::detail {

namespace {

using std::chrono::nanoseconds;

[[noreturn]] void bad_policy(std::string const& what) { throw std::invalid_argument("weft::retry_policy: " + what); }

/// Where there is no environment. Not worth more than this: it need only differ from one caller to the next.
std::uint64_t draw_freely() noexcept {
  static std::atomic<std::uint64_t> state{static_cast<std::uint64_t>(clock::now().time_since_epoch().count())};
  // SplitMix64 (Steele, Lea and Flood, 2014). relaxed: each gets another number, and nothing else matters.
  auto z = state.fetch_add(0x9E3779B97F4A7C15U, std::memory_order_relaxed);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

/// Between 0 and `most`.
nanoseconds draw_up_to(nanoseconds most) noexcept {
  auto const choices = static_cast<std::size_t>(most.count()) + 1;  // of at most 2^63
  worker const* const w = current_worker();
  environment* const world = w != nullptr ? w->home.world : nullptr;
  if (choices <= 1) return nanoseconds{0};
  if (world == nullptr) return nanoseconds{static_cast<std::int64_t>(draw_freely() % choices)};
  under_identity const scheduler_code{w->identity};
  return nanoseconds{static_cast<std::int64_t>(world->choose(choices) % choices)};
}

/// `d` times a factor, at most `most`.
nanoseconds scale(nanoseconds d, double factor, nanoseconds most) noexcept {
  // A double has no place for every count, and the largest would be rounded up: first compared, then converted.
  double const scaled = static_cast<double>(d.count()) * factor;
  return scaled < static_cast<double>(most.count()) ? nanoseconds{static_cast<std::int64_t>(scaled)} : most;
}

}  // namespace

retry_pacer::retry_pacer(retry_policy const& how)
    : how_(how), end_(deadline_after(how.budget)), backoff_(std::min(how.backoff, how.max_backoff)) {
  if (how.attempts == 0) bad_policy("attempts is 0, at least 1 is needed");
  if (how.backoff.count() < 0) bad_policy("backoff is negative");
  if (!(how.factor >= 1.0)) bad_policy("factor is " + std::to_string(how.factor) + ", at least 1 is needed");
  if (how.max_backoff.count() < 0) bad_policy("max_backoff is negative");
  if (!(how.jitter >= 0.0 && how.jitter <= 1.0)) {
    bad_policy("jitter is " + std::to_string(how.jitter) + ", possible are 0 to 1");
  }
  if (how.budget.count() < 0) bad_policy("budget is negative");
}

bool retry_pacer::goes_on(std::exception_ptr const& error) {
  if (attempt_ == how_.attempts || (how_.retry_if && !how_.retry_if(error))) return false;
  auto const wait = backoff_ - draw_up_to(scale(backoff_, how_.jitter, backoff_));
  next_ = deadline_after(wait);
  if (next_ > end_) return false;
  ++attempt_;
  backoff_ = scale(backoff_, how_.factor, how_.max_backoff);
  return true;
}

void retry_pacer::pause() {
  if (next_ <= deadline_after(nanoseconds{0})) return this_fiber::yield();
  weft::sleep_until(next_);
}

}  // namespace weft::inline v0::detail
