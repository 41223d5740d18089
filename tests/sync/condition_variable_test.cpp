/// @file
/// condition_variable.

#include <weft/sync/condition_variable.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/mutex.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("notify_one wakes the first of those who wait, notify_all all of them", "[condition_variable]") {
  run_with(weft::testing::fifo(), [] {
    weft::mutex m;
    weft::condition_variable changed;
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        std::unique_lock lock{m};
        changed.wait(lock);
        order.add(i);
      }));
    }
    changed.notify_one();  // nobody waits yet: it is lost
    weft::yield();
    changed.notify_one();
    weft::yield();
    verify(order.steps() == std::vector{0});
    changed.notify_all();
    for (auto& t : tasks) t.get();
    verify(order.steps().size() == 10);
  });
}

TEST_CASE("timed waits end exactly at their deadline, with the lock held", "[condition_variable]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::detail::deadline_after(0ns); };
    auto const begin = now();
    weft::mutex m;
    weft::condition_variable changed;
    std::unique_lock lock{m};
    verify(changed.wait_for(lock, 5ms) == std::cv_status::timeout);
    verify(now() == begin + 5ms && !m.try_lock());
    bool ready = false;
    verify(!changed.wait_until(lock, begin + 7ms, [&] { return ready; }));
    verify(now() == begin + 7ms);
    auto setter = weft::spawn([&] {
      weft::sleep_for(1ms);
      std::lock_guard const held{m};
      ready = true;
      changed.notify_one();
    });
    verify(changed.wait_for(lock, 1h, [&] { return ready; }));
    verify(now() == begin + 8ms);
    setter.get();
  });
}

TEST_CASE("rule 26: a cancelled wait locks again, shielded, before it throws", "[condition_variable][rule26]") {
  run_on(some_workers(), [] {
    weft::mutex m;
    weft::condition_variable changed;
    std::atomic<bool> held_in_handler{false};
    std::atomic<bool> waits{false};
    auto t = weft::spawn([&] {
      std::unique_lock lock{m};
      waits = true;
      try {
        changed.wait(lock);
      } catch (weft::cancelled const&) {
        held_in_handler = lock.owns_lock() && !m.try_lock();
        throw;
      }
    });
    while (!waits.load()) weft::yield();
    m.lock();  // it waits: or else it would still hold the lock
    t.cancel();
    for (int i = 0; i < 100; ++i) weft::yield();
    verify(!t.ready());  // it has to have the lock first
    m.unlock();
    t.wait();
    verify(throws<weft::cancelled>([&] { t.get(); }) && held_in_handler.load());
    verify(m.try_lock());
    m.unlock();
  });
}

TEST_CASE("CPython #112202: what is notified is not lost to one who gives up", "[condition_variable][rule3]") {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  watchdog dog{"condition variable"};
  weft::runtime rt{on(some_workers())};
  weft::mutex m;
  weft::condition_variable changed;
  std::deque<int> items;  // each is announced once, to one
  std::atomic<int> taken{0};
  int const all = static_cast<int>(scaled(5000));
  std::atomic<bool> done{false};
  auto const consume = [&](unsigned number) {
    std::minstd_rand random{seed + number};
    while (!done.load()) {
      (void)weft::move_on_after(std::chrono::microseconds{20 + random() % 50}, [&] {
        std::unique_lock lock{m};
        // No predicate around the wait: a notification that went to who gave up would leave its item behind.
        if (items.empty()) changed.wait(lock);
        if (items.empty()) return;
        items.pop_front();
        ++taken;
      });
      dog.feed();
    }
  };
  std::vector<weft::task<void>> tasks;
  for (unsigned i = 0; i < 6; ++i) tasks.push_back(rt.spawn(consume, i));
  std::thread thread{consume, 100U};
  for (int i = 0; i < all; ++i) {
    std::lock_guard const lock{m};
    items.push_back(i);
    changed.notify_one();
  }
  while (taken.load() < all) std::this_thread::yield();
  done = true;
  changed.notify_all();
  thread.join();
  for (auto& t : tasks) t.get();
  CHECK(items.empty());
  expect_no_leaks(rt);
}

TEST_CASE("wrong use of a condition variable is refused", "[condition_variable][bad-input]") {
  weft::mutex m;
  weft::condition_variable changed;
  std::unique_lock lock{m, std::defer_lock};
  CHECK_THROWS_AS(changed.wait(lock), std::system_error);
  CHECK_THROWS_AS(changed.wait_for(lock, 1h), std::system_error);
  CHECK_THROWS_AS(changed.wait(lock, [] { return false; }), std::system_error);
  changed.notify_all();  // nobody is left in line
  CHECK(m.try_lock());
  m.unlock();
  CHECK(aborts_with("a mutex is unlocked that nobody has locked", [] {
    weft::mutex unlocked;
    weft::condition_variable{}.wait(unlocked);
  }));
  CHECK(aborts_with("a condition_variable is destroyed while somebody waits for it", [] {
    weft::run([] {
      weft::mutex guard;
      std::optional<weft::condition_variable> gone{std::in_place};
      std::atomic<bool> waits{false};
      auto const waiting = weft::spawn([&] {
        std::unique_lock held{guard};
        waits = true;
        gone->wait(held);
      });
      while (!waits.load()) weft::yield();
      std::lock_guard const it_waits{guard};
      gone.reset();
    });
  }));
}
