/// @file
/// semaphore, bounded_semaphore, scoped_permit.

#include <weft/sync/semaphore.hpp>

#include "support/catch.hpp"
#include "support/random_use.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <random>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a semaphore gives as many permits as it has", "[semaphore]") {
  weft::semaphore s{2};
  CHECK(s.value() == 2);
  s.acquire();
  CHECK(s.try_acquire());
  CHECK_FALSE(s.try_acquire());
  CHECK_FALSE(s.try_acquire_for(0s));
  CHECK_FALSE(s.try_acquire_for(1us));
  s.release(2);
  CHECK(s.value() == 2);
  s.release(0);
  CHECK(s.value() == 2);
}

TEST_CASE("bad numbers of permits are refused", "[semaphore][bad-input]") {
  CHECK_THROWS_AS(weft::semaphore{-1}, std::invalid_argument);
  weft::semaphore s{weft::semaphore::max()};
  CHECK_THROWS_AS(s.release(-1), std::invalid_argument);
  CHECK_THROWS_AS(s.release(), std::overflow_error);
  CHECK(s.value() == weft::semaphore::max());
  weft::bounded_semaphore b{1};
  CHECK_THROWS_AS(b.release(), std::overflow_error);
  b.acquire();
  CHECK_THROWS_AS(b.release(2), std::overflow_error);
  CHECK(b.value() == 0);
  b.release();
  CHECK(b.value() == 1);
}

TEST_CASE("a scoped permit gives back what it holds, once", "[semaphore]") {
  weft::semaphore s{2};
  {
    auto a = s.acquire_scoped();
    auto b = s.acquire_scoped();
    CHECK(s.value() == 0);
    auto c = std::move(a);
    CHECK(s.value() == 0);
    c = std::move(b);
    CHECK(s.value() == 1);
    c.release();
    c.release();
    CHECK(s.value() == 2);
  }
  CHECK(s.value() == 2);
}

TEST_CASE("permits go to those who wait in the order in which they came, and nobody passes", "[semaphore]") {
  run_with(weft::testing::fifo(), [] {
    weft::semaphore s{0};
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        s.acquire();
        order.add(i);
      }));
    }
    weft::yield();
    for (int i = 0; i < 20; ++i) {
      s.release();
      verify(!s.try_acquire());  // it is the first one's already
      weft::yield();
    }
    for (auto& t : tasks) t.get();
    auto const steps = order.steps();
    verify(steps.size() == 20 && std::is_sorted(steps.begin(), steps.end()));
    verify(s.value() == 0);
  });
}

TEST_CASE("those who are let through together go on in the order in which they came", "[semaphore]") {
  run_with(weft::runtime_options{.workers = 1}, [] {
    weft::semaphore s{0};
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        s.acquire();
        order.add(i);
      }));
    }
    for (int i = 0; i < 4; ++i) weft::yield();
    s.release(4);
    for (auto& t : tasks) t.get();
    verify(order.steps() == std::vector<int>{0, 1, 2, 3});
  });
}

TEST_CASE("timed acquisition ends exactly at its deadline, and takes nothing", "[semaphore]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::detail::deadline_after(0ns); };
    auto const begin = now();
    weft::semaphore s{0};
    verify(!s.try_acquire_for(5ms));
    verify(now() == begin + 5ms);
    verify(!s.try_acquire_until(begin));
    s.release();
    verify(s.try_acquire_until(begin));
    auto giver = weft::spawn([&] {
      weft::sleep_for(1ms);
      s.release();
    });
    verify(s.try_acquire_for(1h));
    verify(now() == begin + 6ms && s.value() == 0);
    giver.get();
  });
}

TEST_CASE("rule 3: a cancelled acquisition takes nothing, and a permit that was granted is not lost",
          "[semaphore][rule3]") {
  run_on(some_workers(), [] {
    weft::semaphore s{0};
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> got{0};
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 4; ++i) {
        tasks.push_back(weft::spawn([&] {
          s.acquire();
          ++got;
        }));
      }
      if (round % 2 == 0) weft::yield();
      tasks[1].cancel();
      s.release(2);
      tasks[2].cancel();
      tasks[0].cancel();
      tasks[3].cancel();
      for (auto& t : tasks) t.wait();
      verify(got + s.value() == 2);
      while (s.try_acquire()) {
      }
    }
    verify(s.value() == 0);
  });
}

TEST_CASE("acquiring is a cancellation point though a permit is there", "[semaphore]") {
  run_on(some_workers(), [] {
    weft::semaphore s{1};
    weft::cancel_scope scope;
    bool const done = scope.run([&] {
      scope.cancel();
      s.acquire();
    });
    verify(!done && s.value() == 1);
  });
}

TEST_CASE("never more than the permits, under timeouts and cancellation, from fibers and threads", "[semaphore]") {
  constexpr int permits = 3;
  weft::semaphore s{permits};
  std::atomic<int> inside{0};
  std::atomic<bool> too_many{false};
  use_at_random("semaphore", [&](std::minstd_rand& random) {
    if (!take_somehow(
            random, [&] { s.acquire(); }, [&] { return s.try_acquire(); },
            [&](auto limit) { return s.try_acquire_for(limit); })) {
      return;
    }
    if (++inside > permits) too_many = true;
    if (random() % 8 == 0) weft::yield();
    --inside;
    s.release();
  });
  CHECK_FALSE(too_many.load());
  CHECK(s.value() == permits);
}
