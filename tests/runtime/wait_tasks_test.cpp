/// @file
/// wait(): the first, the first failure or all of many tasks, with a limit and without.

#include <weft/runtime/wait.hpp>

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
#include <list>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::return_when;
using weft::testing::simulation;

namespace {

void park_forever() {
  weft::event never_set;
  never_set.wait();
}

weft::task<int> in(std::chrono::seconds d, bool fails = false) {
  return weft::spawn([d, fails] {
    weft::sleep_for(d);
    if (fails) throw std::runtime_error("fails");
    return static_cast<int>(d.count());
  });
}

template <class... T>
std::vector<weft::task<int>> tasks_of(T... t) {
  std::vector<weft::task<int>> tasks;
  (tasks.push_back(std::move(t)), ...);
  return tasks;
}

/// Which of the tasks these are.
template <class Tasks, class Pointers>
std::vector<std::size_t> indices(Tasks const& tasks, Pointers const& pointers) {
  std::vector<std::size_t> result;
  for (auto* const p : pointers) {
    std::size_t index = 0;
    for (auto const& t : tasks) {
      if (&t == p) result.push_back(index);
      ++index;
    }
  }
  return result;
}

using list = std::vector<std::size_t>;

}  // namespace

TEST_CASE("rule 12: wait gives pointers into the range, in input order", "[wait][rule12]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    auto tasks = tasks_of(in(3s), in(1s), in(2s), in(1s));
    auto [done, pending] = weft::wait(tasks, return_when::all_completed, 2s + 1ms);
    CHECK(indices(tasks, done) == list{1, 2, 3});
    CHECK(indices(tasks, pending) == list{0});
    auto const [all, none] = weft::wait(pending);
    CHECK(indices(tasks, all) == list{0});
    CHECK(none.empty());
    CHECK(all[0]->get() == 3);
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("wait for the first", "[wait]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto tasks = tasks_of(in(3s), in(1s, true), in(2s));
    auto const [done, pending] = weft::wait(tasks, return_when::first_completed);
    CHECK(indices(tasks, done) == list{1});
    CHECK(indices(tasks, pending) == list{0, 2});
    CHECK(weft::testing::now() > weft::time_point{});
    // One that has ended is enough, again and again.
    CHECK(weft::wait(tasks, return_when::first_completed).done.size() == 1);
    CHECK_THROWS_AS(tasks[1].get(), std::runtime_error);
  });
  CHECK(sim.elapsed() == 1s);
}

TEST_CASE("wait for the first failure: a tasks own cancellation is none", "[wait]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto tasks = tasks_of(in(1s), in(9s), in(3s, true), in(5s));
    auto canceller = weft::spawn([&] {
      weft::sleep_for(2s);
      tasks[1].cancel();
    });
    auto const [done, pending] = weft::wait(tasks, return_when::first_exception);
    CHECK(indices(tasks, done) == list{0, 1, 2});
    CHECK(indices(tasks, pending) == list{3});
    CHECK_THROWS_AS(tasks[2].get(), std::runtime_error);
    CHECK(weft::wait(tasks, return_when::first_exception, 0s).done.size() == 3);
    CHECK(weft::wait(pending, return_when::first_exception).done.size() == 1);
    canceller.get();
  });
  CHECK(sim.elapsed() == 5s);
}

TEST_CASE("wait with a limit: nothing is cancelled, and zero only looks", "[wait][rule5]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto tasks = tasks_of(in(3s), in(1s));
    CHECK(weft::wait(tasks, 0s).pending.size() == 2);
    CHECK(weft::wait(tasks, -1h).pending.size() == 2);
    CHECK(weft::wait(tasks, return_when::first_completed, 500ms).done.empty());
    CHECK(weft::wait(tasks, std::chrono::hours::max()).done.size() == 2);
    CHECK(tasks[0].get() == 3);
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("wait takes neither results nor exceptions", "[wait][rule14]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    auto tasks = tasks_of(weft::spawn({.name = "lost"}, []() -> int { throw std::runtime_error("lost?"); }));
    verify(weft::wait(tasks, return_when::first_exception).done.size() == 1);
    verify(weft::wait(tasks).done.size() == 1);
  });
  CHECK(log.lines() == std::vector<std::string>{"lost: lost?"});
}

TEST_CASE("wait of no tasks, of a list, and of an empty handle", "[wait][bad-input]") {
  run_on(some_workers(), [] {
    std::vector<weft::task<int>> none;
    for (auto const when : {return_when::first_completed, return_when::first_exception, return_when::all_completed}) {
      auto const result = weft::wait(none, when);
      verify(result.done.empty() && result.pending.empty());
    }
    std::list<weft::task<void>> tasks;
    tasks.push_back(weft::spawn([] { weft::yield(); }));
    tasks.push_back(weft::spawn([] {}));
    verify(weft::wait(tasks).done.size() == 2);
    tasks.emplace_back();
    verify(throws<weft::error>([&] { (void)weft::wait(tasks); }));
  });
}

TEST_CASE("rule 15: a task that waits for itself among others is refused", "[wait][rule15][bad-input]") {
  run_on(some_workers(), [] {
    weft::event go;
    std::vector<weft::task<void>> tasks;
    tasks.push_back(weft::spawn([&] {
      go.wait();
      verify(throws<std::system_error>([&] { (void)weft::wait(tasks); }));
    }));
    go.set();
    tasks[0].get();
  });
}

TEST_CASE("a cancelled wait leaves the tasks alone", "[wait][cancel]") {
  run_on(some_workers(), [] {
    weft::event go;
    weft::event begun;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(weft::spawn([&] { go.wait(); }));
    auto waiting = weft::spawn([&] {
      begun.set();
      verify(throws<weft::cancelled>([&] { (void)weft::wait(tasks); }));
      std::vector<weft::task<void>> none;
      verify(throws<weft::cancelled>([&] { (void)weft::wait(none); }));
    });
    begun.wait();
    waiting.cancel();
    waiting.get();
    for (auto const& t : tasks) verify(!t.ready());
    go.set();
    verify(weft::wait(tasks).done.size() == 4);
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("several may wait for the same tasks, from fibers and threads", "[wait]") {
  weft::runtime rt{on(some_workers())};
  weft::event go;
  std::vector<weft::task<int>> tasks;
  for (int i = 0; i < 20; ++i) {
    tasks.push_back(rt.spawn([&go, i] {
      go.wait();
      return i;
    }));
  }
  std::vector<weft::task<void>> watchers;
  for (int i = 0; i < 5; ++i) {
    watchers.push_back(rt.spawn([&] {
      verify(weft::wait(tasks).done.size() == tasks.size());
      for (auto const& t : tasks) t.wait();
    }));
  }
  CHECK(weft::wait(tasks, return_when::all_completed, 0s).pending.size() == tasks.size());
  go.set();
  CHECK(weft::wait(tasks).done.size() == tasks.size());
  for (auto& w : watchers) w.get();
  expect_no_leaks(rt);
}

TEST_CASE("a thread that waits for a guests tasks runs them", "[wait][guest]") {
  weft::runtime_options options;
  options.guest = true;
  weft::runtime rt{options};
  weft::event go;
  std::vector<weft::task<int>> tasks;
  tasks.push_back(rt.spawn([&] {
    go.wait();
    return 1;
  }));
  tasks.push_back(rt.spawn([] {
    for (int i = 0; i < 10; ++i) weft::yield();
    return 2;
  }));
  auto const [done, pending] = weft::wait(tasks, return_when::first_completed);
  CHECK(indices(tasks, done) == list{1});
  go.set();
  CHECK(weft::wait(tasks).done.size() == 2);
}

TEST_CASE("waits race with ends, limits and cancellations", "[wait][stress]") {
  watchdog dog{"wait"};
  auto const seed = GENERATE(1U, 2U);
  auto const rounds = scaled(3'000);
  CAPTURE(seed);
  run_on(some_workers(), [&] {
    std::minstd_rand random{seed};
    for (std::size_t i = 0; i < rounds; ++i) {
      std::vector<weft::task<int>> tasks;
      auto const n = 1 + random() % 6;
      for (unsigned k = 0; k < n; ++k) {
        tasks.push_back(weft::spawn([yields = random() % 4, kind = random() % 8] {
          for (unsigned y = 0; y < yields; ++y) weft::yield();
          if (kind == 0) park_forever();
          if (kind == 1) throw std::runtime_error("fails");
          return 1;
        }));
      }
      auto waiting = weft::spawn([&tasks, when = static_cast<return_when>(random() % 3),
                                  limit = std::chrono::nanoseconds(random() % 3 * 10'000)] {
        auto const [done, pending] = weft::wait(tasks, when, limit);
        verify(done.size() + pending.size() == tasks.size());
        for (auto* const t : done) verify(t->ready());
        return true;
      });
      for (auto y = random() % 4; y > 0; --y) weft::yield();
      if (random() % 2 == 0) waiting.cancel();
      try {
        verify(waiting.get());
      } catch (weft::cancelled const&) {
      }
      for (auto const& t : tasks) {
        t.cancel();
        t.wait();
        (void)t.exception();
      }
      dog.feed();
    }
  });
}
