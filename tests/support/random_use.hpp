#pragma once
/// @file
/// Random use of a primitive, by fibers and plain threads at once, with limits and cancellations.

#include "catch.hpp"
#include "run_on.hpp"
#include "scale.hpp"
#include "watchdog.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/timeout.hpp>

#include <chrono>
#include <cstddef>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace weft::test {

/// Takes something in one of four ways: at once or not at all, within a moment, unless cancelled within a moment, or
/// for as long as it takes.  @returns whether it was taken
template <class Take, class TryTake, class TryTakeFor>
bool take_somehow(std::minstd_rand& random, Take&& take, TryTake&& try_take, TryTakeFor&& try_take_for) {
  auto const way = random() % 4;
  std::chrono::microseconds const moment{random() % 50};
  switch (way) {
    case 0: return try_take();
    case 1: return try_take_for(moment);
    case 2: return weft::move_on_after(moment, take);
    default: take(); return true;
  }
}

/// Calls `use` again and again, each time with its caller's own random numbers, from twelve fibers and two threads;
/// once for each of several numbers of workers. The seed is told where a check fails.
template <class Use>
void use_at_random(std::string const& what, Use&& use) {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  watchdog dog{what};
  weft::runtime rt{on(some_workers())};
  auto const user = [&](unsigned number) {
    std::minstd_rand random{seed + number};
    for (std::size_t i = 0; i < scaled(2000); ++i) {
      use(random);
      dog.feed();
    }
  };
  std::vector<weft::task<void>> tasks;
  for (unsigned i = 0; i < 12; ++i) tasks.push_back(rt.spawn(user, i));
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i) threads.emplace_back(user, 100 + i);
  for (auto& t : threads) t.join();
  for (auto& t : tasks) t.get();
  expect_no_leaks(rt);
}

}  // namespace weft::test
