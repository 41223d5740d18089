/// @file
/// Mutexes under timeouts and cancellation at random moments, from fibers and threads: as many were let in as came out,
/// one at a time, nobody hangs, and in the end the lock is free. And how long those wait who wait longest. With
/// -DWEFT_SOAK=ON once more with 10^7 timed locks on each number of workers, and with 100,000 seeds in simulation.

#include <weft/sync/mutex.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

using random_source = std::minstd_rand;

std::uint32_t number(std::chrono::microseconds time) { return static_cast<std::uint32_t>(time.count()); }

/// A mutex, and what it protects.
struct protected_count {
  weft::mutex lock;
  std::size_t entered = 0;  // guarded by `lock`
  bool inside = false;      // as well
  std::atomic<std::size_t> let_in{0};
  std::atomic<std::size_t> refused{0};  // by time, by cancellation, or at once
  std::atomic<bool> two_at_once{false};
};

/// With the lock held, which is given back.
void enter(protected_count& what, std::uint32_t choice, std::chrono::microseconds longest) {
  std::unique_lock const held{what.lock, std::adopt_lock};
  if (what.inside) what.two_at_once = true;
  what.inside = true;
  struct leave {
    bool& inside;
    ~leave() { inside = false; }
  } const at_end{what.inside};  // also when it is cancelled in here
  ++what.entered;
  ++what.let_in;
  if (choice % 8 == 0) weft::yield();
  if (choice % 64 == 1) weft::sleep_for(std::chrono::microseconds{choice / 64 % number(longest)});
}

/// One timed lock, or one that is cancelled.
void attempt(protected_count& what, random_source& random, std::chrono::microseconds longest) {
  auto const limit = std::chrono::nanoseconds{random() % (1000 * number(longest))};
  bool got = false;
  switch (random() % 4) {
    case 0: got = what.lock.try_lock_for(limit); break;
    case 1: got = what.lock.try_lock_until(weft::detail::deadline_after(limit)); break;
    case 2: (void)weft::move_on_after(limit, [&] { got = (what.lock.lock(), true); }); break;
    default: got = what.lock.try_lock_for(1h);
  }
  if (!got) return void(++what.refused);
  enter(what, static_cast<std::uint32_t>(random()), longest);
}

void check(protected_count& what) {
  CHECK_FALSE(what.two_at_once.load());
  CHECK(what.entered == what.let_in.load());
  CHECK(what.lock.try_lock());
  what.lock.unlock();
}

/// Tasks that make several attempts each; every third is cancelled meanwhile.
void storm(protected_count& what, std::uint32_t seed, std::size_t attempts, std::chrono::microseconds longest,
           watchdog& dog) {
  random_source random{seed};
  constexpr std::size_t at_once = 12;
  constexpr std::size_t each = 25;
  for (std::size_t made = 0; made < attempts; made += at_once * each) {
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < at_once; ++i) {
      tasks.push_back(weft::spawn([&what, longest, own = static_cast<std::uint32_t>(random())] {
        random_source choices{own};
        for (std::size_t n = 0; n < each; ++n) attempt(what, choices, longest);
      }));
    }
    for (std::size_t i = 0; i < at_once; i += 3) {
      for (auto turns = random() % 32; turns != 0; --turns) weft::yield();
      tasks[i].cancel();
    }
    for (auto& t : tasks) t.wait();
    dog.feed();
  }
}

}  // namespace

TEST_CASE("H7: soak: timed locks under random cancellation are conserved, on fibers and threads",
          "[mutex][stress][soak][hazard][H7][rule3]") {
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8});
  std::uint32_t const seed = std::random_device{}();
  INFO("workers " << workers << ", seed " << seed);
  watchdog dog{"timed locks, seed " + std::to_string(seed), 60s};
  std::size_t const attempts = full_length ? 10'000'000 : scaled(30'000);
  protected_count what;
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 2; ++i) {
    threads.emplace_back([&what, &done, i, seed] {
      random_source random{seed + 1 + i};
      while (!done.load()) attempt(what, random, 20us);
    });
  }
  run_on(workers, [&] { storm(what, seed, attempts, 20us, dog); });
  done = true;
  for (auto& t : threads) t.join();
  check(what);
  CHECK(what.refused.load() > 0);
}

TEST_CASE("H7: soak: timed locks under random cancellation are conserved for every seed",
          "[mutex][stress][soak][simulation][hazard][H7][rule3]") {
  std::uint32_t const seeds = full_length ? 100'000 : static_cast<std::uint32_t>(scaled(1'000));
  std::size_t handed = 0;
  watchdog dog{"simulated locks", 60s};
  for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    protected_count what;
    weft::testing::simulation world{seed};
    REQUIRE_NOTHROW(world.run([&] {
      storm(what, seed, 1, 4ms, dog);  // long enough for locks to be handed over
      weft::testing::expect_no_leaks();
    }));
    check(what);
    handed += what.let_in.load();
  }
  CHECK(handed > seeds);
}

TEST_CASE("rule 26: a mutex that 64 fibers fight for starves none: the longest wait, counted in turns of others",
          "[mutex][fairness][rule26]") {
  constexpr std::size_t fibers = 64;
  constexpr auto hold = 10us;
  constexpr std::size_t turns = 50;
  std::size_t longest = 0;
  for (std::uint32_t seed = 1; seed <= scaled(64); ++seed) {
    weft::testing::simulation world{seed};
    world.run([&] {
      weft::mutex m;
      std::atomic<std::size_t> taken{0};
      std::atomic<std::size_t> most{0};
      std::vector<weft::task<void>> tasks;
      for (std::size_t i = 0; i < fibers; ++i) {
        tasks.push_back(weft::spawn([&] {
          for (std::size_t n = 0; n < turns; ++n) {
            auto const before = taken.load();
            std::lock_guard const lock{m};
            most = std::max(most.load(), taken.load() - before);
            ++taken;
            weft::sleep_for(hold);
          }
        }));
      }
      for (auto& t : tasks) t.get();
      verify(taken.load() == fibers * turns);
      longest = std::max(longest, most.load());
    });
  }
  // While it waits for a millisecond, others may come first; then it is handed the lock when those have it who are
  // before it in line. (What a fiber barges past only delays those who have not waited for so long.)
  CHECK(longest <= 1ms / hold + 2 * fibers);
  CHECK(longest >= fibers - 1);
}
