#pragma once
/// @file
/// Time as weft counts it, and the arithmetic that cannot overflow.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>

namespace weft::inline v0 {

/// The clock of all deadlines: steady, in nanoseconds.
using clock = std::chrono::steady_clock;
using time_point = std::chrono::time_point<clock, std::chrono::nanoseconds>;

/// The deadline that never comes.
inline constexpr time_point never = time_point::max();

namespace detail {

/// `d` in whole nanoseconds, rounded up so that a wait is never shorter than asked; out of range or NaN is clamped.
template <class Rep, class Period>
[[nodiscard]] constexpr std::chrono::nanoseconds to_nanoseconds(std::chrono::duration<Rep, Period> d) noexcept {
  using std::chrono::nanoseconds;
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  if constexpr (std::integral<Rep> && std::nano::den % Period::den == 0 &&
                Period::num <= most / (std::nano::den / Period::den)) {
    std::int64_t whole = 0;
    constexpr std::int64_t factor = Period::num * (std::nano::den / Period::den);
    if (!__builtin_mul_overflow(d.count(), factor, &whole)) return nanoseconds{whole};
    return d.count() < 0 ? nanoseconds::min() : nanoseconds::max();
  } else {
    // long double holds every count of 64 bits exactly, and compares without overflow.
    long double const exact = static_cast<long double>(d.count()) * Period::num *
                              (static_cast<long double>(std::nano::den) / Period::den);
    if (!(exact > static_cast<long double>(-most))) return exact != exact ? nanoseconds{0} : nanoseconds{-most};
    if (exact >= static_cast<long double>(most)) return nanoseconds::max();
    auto const whole = static_cast<std::int64_t>(exact);
    return nanoseconds{static_cast<long double>(whole) < exact ? whole + 1 : whole};
  }
}

/// `from + d`; a sum past the end of time is `never`, a negative `d` is `from`.
[[nodiscard]] constexpr time_point add(time_point from, std::chrono::nanoseconds d) noexcept {
  if (d.count() <= 0) return from;
  if (from < time_point{}) return from + d;
  return d >= never - from ? never : from + d;
}

/// The deadline `d` from now. Reads the clock of the caller's runtime.
[[nodiscard]] time_point deadline_after(std::chrono::nanoseconds d) noexcept;

/// A time point of any clock as a deadline of ours.
template <class Clock, class Duration>
[[nodiscard]] time_point to_deadline(std::chrono::time_point<Clock, Duration> t) noexcept {
  if constexpr (std::same_as<Clock, clock>) {
    return time_point{to_nanoseconds(t.time_since_epoch())};
  } else {
    // Where nothing overflows: neither the difference of two time points of 64 bits nor a change of unit may fit.
    using seconds = std::chrono::duration<long double>;
    seconds const left = seconds{t.time_since_epoch()} - seconds{Clock::now().time_since_epoch()};
    return deadline_after(to_nanoseconds(left));
  }
}

}  // namespace detail
}  // namespace weft::inline v0
