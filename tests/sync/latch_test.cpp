/// @file
/// latch and wait_group.

#include <weft/sync/latch.hpp>
#include <weft/sync/wait_group.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a latch opens when it has been counted down, for good", "[latch]") {
  weft::latch l{3};
  CHECK_FALSE(l.try_wait());
  CHECK_FALSE(l.wait_for(0s));
  l.count_down(2);
  l.count_down(0);
  CHECK_FALSE(l.try_wait());
  l.count_down();
  CHECK(l.try_wait());
  l.wait();
  CHECK(l.wait_for(0s));
  CHECK(weft::latch{0}.try_wait());
}

TEST_CASE("bad counts of a latch are refused", "[latch][bad-input]") {
  CHECK_THROWS_AS(weft::latch{-1}, std::invalid_argument);
  weft::latch l{1};
  CHECK_THROWS_AS(l.count_down(2), std::invalid_argument);
  CHECK_THROWS_AS(l.count_down(-1), std::invalid_argument);
  CHECK_FALSE(l.try_wait());
  l.count_down();
  CHECK_THROWS_AS(l.count_down(), std::invalid_argument);
}

TEST_CASE("who has seen a latch open may destroy it", "[latch]") {
  watchdog dog{"latch"};
  weft::runtime rt{on(some_workers())};
  for (std::size_t round = 0; round < scaled(2000); ++round) {
    auto l = std::make_unique<weft::latch>(2);
    auto* const shared = l.get();
    auto fiber = rt.spawn([shared] { shared->count_down(); });
    auto other = rt.spawn([shared] { shared->count_down(); });
    if (round % 2 == 0) {
      l->wait();
    } else {
      rt.run([shared] { shared->wait(); });
    }
    l.reset();
    fiber.get();
    other.get();
    dog.feed();
  }
  expect_no_leaks(rt);
}

TEST_CASE("a latch wakes fibers and threads, and arrive_and_wait is both", "[latch]") {
  weft::runtime rt{on(some_workers())};
  weft::latch l{6};
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(rt.spawn([&] { l.arrive_and_wait(); }));
  std::thread thread{[&] { l.arrive_and_wait(); }};
  CHECK_FALSE(l.try_wait());
  l.arrive_and_wait();
  thread.join();
  for (auto& t : tasks) t.get();
}

TEST_CASE("a wait group lets through at 0, again and again", "[wait_group]") {
  run_on(some_workers(), [] {
    weft::wait_group group;
    group.wait();
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> done{0};
      group.add(20);
      verify(!group.wait_for(0s) || done.load() == 20);
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 20; ++i) {
        tasks.push_back(weft::spawn([&] {
          weft::yield();
          ++done;
          group.done();
        }));
      }
      group.wait();
      verify(done.load() == 20 && group.count() == 0);
      for (auto& t : tasks) t.get();
    }
  });
}

TEST_CASE("a wait group does not go below 0, and its wait is a cancellation point", "[wait_group][bad-input]") {
  weft::wait_group group;
  CHECK_THROWS_AS(group.done(), std::invalid_argument);
  group.add(2);
  CHECK_THROWS_AS(group.add(-3), std::invalid_argument);
  CHECK_THROWS_AS(group.add(std::numeric_limits<std::ptrdiff_t>::max() - 1), std::overflow_error);
  CHECK_THROWS_AS(group.add(std::numeric_limits<std::ptrdiff_t>::min()), std::invalid_argument);
  CHECK(group.count() == 2);
  run_with(weft::testing::in_virtual_time(), [&] {
    verify(!group.wait_for(1s));
    weft::cancel_scope scope{1s};
    verify(!scope.run([&] { group.wait(); }));
    group.add(-2);
    group.wait();
  });
}
