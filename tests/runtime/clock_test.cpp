/// @file
/// Durations and time points of every kind become deadlines that cannot overflow (H25).

#include <weft/runtime/clock.hpp>

#include "cpu_count.hpp"

#include "support/catch.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <thread>

using namespace std::chrono_literals;
using std::chrono::duration;
using std::chrono::nanoseconds;
using weft::detail::add;
using weft::detail::to_deadline;
using weft::detail::to_nanoseconds;

namespace {
using limits = std::numeric_limits<std::int64_t>;
using seconds_f = duration<double>;
constexpr auto max = nanoseconds::max();
}  // namespace

// Usable, and right, at compile time.
static_assert(to_nanoseconds(1s) == 1'000'000'000ns);
static_assert(add(weft::time_point{5ns}, 3ns) == weft::time_point{8ns});

TEST_CASE("H25: whole durations are exact or clamped", "[clock][hazard][H25]") {
  CHECK(to_nanoseconds(0s) == 0ns);
  CHECK(to_nanoseconds(-3ms) == -3'000'000ns);
  CHECK(to_nanoseconds(nanoseconds::max()) == max);
  CHECK(to_nanoseconds(nanoseconds::min()) == nanoseconds::min());
  CHECK(to_nanoseconds(std::chrono::hours::max()) == max);
  CHECK(to_nanoseconds(std::chrono::hours::min()) < -1h);
  CHECK(to_nanoseconds(std::chrono::years{292}) == std::chrono::years{292});
  CHECK(to_nanoseconds(std::chrono::years{293}) == max);
  CHECK(to_nanoseconds(duration<std::int64_t, std::exa>::max()) == max);
  CHECK(to_nanoseconds(duration<std::int64_t, std::exa>::min()) < -1h);
  CHECK(to_nanoseconds(duration<std::uint64_t>::max()) == max);
  CHECK(to_nanoseconds(duration<std::uint64_t, std::nano>{~std::uint64_t{0}}) == max);
}

TEST_CASE("H25: fractions are rounded up, numbers that are none are 0, infinite ones are clamped",
          "[clock][hazard][H25]") {
  CHECK(to_nanoseconds(duration<int, std::pico>{1}) == 1ns);
  CHECK(to_nanoseconds(duration<int, std::pico>{1000}) == 1ns);
  CHECK(to_nanoseconds(duration<int, std::pico>{1001}) == 2ns);
  CHECK(to_nanoseconds(duration<int, std::pico>{-1001}) == -1ns);
  CHECK(to_nanoseconds(duration<int, std::ratio<1, 3>>{1}) == 333'333'334ns);
  CHECK(to_nanoseconds(seconds_f{0.25}) == 250ms);
  CHECK(to_nanoseconds(seconds_f{std::numeric_limits<double>::denorm_min()}) == 1ns);
  CHECK(to_nanoseconds(seconds_f{std::numeric_limits<double>::quiet_NaN()}) == 0ns);
  CHECK(to_nanoseconds(seconds_f{std::numeric_limits<double>::infinity()}) == max);
  CHECK(to_nanoseconds(seconds_f{-std::numeric_limits<double>::infinity()}) < -1h);
  CHECK(to_nanoseconds(seconds_f::max()) == max);
  CHECK(to_nanoseconds(duration<float, std::exa>::max()) == max);
  // The border: 2^63 ns does not fit, the next smaller double does.
  CHECK(to_nanoseconds(duration<double, std::nano>{9223372036854775808.0}) == max);
  CHECK(to_nanoseconds(duration<double, std::nano>{9223372036854774784.0}) == nanoseconds{9223372036854774784});
}

TEST_CASE("H25: a deadline past the end of time is never", "[clock][hazard][H25]") {
  weft::time_point const now{1h};
  CHECK(add(now, 0ns) == now);
  CHECK(add(now, -1ns) == now);
  CHECK(add(now, nanoseconds::min()) == now);
  CHECK(add(now, max) == weft::never);
  CHECK(add(now, max - 1h) == weft::never);
  CHECK(add(now, max - 1h - 1ns) == weft::never - 1ns);
  CHECK(add(weft::time_point{-1h}, max) <= weft::never);
  CHECK(add(weft::time_point::min(), 1ns) == weft::time_point::min() + 1ns);
  CHECK(add(weft::never, 1ns) == weft::never);
}

TEST_CASE("H25: time points of other clocks become deadlines", "[clock][hazard][H25]") {
  using std::chrono::system_clock;
  CHECK(to_deadline(weft::never) == weft::never);
  CHECK(to_deadline(weft::clock::time_point::max()) == weft::never);
  CHECK(to_deadline(std::chrono::time_point<weft::clock, std::chrono::hours>{std::chrono::hours::max()}) ==
        weft::never);
  auto const before = weft::clock::now();
  auto const long_past = to_deadline(system_clock::time_point::min());
  CHECK(long_past >= before);
  CHECK(long_past <= weft::clock::now());
  auto const in_an_hour = to_deadline(system_clock::now() + 1h);
  CHECK(in_an_hour > before + 59min);
  CHECK(in_an_hour < weft::clock::now() + 61min);
  CHECK(to_deadline(std::chrono::time_point<system_clock, std::chrono::hours>{std::chrono::hours::max()}) ==
        weft::never);
}

TEST_CASE("there is at least one CPU, and no more than the machine has", "[cpu_count]") {
  auto const count = weft::detail::cpu_count();
  CHECK(count >= 1);
  CHECK(count <= std::max(std::thread::hardware_concurrency(), 1U));
}
