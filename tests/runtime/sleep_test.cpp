/// @file
/// Sleeping: how long, in which order, and every odd duration (H25).

#include <weft/runtime/this_fiber.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <ratio>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

using seconds_f = std::chrono::duration<double>;
constexpr auto no_number = std::numeric_limits<double>::quiet_NaN();
constexpr auto infinity = std::numeric_limits<double>::infinity();

weft::time_point virtual_now() { return weft::detail::deadline_after(0ns); }

/// Whether f() ends without virtual time having passed.
template <class F>
void verify_takes_no_time(F&& f) {
  auto const before = virtual_now();
  f();
  verify(virtual_now() == before);
}

/// Whether f() only ends by cancellation.
template <class F>
void verify_takes_for_ever(F&& f) {
  bool returned = false;
  bool cancelled = false;
  auto t = weft::spawn([&] {
    try {
      f();
      returned = true;
    } catch (weft::cancelled const&) {
      cancelled = true;
    }
  });
  weft::sleep_for(std::chrono::hours{24 * 365});
  verify(!returned);
  t.cancel();
  t.wait();
  verify(cancelled && !returned);
}

}  // namespace

TEST_CASE("H25: to sleep for a negative time, none, or no number takes none", "[sleep][hazard][H25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    verify_takes_no_time([] { weft::sleep_for(0ns); });
    verify_takes_no_time([] { weft::sleep_for(-1ns); });
    verify_takes_no_time([] { weft::sleep_for(std::chrono::nanoseconds::min()); });
    verify_takes_no_time([] { weft::sleep_for(std::chrono::hours::min()); });
    verify_takes_no_time([] { weft::sleep_for(seconds_f{-0.0}); });
    verify_takes_no_time([] { weft::sleep_for(seconds_f{-infinity}); });
    verify_takes_no_time([] { weft::sleep_for(seconds_f{no_number}); });
    verify_takes_no_time([] { weft::sleep_until(weft::time_point::min()); });
    verify_takes_no_time([] { weft::sleep_until(std::chrono::system_clock::time_point::min()); });
  });
}

TEST_CASE("H25: time points long past on workers that watch each other's timers", "[sleep][hazard][H25]") {
  run_on(some_workers(), [] {
    std::vector<weft::task<void>> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.push_back(weft::spawn([] {
        for (std::size_t k = scaled(2'000); k > 0; --k) {
          weft::sleep_for(1us);
          weft::sleep_until(weft::time_point::min());
        }
      }));
    }
    for (auto& s : sleepers) s.get();
  });
}

TEST_CASE("H25: to sleep for longer than the clock can count is to sleep until cancelled", "[sleep][hazard][H25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    verify_takes_for_ever([] { weft::sleep_for(std::chrono::nanoseconds::max()); });
    verify_takes_for_ever([] { weft::sleep_for(std::chrono::hours::max()); });
    verify_takes_for_ever([] { weft::sleep_for(std::chrono::duration<std::int64_t, std::tera>::max()); });
    verify_takes_for_ever([] { weft::sleep_for(seconds_f{infinity}); });
    verify_takes_for_ever([] { weft::sleep_for(seconds_f::max()); });
    verify_takes_for_ever([] { weft::sleep_until(weft::never); });
    verify_takes_for_ever([] { weft::sleep_until(weft::time_point::max()); });
  });
}

TEST_CASE("a sleep lasts exactly as long as asked, fractions rounded up", "[sleep]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const lasts = [](auto asked, std::chrono::nanoseconds expected) {
      auto const before = virtual_now();
      weft::sleep_for(asked);
      verify(virtual_now() - before == expected);
    };
    lasts(1ns, 1ns);
    lasts(1ms, 1ms);
    lasts(24h, 24h);
    lasts(std::chrono::duration<double, std::nano>{1.25}, 2ns);
    lasts(std::chrono::duration<int, std::pico>{1}, 1ns);
    lasts(std::chrono::duration<double, std::milli>{0.5}, 500us);
  });
}

TEST_CASE("sleepers wake in the order of their deadlines", "[sleep]") {
  auto const seed = GENERATE(1U, 2U, 3U);
  INFO("seed " << seed);
  run_with(weft::testing::in_virtual_time(), [&] {
    std::minstd_rand random{seed};
    sequence<weft::time_point> woken;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 500; ++i) {
      auto const deadline = virtual_now() + std::chrono::microseconds(random() % 1'000'000);
      tasks.push_back(weft::spawn([&, deadline] {
        weft::sleep_until(deadline);
        verify(virtual_now() == deadline);
        woken.add(deadline);
      }));
    }
    for (auto& t : tasks) t.get();
    auto const order = woken.steps();
    verify(order.size() == 500);
    verify(std::is_sorted(order.begin(), order.end()));
  });
}

TEST_CASE("a real sleep is never shorter than asked", "[sleep]") {
  run_on(some_workers(), [] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(weft::spawn([i] {
        auto const end = weft::clock::now() + std::chrono::microseconds(37 * i);
        weft::sleep_for(std::chrono::microseconds(37 * i));
        verify(weft::clock::now() >= end);
      }));
    }
    for (auto& t : tasks) t.get();
  });
}
