/// @file
/// Assertions that fail on fibers. Each test case announces the line on which the next assertion fails, and Catch2 must
/// report that line; check_lines.cmake compares. The program itself fails.

#include "support/catch.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

using namespace std::chrono_literals;

namespace {

void announce(int line = __builtin_LINE()) {
  std::printf("fails on line %d\n", line);
  std::fflush(stdout);
}

/// Runs `f` in each kind of runtime with one worker.
template <class F>
void in_each(F f) {
  SECTION("simulation") { weft::testing::simulation{GENERATE(1U, 2U, 3U), {.report_failure = false}}.run(f); }
  SECTION("virtual time") { weft::run(f, weft::testing::in_virtual_time()); }
  SECTION("fifo") { weft::run(f, weft::testing::fifo()); }
  SECTION("one worker") { weft::run(f, {.workers = 1}); }
}

// The next lines must stay as they are: one assertion each, with its announcement.
// clang-format off
void check_that_fails() { announce(); CHECK(1 + 1 == 3); }
void require_that_fails() { announce(); REQUIRE(2 + 2 == 5); }
void check_deep_down() { announce(); CHECK(weft::this_fiber::worker() == 7); }
void require_after_a_wait() { announce(); REQUIRE_FALSE(weft::this_fiber::get_id() != weft::fiber_id{}); }
void require_in_a_job() { announce(); REQUIRE(3 + 3 == 7); }
// clang-format on

void passes_through_a_join() {
  auto t = weft::spawn([] {
    weft::sleep_for(1us);
    require_after_a_wait();
    std::printf("not reached\n");
  });
  weft::yield();
  t.get();
  std::printf("not reached\n");
}

}  // namespace

TEST_CASE("CHECK in the first fiber") {
  in_each([] {
    check_that_fails();
    CHECK(true);
  });
}

TEST_CASE("REQUIRE in the first fiber leaves it and run()") {
  in_each([] {
    require_that_fails();
    std::printf("not reached\n");
  });
}

TEST_CASE("CHECK in spawned fibers, one after another") {
  in_each([] {
    INFO("a message of the fiber");
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(weft::spawn([] {
        weft::yield();
        check_deep_down();
        weft::yield();
      }));
    }
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("REQUIRE in a spawned fiber goes through get() and run()") { in_each(passes_through_a_join); }

TEST_CASE("REQUIRE in an offloaded call of a simulation") {
  weft::testing::simulation{1, {.report_failure = false}}.run([] { weft::offload(require_in_a_job); });
}
