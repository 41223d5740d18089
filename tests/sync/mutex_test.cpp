/// @file
/// mutex and recursive_mutex.

#include <weft/sync/mutex.hpp>
#include <weft/sync/recursive_mutex.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/random_use.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a mutex is a std::timed_mutex to what uses one", "[mutex]") {
  weft::mutex a;
  weft::mutex b;
  {
    std::scoped_lock const both{a, b};
    CHECK_FALSE(a.try_lock());
    CHECK_FALSE(b.try_lock_for(0s));
  }
  std::unique_lock lock{a, 1us};
  CHECK(lock.owns_lock());
  CHECK_FALSE(a.try_lock_until(std::chrono::steady_clock::now()));
  lock.unlock();
  CHECK(lock.try_lock());
  static_assert(sizeof(weft::mutex) <= 16);
}

TEST_CASE("one at a time, on fibers and threads, under timeouts and cancellation", "[mutex]") {
  weft::mutex m;
  long counter = 0;
  std::atomic<long> locked{0};
  use_at_random("mutex", [&](std::minstd_rand& random) {
    if (!take_somehow(
            random, [&] { m.lock(); }, [&] { return m.try_lock(); },
            [&](auto limit) { return m.try_lock_for(limit); })) {
      return;
    }
    std::unique_lock const held{m, std::adopt_lock};
    long const before = counter;
    if (random() % 8 == 0) weft::yield();
    counter = before + 1;
    ++locked;
  });
  CHECK(counter == locked.load());
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE("rule 26: a newcomer may take a free lock before one who waits, but not for more than a millisecond",
          "[mutex][rule26]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::mutex m;
    sequence<int> order;
    m.lock();
    auto waiting = weft::spawn([&] {
      std::lock_guard const lock{m};
      order.add(1);
    });
    weft::yield();
    m.unlock();  // calls the one who waits
    m.lock();    // and is faster
    order.add(2);
    weft::sleep_for(2ms);
    m.unlock();  // hands over: it has waited for too long
    verify(!m.try_lock());
    m.lock();
    order.add(3);
    m.unlock();
    waiting.get();
    verify(order.steps() == std::vector{2, 1, 3});
  });
}

TEST_CASE("a mutex that 64 fibers fight for starves none", "[mutex]") {
  run_on(some_workers(), [] {
    weft::mutex m;
    std::atomic<bool> stop{false};
    std::vector<std::atomic<int>> turns(64);
    std::vector<weft::task<void>> tasks;
    for (auto& mine : turns) {
      tasks.push_back(weft::spawn([&] {
        while (!stop.load()) {
          std::lock_guard const lock{m};
          ++mine;
          weft::yield();
        }
      }));
    }
    for (auto& t : turns) {
      while (t.load() < 3) weft::yield();
    }
    stop = true;
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("rule 3: a cancelled lock() does not hold the lock, and one that was handed over is not lost",
          "[mutex][rule3]") {
  run_on(some_workers(), [] {
    weft::mutex m;
    for (int round = 0; round < 200; ++round) {
      m.lock();
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 4; ++i) {
        tasks.push_back(weft::spawn([&] {
          m.lock();
          m.unlock();
        }));
      }
      if (round % 2 == 0) weft::yield();
      tasks[0].cancel();
      tasks[2].cancel();
      m.unlock();
      tasks[1].cancel();
      for (auto& t : tasks) t.wait();
      verify(m.try_lock());
      m.unlock();
    }
  });
}

TEST_CASE("a free mutex is no cancellation point, one that is held is", "[mutex]") {
  run_on(some_workers(), [] {
    weft::mutex m;
    weft::cancel_scope scope;
    bool const done = scope.run([&] {
      scope.cancel();
      m.lock();
      m.lock();
    });
    verify(!done && !m.try_lock());
    m.unlock();
  });
}

TEST_CASE("wrong use of a mutex aborts with a message", "[mutex][bad-input]") {
  CHECK(aborts_with("a mutex is unlocked that nobody has locked", [] {
    weft::mutex m;
    m.unlock();
  }));
  CHECK(aborts_with("a mutex is destroyed while somebody holds its lock", [] {
    weft::mutex m;
    m.lock();
  }));
  CHECK(aborts_with("a mutex is destroyed while somebody holds its lock", [] {
    weft::run([] {
      std::optional<weft::mutex> m{std::in_place};
      m->lock();
      auto const waiting = weft::spawn([&] { m->lock(); });
      weft::yield();
      m.reset();
    });
  }));
  CHECK(aborts_with("a mutex is destroyed while somebody waits for its lock", [] {
    weft::run(
        [] {
          std::optional<weft::mutex> m{std::in_place};
          m->lock();
          auto const waiting = weft::spawn([&] { m->lock(); });
          weft::yield();
          m->unlock();
          m.reset();
        },
        weft::testing::fifo());
  }));
  CHECK(aborts_with("a mutex is unlocked by who does not hold it", [] {
    weft::mutex m;
    weft::run(
        [&] {
          m.lock();
          weft::spawn([&] { m.unlock(); }).get();
        },
        {.workers = 1, .debug = true});
  }));
  CHECK(aborts_with("a recursive_mutex is unlocked by who does not hold it", [] {
    weft::recursive_mutex m;
    m.unlock();
  }));
}

TEST_CASE("a recursive mutex counts, and belongs to its fiber wherever that runs", "[recursive_mutex]") {
  run_on(some_workers(), [] {
    weft::recursive_mutex m;
    long counter = 0;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 8; ++i) {
      tasks.push_back(weft::spawn([&] {
        for (int n = 0; n < 50; ++n) {
          std::lock_guard const outer{m};
          weft::yield();
          std::lock_guard const inner{m};
          verify(m.try_lock());
          long const before = counter;
          weft::yield();
          counter = before + 1;
          m.unlock();
        }
      }));
    }
    for (auto& t : tasks) t.get();
    verify(counter == 400);
    m.lock();
    auto other = weft::spawn([&] { return m.try_lock() || m.try_lock_for(0s); });
    verify(!other.get());
    m.unlock();
  });
}

TEST_CASE("a recursive mutex belongs to a thread", "[recursive_mutex]") {
  weft::recursive_mutex m;
  m.lock();
  CHECK(m.try_lock_for(0s));
  std::thread{[&] { CHECK_FALSE(m.try_lock()); }}.join();
  m.unlock();
  m.unlock();
  std::thread{[&] {
    CHECK(m.try_lock());
    m.unlock();
  }}.join();
}
