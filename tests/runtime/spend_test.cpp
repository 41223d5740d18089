/// @file
/// Work that takes virtual time, on fibers and in offloaded calls.

#include <weft/runtime/testing.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/gather.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::now;
using weft::testing::spend;

namespace {

/// In both kinds of virtual time; what does not depend on who is next holds for every seed.
template <class F>
void in_virtual_times(F const& f) {
  run_with(weft::testing::in_virtual_time(), f);
  for (std::uint64_t seed = 0; seed < 20; ++seed) weft::testing::simulation{seed}.run(f);
}

}  // namespace

TEST_CASE("what a fiber spends holds up all others, and their timers are late", "[testing]") {
  in_virtual_times([] {
    auto const start = now();
    std::vector<std::chrono::nanoseconds> ticks;
    auto ticker = weft::spawn([&] {
      for (int i = 0; i < 3; ++i) {
        weft::sleep_for(1s);
        ticks.push_back(now() - start);
      }
    });
    weft::testing::run_until_blocked();  // the ticker sleeps
    spend(2500ms);
    verify(now() - start == 2500ms);
    verify(ticks.empty());
    ticker.get();
    verify(ticks == std::vector<std::chrono::nanoseconds>{2500ms, 3500ms, 4500ms});
  });
}

TEST_CASE("what an offloaded call spends holds up its caller alone", "[testing][offload]") {
  in_virtual_times([] {
    auto const start = now();
    std::vector<std::chrono::nanoseconds> ticks;
    auto ticker = weft::spawn([&] {
      for (int i = 0; i < 3; ++i) {
        weft::sleep_for(1s);
        ticks.push_back(now() - start);
      }
    });
    weft::testing::run_until_blocked();
    int const answer = weft::offload([] {
      spend(2500ms);
      return 7;
    });
    verify(answer == 7);
    verify(now() - start == 2500ms);
    verify(ticks == std::vector<std::chrono::nanoseconds>{1s, 2s});
    ticker.get();
    verify(now() - start == 3s);
  });
}

TEST_CASE("calls side by side spend side by side, and one within another what both do", "[testing][offload]") {
  in_virtual_times([] {
    auto const start = now();
    weft::gather([] { weft::offload([] { spend(3s); }); }, [] { weft::offload_blocking([] { spend(5s); }); },
                 [] {
                   weft::offload([] {
                     spend(1s);
                     weft::offload([] { spend(2s); });
                     spend(1s);
                   });
                 });
    verify(now() - start == 5s);
    spend(-1s);
    verify(now() - start == 5s);
  });
}

TEST_CASE("rule 20: a call that spends is told of the cancellation at once, and waited for",
          "[testing][offload][rule20]") {
  in_virtual_times([] {
    auto const start = now();
    std::chrono::nanoseconds told{};
    bool timed_out = false;
    try {
      weft::with_timeout(2500ms, [&] {
        weft::offload([&](std::stop_token stop) {
          while (!stop.stop_requested()) spend(1s);
          told = now() - start;
        });
      });
    } catch (weft::timeout_error const&) {
      timed_out = true;
    }
    verify(timed_out);
    verify(told == 3s);  // at 2.5 s the token stops; the second that the call is in is spent to its end
    verify(now() - start == 3s);
  });
}

TEST_CASE("an offloaded call takes no virtual time by itself, and no timer runs out meanwhile", "[testing][offload]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const start = now();
    int const answer = weft::with_timeout(1ms, [] { return weft::offload([] { return 7; }); });
    verify(answer == 7);
    verify(now() == start);
  });
}
