/// @file
/// event: for fibers and for OS threads, in time and out of it, and cancelled at every moment.

#include <weft/sync/event.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <random>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("an event is set until it is reset", "[event]") {
  weft::event e;
  CHECK_FALSE(e.is_set());
  e.set();
  e.set();
  CHECK(e.is_set());
  e.wait();
  CHECK(e.wait_for(0s));
  e.reset();
  e.reset();
  CHECK_FALSE(e.is_set());
  CHECK_FALSE(e.wait_for(0s));
}

TEST_CASE("set wakes all who wait, in the order in which they came", "[event]") {
  run_with(weft::testing::fifo(), [] {
    weft::event e;
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        e.wait();
        order.add(i);
      }));
    }
    weft::yield();
    e.set();
    verify(order.steps().empty());
    for (auto& t : tasks) t.get();
    auto const steps = order.steps();
    verify(steps.size() == 50 && std::is_sorted(steps.begin(), steps.end()));
  });
}

TEST_CASE("a reset by one who was woken is not undone by the set() that woke it", "[event]") {
  watchdog dog{"an event that is reset while it is being set"};
  constexpr int fibers = 3000;
  for (int round = 0; round < 5; ++round) {
    weft::runtime rt{on(1)};
    if (rt.workers() != 1) return;  // where fibers must migrate, nothing tells that all wait
    weft::event e;
    std::atomic<int> begun{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < fibers; ++i) {
      tasks.push_back(rt.spawn([&, i] {
        ++begun;
        e.wait();
        if (i == 0) e.reset();
      }));
    }
    while (begun.load() < fibers) std::this_thread::yield();
    rt.spawn([] {}).get();  // the only worker came to it: whoever had begun waits
    e.set();
    for (auto& t : tasks) t.get();
    CHECK_FALSE(e.is_set());
    dog.feed();
  }
}

TEST_CASE("who has been woken stays woken though the event is reset at once", "[event]") {
  run_on(some_workers(), [] {
    weft::event e;
    std::atomic<int> waiting{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] {
        ++waiting;
        e.wait();
      }));
    }
    while (waiting.load() < 10) weft::yield();
    std::size_t rounds = 0;
    bool all = false;
    while (!all) {
      // One that was between its count and its wait is caught by a later round.
      e.set();
      e.reset();
      weft::yield();
      all = true;
      for (auto& t : tasks) all = all && t.ready();
      verify(++rounds < 1'000'000);
    }
  });
}

TEST_CASE("fibers and OS threads wait for the same event", "[event]") {
  weft::runtime rt{on(some_workers())};
  weft::event e;
  weft::event woken_by_fiber;
  std::atomic<int> woken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      e.wait();
      ++woken;
      woken_by_fiber.wait();
      ++woken;
    });
  }
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < 3; ++i) {
    tasks.push_back(rt.spawn([&] {
      e.wait();
      ++woken;
    }));
  }
  e.set();
  for (auto& t : tasks) t.get();
  rt.run([&] { woken_by_fiber.set(); });
  for (auto& t : threads) t.join();
  CHECK(woken.load() == 9);
  expect_no_leaks(rt);
}

TEST_CASE("timed waits end exactly at their deadline", "[event]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::detail::deadline_after(0ns); };
    auto const begin = now();
    weft::event e;
    verify(!e.wait_for(1500us));
    verify(now() == begin + 1500us);
    verify(!e.wait_until(begin));
    verify(!e.wait_until(begin + 7ms));
    verify(now() == begin + 7ms);
    auto setter = weft::spawn([&] {
      weft::sleep_for(3ms);
      e.set();
    });
    verify(e.wait_for(1h));
    verify(now() == begin + 10ms);
    setter.get();
    verify(e.wait_until(begin));
  });
}

TEST_CASE("H25: limits that are negative, zero, huge and not a number", "[event][hazard][H25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::event e;
    verify(!e.wait_for(0s));
    verify(!e.wait_for(-1ns));
    verify(!e.wait_for(std::chrono::nanoseconds::min()));
    verify(!e.wait_for(std::chrono::hours::min()));
    verify(!e.wait_for(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())));
    verify(!e.wait_for(std::chrono::duration<double>(-std::numeric_limits<double>::infinity())));
    verify(!e.wait_until(weft::time_point::min()));
    verify(!e.wait_until(std::chrono::system_clock::time_point::min()));
    auto setter = weft::spawn([&] {
      weft::sleep_for(1s);
      e.set();
    });
    verify(e.wait_for(std::chrono::nanoseconds::max()));
    e.reset();
    auto const in_a_second = [&] {
      setter = weft::spawn([&] {
        weft::sleep_for(1s);
        e.set();
      });
    };
    in_a_second();
    verify(e.wait_for(std::chrono::hours::max()));
    e.reset();
    in_a_second();
    verify(e.wait_for(std::chrono::duration<double>(std::numeric_limits<double>::infinity())));
    e.reset();
    in_a_second();
    verify(e.wait_until(std::chrono::system_clock::time_point::max()));
    e.reset();
    in_a_second();
    verify(e.wait_until(weft::never));
    setter.get();
  });
}

TEST_CASE("a wait is a cancellation point, before, during and though the event is set", "[event]") {
  run_on(some_workers(), [] {
    weft::event unset;
    weft::event set;
    set.set();
    weft::event started;
    auto t = weft::spawn([&] {
      started.set();
      int cancelled = 0;
      for (int i = 0; i < 4; ++i) {
        try {
          if (i == 0) unset.wait();
          if (i == 1) unset.wait();
          if (i == 2) set.wait();
          if (i == 3) (void)unset.wait_for(0s);
        } catch (weft::cancelled const&) {
          ++cancelled;
        }
      }
      return cancelled;
    });
    started.wait();
    t.cancel();
    verify(t.get() == 4);
    // Those who were cancelled have left the list.
    unset.set();
    unset.reset();
  });
}

TEST_CASE("set, reset, cancellation and time at random leave nobody behind", "[event][stress]") {
  auto const seed = GENERATE(1U, 2U, 3U);
  INFO("seed " << seed);
  watchdog dog{"event storm"};
  run_on(some_workers(), [&] {
    std::minstd_rand random{seed};
    for (std::size_t round = 0; round < scaled(500) + 10; ++round) {
      weft::event e;
      std::vector<weft::task<bool>> tasks;
      for (int i = 0; i < 12; ++i) {
        tasks.push_back(weft::spawn([&e, kind = random() % 3] {
          if (kind == 0) return e.wait_for(std::chrono::microseconds(20));
          if (kind == 1) weft::yield();
          e.wait();
          return true;
        }));
      }
      for (auto n = random() % 4; n > 0; --n) weft::yield();
      for (std::size_t i = 0; i < 4; ++i) tasks[random() % tasks.size()].cancel();
      if (random() % 2 == 0) {
        e.set();
        e.reset();
        weft::yield();
      }
      e.set();
      for (auto& t : tasks) t.wait();
      dog.feed();
    }
  });
}

TEST_CASE("what was done before set is visible after wait", "[event][stress]") {
  auto const rounds = scaled(5'000);
  run_on(some_workers(), [&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      weft::event e;
      std::size_t plain = 0;
      auto t = weft::spawn([&] {
        plain = i;
        e.set();
      });
      if (i % 2 == 0) {
        while (!e.is_set()) weft::yield();
      } else {
        e.wait();
      }
      verify(plain == i);
      t.get();
    }
  });
}
