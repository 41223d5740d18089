/// @file
/// call_once, auto_reset_event, rate_limiter.

#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/once.hpp>
#include <weft/sync/rate_limiter.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("call_once calls once, and all wait for it", "[once]") {
  watchdog dog{"call_once"};
  weft::runtime rt{on(some_workers())};
  for (std::size_t round = 0; round < scaled(500); ++round) {
    weft::once_flag flag;
    std::atomic<int> calls{0};
    std::atomic<int> returned_early{0};
    bool finished = false;
    auto const use = [&] {
      weft::call_once(flag, [&] {
        ++calls;
        weft::yield();
        finished = true;
      });
      if (!finished) ++returned_early;
    };
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 5; ++i) tasks.push_back(rt.spawn(use));
    use();
    for (auto& t : tasks) t.get();
    REQUIRE(calls.load() == 1);
    REQUIRE(returned_early.load() == 0);
    dog.feed();
  }
  expect_no_leaks(rt);
}

TEST_CASE("a call that throws leaves the work to the next in line", "[once]") {
  run_on(some_workers(), [] {
    for (int round = 0; round < 100; ++round) {
      weft::once_flag flag;
      std::atomic<int> calls{0};
      std::atomic<int> failures{0};
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 6; ++i) {
        tasks.push_back(weft::spawn([&] {
          try {
            weft::call_once(flag, [&] {
              int const call = ++calls;
              weft::yield();
              if (call < 3) throw std::runtime_error("not yet");
            });
          } catch (std::runtime_error const&) {
            ++failures;
          }
        }));
      }
      for (auto& t : tasks) t.get();
      verify(calls.load() == 3 && failures.load() == 2);
    }
  });
}

TEST_CASE("call_once_until says what is so when its time is up", "[once]") {
  run_with(weft::testing::in_virtual_time(), [] {
    for (bool const fails : {false, true}) {
      weft::once_flag flag;
      auto const until = weft::clock::time_point{weft::detail::deadline_after(1ms)};
      int calls = 0;
      auto first = weft::spawn([&] {
        weft::call_once(flag, [&] {
          weft::sleep_until(until);
          if (fails) throw std::runtime_error("not this time");
          ++calls;
        });
      });
      weft::yield();
      verify(weft::call_once_until(flag, until, [&] { ++calls; }));
      verify(calls == 1);
      verify(throws<std::runtime_error>([&] { first.get(); }) == fails);
    }
  });
}

TEST_CASE("who is cancelled while another calls leaves, and the call goes on", "[once]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::once_flag flag;
    auto caller = weft::spawn([&] { weft::call_once(flag, [] { weft::sleep_for(2s); }); });
    weft::yield();
    verify(!weft::move_on_after(1s, [&] { weft::call_once(flag, [] { verify(false); }); }));
    weft::call_once(flag, [] { verify(false); });
    verify(caller.ready());
    caller.get();
  });
}

TEST_CASE("each set lets one through, and signals do not add up", "[auto_reset_event]") {
  run_with(weft::testing::fifo(), [] {
    weft::auto_reset_event e;
    verify(!e.try_wait() && !e.wait_for(0s));
    e.set();
    e.set();
    verify(e.try_wait() && !e.try_wait());
    e.set();
    e.reset();
    verify(!e.try_wait());
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 5; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        e.wait();
        order.add(i);
      }));
    }
    weft::yield();
    for (int i = 0; i < 5; ++i) {
      e.set();
      weft::yield();
      verify(static_cast<int>(order.steps().size()) == i + 1);
    }
    for (auto& t : tasks) t.get();
    verify(order.steps() == std::vector{0, 1, 2, 3, 4});
  });
}

TEST_CASE("rule 3: a signal is not lost to one who gives up", "[auto_reset_event][rule3]") {
  watchdog dog{"auto_reset_event"};
  weft::runtime rt{on(some_workers())};
  weft::auto_reset_event e;
  weft::auto_reset_event answer;
  std::atomic<bool> done{false};
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(rt.spawn([&] {
      while (!done.load()) {
        if (weft::move_on_after(20us, [&] { e.wait(); })) answer.set();
      }
    }));
  }
  for (std::size_t i = 0; i < scaled(5000); ++i) {
    e.set();
    answer.wait();  // for good, if the signal is lost
    dog.feed();
  }
  done = true;
  for (auto& t : tasks) t.get();
  expect_no_leaks(rt);
}

TEST_CASE("a rate limiter lets a burst through, and then one at a time", "[rate_limiter]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::detail::deadline_after(0ns); };
    weft::rate_limiter limit{5, 1s};
    auto begin = now();
    for (int i = 0; i < 5; ++i) limit.acquire();
    verify(now() == begin);
    verify(!limit.try_acquire());
    for (int i = 1; i <= 10; ++i) {
      limit.acquire();
      verify(now() == begin + i * 200ms);
    }
    verify(!limit.try_acquire_for(199ms) && now() == begin + 2s);  // it would not come in time
    verify(limit.try_acquire_for(200ms) && now() == begin + 2200ms);
    weft::sleep_for(10s);
    begin = now();
    for (int i = 0; i < 5; ++i) verify(limit.try_acquire());
    verify(!limit.try_acquire() && now() == begin);
  });
}

TEST_CASE("a rate limiter serves in order, and who is cancelled does not count", "[rate_limiter]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::detail::deadline_after(0ns); };
    weft::rate_limiter limit{1, 1s};
    limit.acquire();
    auto const begin = now();
    verify(!weft::move_on_after(500ms, [&] { limit.acquire(); }));
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        limit.acquire();
        order.add(i);
      }));
    }
    for (auto& t : tasks) t.get();
    verify(now() == begin + 3s);
    verify(order.steps() == std::vector{0, 1, 2});
  });
}

TEST_CASE("a rate limiter refuses nobody for another who only tries", "[rate_limiter]") {
  auto const all = 2 * static_cast<int>(scaled(500'000));
  weft::rate_limiter limit{all, 1h};
  std::atomic<int> missing{2};
  std::atomic<int> passed{0};
  auto const tries = [&] {
    for (--missing; missing != 0;) {
    }
    int mine = 0;
    for (int i = 0; i < all / 2; ++i) mine += limit.try_acquire() ? 1 : 0;
    passed += mine;
  };
  std::thread beside{tries};
  tries();
  beside.join();
  CHECK(passed == all);
}

TEST_CASE("a rate limiter for all times is full after its burst", "[rate_limiter][bad-input]") {
  weft::rate_limiter once{1, std::chrono::hours::max()};
  CHECK(once.try_acquire());
  CHECK_FALSE(once.try_acquire());
  CHECK_FALSE(once.try_acquire_for(0s));
  weft::rate_limiter some{5, std::chrono::nanoseconds::max()};
  for (int i = 0; i < 5; ++i) CHECK(some.try_acquire());
  CHECK_FALSE(some.try_acquire());
  weft::rate_limiter any{std::numeric_limits<std::ptrdiff_t>::max(), std::chrono::nanoseconds::max()};
  for (int i = 0; i < 100; ++i) CHECK(any.try_acquire());
}

TEST_CASE("a rate limiter lets through as many as it says, whatever their time divides into", "[rate_limiter]") {
  struct rate {
    int n;
    std::chrono::nanoseconds per;
  };
  auto const now = GENERATE(rate{60'000, 1s}, rate{1500, 1ms}, rate{600, 1us}, rate{7, 10ns}, rate{3, 1ns});
  INFO(now.n << " in " << now.per.count() << " ns");
  run_with(weft::testing::in_virtual_time(), [now] {
    weft::rate_limiter limit{now.n, now.per};
    int at_once = 0;
    while (limit.try_acquire()) ++at_once;
    verify(at_once == now.n);
    auto const begin = weft::detail::deadline_after(0ns);
    for (int i = 0; i < now.n; ++i) limit.acquire();
    verify(weft::detail::deadline_after(0ns) - begin >= now.per);
  });
}

TEST_CASE("bad rates are refused", "[rate_limiter][bad-input]") {
  CHECK_THROWS_AS((weft::rate_limiter{0, 1s}), std::invalid_argument);
  CHECK_THROWS_AS((weft::rate_limiter{1, 0s}), std::invalid_argument);
  CHECK_THROWS_AS((weft::rate_limiter{-1, 1s}), std::invalid_argument);
}
