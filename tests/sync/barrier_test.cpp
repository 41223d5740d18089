/// @file
/// barrier.

#include <weft/sync/barrier.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a barrier lets nobody through before all have come, round after round", "[barrier]") {
  watchdog dog{"barrier"};
  weft::runtime rt{on(some_workers())};
  constexpr int parties = 5;
  auto const rounds = static_cast<int>(scaled(400));
  weft::barrier b{parties};
  std::vector<std::atomic<int>> came(static_cast<std::size_t>(rounds));
  std::vector<std::atomic<int>> indices(static_cast<std::size_t>(rounds));
  std::atomic<bool> wrong{false};
  auto const party = [&] {
    for (auto round = std::size_t{0}; round < came.size(); ++round) {
      ++came[round];
      auto const index = b.wait();
      if (came[round].load() != parties) wrong = true;
      indices[round] += 1 << index;
      dog.feed();
    }
  };
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < parties - 1; ++i) tasks.push_back(rt.spawn(party));
  std::thread thread{party};
  thread.join();
  for (auto& t : tasks) t.get();
  CHECK_FALSE(wrong.load());
  bool each_once = true;
  for (auto& i : indices) each_once = each_once && i.load() == (1 << parties) - 1;
  CHECK(each_once);
  CHECK(b.waiting() == 0);
}

TEST_CASE("after one has given up each still gets a number of its own", "[barrier]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::barrier b{3};
    sequence<std::ptrdiff_t> indices;
    auto const wait = [&] { indices.add(b.wait()); };
    auto gives_up = weft::spawn([&] { verify(throws<weft::timeout_error>([&] { (void)b.wait_for(2ms); })); });
    weft::sleep_for(1ms);
    auto first = weft::spawn(wait);
    gives_up.get();
    auto second = weft::spawn(wait);
    weft::sleep_for(1ms);
    wait();
    first.get();
    second.get();
    auto steps = indices.steps();
    std::sort(steps.begin(), steps.end());
    verify(steps == std::vector<std::ptrdiff_t>{0, 1, 2});
  });
}

TEST_CASE("who gives up has not come", "[barrier]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::barrier b{2};
    verify(throws<weft::timeout_error>([&] { (void)b.wait_for(0s); }));
    verify(throws<weft::timeout_error>([&] { (void)b.wait_for(1s); }));
    verify(!weft::move_on_after(1s, [&] { b.arrive_and_wait(); }));
    verify(b.waiting() == 0);
    auto first = weft::spawn([&] { return b.wait(); });
    weft::yield();
    verify(b.waiting() == 1);
    verify(b.wait_for(0s) == 1);  // as the last
    verify(first.get() == 0);
  });
}

TEST_CASE("an aborted barrier is broken until it is reset", "[barrier]") {
  run_on(some_workers(), [] {
    weft::barrier b{3};
    auto first = weft::spawn([&] { return b.wait(); });
    auto second = weft::spawn([&] { return b.wait(); });
    while (b.waiting() < 2) weft::yield();
    b.abort();
    verify(throws<weft::broken_barrier>([&] { (void)first.get(); }));
    verify(throws<weft::broken_barrier>([&] { (void)second.get(); }));
    verify(b.broken());
    verify(throws<weft::broken_barrier>([&] { (void)b.wait(); }));
    b.reset();
    verify(!b.broken());
    first = weft::spawn([&] { return b.wait(); });
    while (b.waiting() < 1) weft::yield();
    b.reset();
    verify(throws<weft::broken_barrier>([&] { (void)first.get(); }));
    verify(!b.broken() && b.waiting() == 0);
  });
}

TEST_CASE("a barrier needs at least one party", "[barrier][bad-input]") {
  CHECK_THROWS_AS(weft::barrier{0}, std::invalid_argument);
  CHECK_THROWS_AS(weft::barrier{-1}, std::invalid_argument);
  weft::barrier alone{1};
  CHECK(alone.wait() == 0);
  CHECK(alone.wait() == 0);
}

TEST_CASE("rounds hold under timeouts that race with them", "[barrier]") {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  watchdog dog{"barrier"};
  weft::runtime rt{on(some_workers())};
  constexpr int parties = 3;
  weft::barrier b{parties};
  std::atomic<long> passed{0};
  auto const party = [&](unsigned number) {
    std::minstd_rand random{seed + number};
    for (std::size_t i = 0; i < scaled(1000); ++i) {
      try {
        (void)b.wait_for(std::chrono::microseconds{random() % 60});
        ++passed;
      } catch (weft::timeout_error const&) {
      }
      dog.feed();
    }
  };
  std::vector<weft::task<void>> tasks;
  for (unsigned i = 0; i < 6; ++i) tasks.push_back(rt.spawn(party, i));
  for (auto& t : tasks) t.get();
  CHECK(passed.load() % parties == 0);
  CHECK(b.waiting() == 0);
  expect_no_leaks(rt);
}
