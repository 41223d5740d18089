/// @file
/// shared_mutex.

#include <weft/sync/shared_mutex.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/random_use.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/verify.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a shared mutex is a std::shared_timed_mutex to what uses one", "[shared_mutex]") {
  weft::shared_mutex m;
  {
    std::shared_lock const first{m};
    std::shared_lock const second{m, 1us};
    CHECK(second.owns_lock());
    CHECK_FALSE(m.try_lock());
    CHECK_FALSE(m.try_lock_for(0s));
  }
  std::unique_lock const writer{m};
  CHECK_FALSE(m.try_lock_shared());
  CHECK_FALSE(m.try_lock_shared_until(std::chrono::steady_clock::now()));
}

TEST_CASE("readers and writers get in as they came; readers that stand together get in together", "[shared_mutex]") {
  run_with(weft::testing::fifo(), [] {
    weft::shared_mutex m;
    sequence<int> order;
    m.lock();
    std::vector<weft::task<void>> tasks;
    auto const read = [&](int number) {
      std::shared_lock const lock{m};
      order.add(number);
      weft::yield();
      order.add(-number);
    };
    auto const write = [&](int number) {
      std::unique_lock const lock{m};
      order.add(number);
      weft::yield();
      order.add(-number);
    };
    tasks.push_back(weft::spawn(read, 1));
    tasks.push_back(weft::spawn(read, 2));
    tasks.push_back(weft::spawn(write, 3));
    tasks.push_back(weft::spawn(read, 4));
    weft::yield();
    m.unlock();
    verify(!m.try_lock_shared());  // a writer waits
    for (auto& t : tasks) t.get();
    verify(order.steps() == std::vector{1, 2, -1, -2, 3, -3, 4, -4});
  });
}

TEST_CASE("a writer that gives up lets the readers behind it in", "[shared_mutex]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::shared_mutex m;
    m.lock_shared();
    auto writer = weft::spawn([&] { return m.try_lock_for(1ms); });
    weft::yield();
    auto const begin = weft::detail::deadline_after(0ns);
    auto reader = weft::spawn([&] {
      m.lock_shared();
      auto const at = weft::detail::deadline_after(0ns);
      m.unlock_shared();
      return at;
    });
    verify(reader.get() == begin + 1ms);
    verify(!writer.get());
    m.unlock_shared();
    verify(m.try_lock());
    m.unlock();
  });
}

TEST_CASE("no writer beside anybody, under timeouts and cancellation, from fibers and threads", "[shared_mutex]") {
  weft::shared_mutex m;
  std::atomic<int> readers{0};
  std::atomic<int> writers{0};
  std::atomic<bool> wrong{false};
  use_at_random("shared mutex", [&](std::minstd_rand& random) {
    bool const reads = random() % 4 != 0;
    if (!take_somehow(
            random, [&] { reads ? m.lock_shared() : m.lock(); },
            [&] { return reads ? m.try_lock_shared() : m.try_lock(); },
            [&](auto limit) { return reads ? m.try_lock_shared_for(limit) : m.try_lock_for(limit); })) {
      return;
    }
    auto& count = reads ? readers : writers;
    ++count;
    if (writers.load() > 1 || (writers.load() == 1 && readers.load() != 0)) wrong = true;
    if (random() % 8 == 0) weft::yield();
    --count;
    reads ? m.unlock_shared() : m.unlock();
  });
  CHECK_FALSE(wrong.load());
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE("wrong use of a shared mutex aborts with a message", "[shared_mutex][bad-input]") {
  CHECK(aborts_with("a shared_mutex is unlocked that nobody has locked", [] {
    weft::shared_mutex m;
    m.lock_shared();
    m.unlock();
  }));
  CHECK(aborts_with("a shared_mutex is unlocked by a reader, and there is none", [] {
    weft::shared_mutex m;
    m.lock();
    m.unlock_shared();
  }));
}
