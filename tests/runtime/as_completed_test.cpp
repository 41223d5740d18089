/// @file
/// as_completed: tasks in the order in which they end.

#include <weft/runtime/as_completed.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <random>
#include <ranges>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::simulation;

namespace {

using tasks_type = std::vector<weft::task<int>>;
static_assert(std::ranges::input_range<weft::completion_range<tasks_type&>>);
static_assert(std::ranges::input_range<weft::completion_range<tasks_type>>);
static_assert(std::same_as<std::ranges::range_reference_t<weft::completion_range<tasks_type&>>, weft::task<int>&>);

void park_forever() {
  weft::event never_set;
  never_set.wait();
}

weft::task<int> in(std::chrono::seconds d, int value) {
  return weft::spawn([d, value] {
    weft::sleep_for(d);
    return value;
  });
}

tasks_type three() {
  tasks_type tasks;
  tasks.push_back(in(3s, 4));
  tasks.push_back(in(1s, 5));
  tasks.push_back(in(2s, 6));
  return tasks;
}

}  // namespace

TEST_CASE("as_completed of 4, 5, 6 at 3, 1, 2 s gives 5, 6, 4", "[as_completed][rule12]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    auto tasks = three();
    std::vector<int> order;
    std::vector<weft::task<int>*> which;
    auto const begin = weft::testing::now();
    std::vector<std::chrono::nanoseconds> at;
    for (auto& t : weft::as_completed(tasks)) {
      which.push_back(&t);
      order.push_back(t.get());
      at.push_back(weft::testing::now() - begin);
    }
    CHECK(order == std::vector{5, 6, 4});
    CHECK(which == std::vector{&tasks[1], &tasks[2], &tasks[0]});
    CHECK(at == std::vector<std::chrono::nanoseconds>{1s, 2s, 3s});
  });
}

TEST_CASE("rule 12: the limit of as_completed is thrown when advanced", "[as_completed][rule12]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto tasks = three();
    std::vector<int> order;
    CHECK_THROWS_AS(
        [&] {
          for (auto& t : weft::as_completed(tasks, 2500ms)) order.push_back(t.get());
        }(),
        weft::timeout_error);
    CHECK(order == std::vector{5, 6});
    CHECK_FALSE(tasks[0].ready());
    // It is a limit for all of them, from the call on.
    auto late = weft::as_completed(tasks, 100ms);
    weft::sleep_for(200ms);
    auto at = late.begin();
    ++at;
    CHECK_THROWS_AS(++at, weft::timeout_error);
    CHECK(tasks[0].get() == 4);
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("with a limit of zero those come that have ended", "[as_completed][rule5]") {
  simulation sim{1};
  sim.run([] {
    auto tasks = three();
    weft::sleep_for(2500ms);
    int n = 0;
    CHECK_THROWS_AS(
        [&] {
          for (auto& t : weft::as_completed(tasks, 0s)) n += t.get();
        }(),
        weft::timeout_error);
    CHECK(n == 11);
  });
}

TEST_CASE("an owned range goes with the loop", "[as_completed][rule12]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    bool cancelled = false;
    auto tasks = three();
    tasks.push_back(weft::spawn([&]() -> int {
      try {
        park_forever();
      } catch (weft::cancelled const& c) {
        cancelled = c.reason() == weft::cancel_reason::handle_dropped;
        throw;
      }
      return 0;
    }));
    int first = 0;
    for (auto& t : weft::as_completed(std::move(tasks))) {
      first = t.get();
      break;
    }
    CHECK(first == 5);
    CHECK(cancelled);
    weft::testing::expect_no_leaks();
  });
  CHECK(sim.elapsed() == 1s);
}

TEST_CASE("a loop that is left early leaves the other tasks alone", "[as_completed]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto tasks = three();
    for (auto& t : weft::as_completed(tasks)) {
      (void)t.get();
      break;
    }
    CHECK(tasks[0].get() + tasks[2].get() == 10);
  });
}

TEST_CASE("as_completed composes with views", "[as_completed]") {
  simulation sim{1};
  sim.run([] {
    auto tasks = three();
    auto results = weft::as_completed(tasks) | std::views::filter([&](auto& t) { return &t != &tasks[2]; }) |
                   std::views::transform([](auto& t) { return t.get(); });
    std::vector<int> order;
    for (int const i : results) order.push_back(i);
    CHECK(order == std::vector{5, 4});
  });
}

TEST_CASE("as_completed of no tasks, of pointers, and of an empty handle", "[as_completed][bad-input]") {
  run_on(some_workers(), [] {
    tasks_type tasks;
    for (auto& t : weft::as_completed(tasks)) verify(t.ready() && false);
    tasks.push_back(in(0s, 1));
    tasks.push_back(in(0s, 2));
    std::vector<weft::task<int>*> const pointers{&tasks[1], &tasks[0]};
    int sum = 0;
    for (auto& t : weft::as_completed(pointers)) sum += t.get();
    verify(sum == 3);
    tasks.emplace_back();
    verify(throws<weft::error>([&] { (void)weft::as_completed(tasks); }));
  });
}

TEST_CASE("advancing is a cancellation point, and the tasks go on", "[as_completed][cancel]") {
  run_on(some_workers(), [] {
    weft::event go;
    weft::event begun;
    tasks_type tasks;
    tasks.push_back(weft::spawn([&] {
      go.wait();
      return 1;
    }));
    auto loop = weft::spawn([&] {
      begun.set();
      for (auto& t : weft::as_completed(tasks)) (void)t.get();
    });
    begun.wait();
    loop.cancel();
    verify(throws<weft::cancelled>([&] { loop.get(); }));
    verify(!tasks[0].ready());
    go.set();
    verify(tasks[0].get() == 1);
  });
}

TEST_CASE("from a thread, with tasks that are joined elsewhere too", "[as_completed]") {
  weft::runtime rt{on(some_workers())};
  tasks_type tasks;
  for (int i = 0; i < 50; ++i) {
    tasks.push_back(rt.spawn([i] {
      for (int y = 0; y < i % 7; ++y) weft::yield();
      return i;
    }));
  }
  auto other = rt.spawn([&] {
    for (auto const& t : tasks) t.wait();
  });
  int sum = 0;
  for (auto& t : weft::as_completed(tasks)) sum += t.get();
  CHECK(sum == 49 * 50 / 2);
  other.get();
  expect_no_leaks(rt);
}

TEST_CASE("every task comes once, whatever races", "[as_completed][stress]") {
  watchdog dog{"as_completed"};
  auto const seed = GENERATE(1U, 2U);
  auto const rounds = scaled(2'000);
  CAPTURE(seed);
  run_on(some_workers(), [&] {
    std::minstd_rand random{seed};
    for (std::size_t i = 0; i < rounds; ++i) {
      tasks_type tasks;
      auto const n = random() % 12;
      for (unsigned k = 0; k < n; ++k) {
        tasks.push_back(weft::spawn([yields = random() % 5, fails = random() % 5 == 0] {
          for (unsigned y = 0; y < yields; ++y) weft::yield();
          if (fails) throw std::runtime_error("fails");
          return 1;
        }));
        if (random() % 4 == 0) tasks.back().cancel();
      }
      std::size_t seen = 0;
      auto const stop_at = random() % 3 == 0 ? random() % 12 : 12;
      for (auto& t : weft::as_completed(tasks)) {
        verify(t.ready());
        if (++seen == stop_at) break;
      }
      verify(seen == std::min<std::size_t>(std::max<std::size_t>(stop_at, 1), n) || stop_at == 0);
      for (auto const& t : tasks) {
        t.wait();
        (void)t.exception();
      }
      dog.feed();
    }
  });
}
