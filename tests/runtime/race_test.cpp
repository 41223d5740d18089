/// @file
/// race: the first that ends wins, the others are cancelled and joined.

#include <weft/runtime/race.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::simulation;

namespace {

void park_forever() {
  weft::event never_set;
  never_set.wait();
}

static_assert(std::same_as<decltype(weft::race(std::declval<int (*)()>(), std::declval<int (*)()>())), int>);
static_assert(std::same_as<decltype(weft::race(std::declval<void (*)()>(), std::declval<void (*)()>())), void>);
static_assert(std::same_as<decltype(weft::race(std::declval<int& (*)()>())), int&>);
static_assert(std::same_as<decltype(weft::race(std::declval<int (*)()>(), std::declval<void (*)()>())),
                           std::variant<int, std::monostate>>);

}  // namespace

TEST_CASE("the first to end wins a race, and the others are cancelled and joined", "[race]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    bool loser_ended = false;
    auto const winner = weft::race(
        [&] {
          try {
            weft::sleep_for(3s);
          } catch (weft::cancelled const& c) {
            CHECK(c.reason() == weft::cancel_reason::handle_dropped);
            loser_ended = true;
            throw;
          }
          return 3;
        },
        [] {
          weft::sleep_for(1s);
          return 1;
        },
        [] {
          weft::sleep_for(2s);
          return 2;
        });
    CHECK(winner == 1);
    CHECK(loser_ended);
  });
  CHECK(sim.elapsed() == 1s);
}

TEST_CASE("a race is won by an exception, too", "[race]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    CHECK_THROWS_AS(weft::race([] { weft::sleep_for(2s); },
                               [] {
                                 weft::sleep_for(1s);
                                 throw std::out_of_range("won");
                               }),
                    std::out_of_range);
  });
  CHECK(sim.elapsed() == 1s);
}

TEST_CASE("a race of different results says who won", "[race]") {
  run_on(some_workers(), [] {
    std::string word = "word";
    auto const number = weft::race([] { return 1; }, []() -> std::string { park_forever(), throw 1; });
    verify(number.index() == 0 && std::get<0>(number) == 1);
    auto const reference = weft::race([] { park_forever(); }, [&]() -> std::string& { return word; });
    verify(reference.index() == 1 && &std::get<1>(reference).get() == &word);
    auto const pointer = weft::race([] { return std::make_unique<int>(6); });
    verify(*pointer == 6);
    weft::race([] {}, [] { park_forever(); });
  });
}

TEST_CASE("a race of a range", "[race][bad-input]") {
  run_on(some_workers(), [] {
    std::vector<std::function<int()>> runners(5, []() -> int { park_forever(), throw 1; });
    runners[3] = [] { return 3; };
    verify(weft::race(runners) == 3);
    verify(throws<std::invalid_argument>([] { (void)weft::race(std::vector<int (*)()>{}); }));
    runners[2] = nullptr;
    verify(throws<std::invalid_argument>([&] { (void)weft::race(runners); }));
  });
  CHECK_THROWS_AS(weft::race([] { return 1; }), weft::no_runtime);
}

TEST_CASE("what losers fail with is reported", "[race][rule11]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    weft::event begun;
    auto const winner = weft::race(
        [&]() -> int {
          begun.set();
          try {
            park_forever();
          } catch (weft::cancelled const&) {
            throw std::runtime_error("while it ended");
          }
          return 1;
        },
        [&] {
          begun.wait();
          return 2;
        });
    verify(winner == 2);
  });
  CHECK(log.lines() == std::vector<std::string>{": while it ended"});
}

TEST_CASE("a cancelled caller cancels its race", "[race][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    auto outer = weft::spawn([&] {
      auto const runner = [&] {
        begun.set();
        park_forever();
      };
      weft::race(runner, runner);
    });
    begun.wait();
    outer.cancel();
    verify(throws<weft::cancelled>([&] { outer.get(); }));
  });
}
