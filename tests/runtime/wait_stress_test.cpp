/// @file
/// Waits under fire: wake, time-out and cancellation at the same moment (H6), wake before and after the registers are
/// saved (H5), and long runs in which no wake-up may be lost.

#include <weft/runtime/waiter.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("H5: two fibers that wake each other never run on one stack", "[hazard][H5][stress]") {
  watchdog dog{"ping-pong"};
  auto const rounds = scaled(100'000);
  run_on(some_workers(), [&] {
    struct half {
      weft::event event;
      std::uint64_t canary = 0;
    };
    auto const pairs = 4;
    std::vector<std::unique_ptr<std::array<half, 2>>> state;
    std::vector<weft::task<void>> tasks;
    for (int p = 0; p < pairs; ++p) {
      state.push_back(std::make_unique<std::array<half, 2>>());
      for (std::size_t side = 0; side < 2; ++side) {
        tasks.push_back(weft::spawn([&, s = state.back().get(), side] {
          auto& mine = (*s)[side];
          auto& other = (*s)[1 - side];
          std::uint64_t on_stack = side + 1;
          for (std::size_t i = 0; i < rounds / pairs; ++i) {
            if (side == 1 || i != 0) {
              mine.event.wait();
              mine.event.reset();
            }
            // The stack and the handed-over word must be as they were left.
            verify(on_stack == (side + 1) + 2 * i);
            on_stack += 2;
            mine.canary = on_stack;
            other.event.set();
            dog.feed();
          }
        }));
      }
    }
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("H5: a fiber woken from outside while it parks", "[hazard][H5][stress]") {
  watchdog dog{"foreign wakes"};
  auto const rounds = scaled(20'000);
  weft::runtime rt{on(some_workers())};
  weft::event to_fiber;
  weft::event to_thread;
  auto t = rt.spawn([&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      to_fiber.wait();
      to_fiber.reset();
      to_thread.set();
      dog.feed();
    }
  });
  for (std::size_t i = 0; i < rounds; ++i) {
    to_fiber.set();
    to_thread.wait();
    to_thread.reset();
  }
  t.get();
  expect_no_leaks(rt);
}

TEST_CASE("H6: timeouts near the latency of the wake that races with them", "[hazard][H6][stress]") {
  watchdog dog{"timed waits"};
  auto const seed = GENERATE(1U, 2U);
  auto const rounds = scaled(30'000);
  INFO("seed " << seed);
  std::atomic<std::size_t> notified{0};
  std::atomic<std::size_t> timed_out{0};
  run_on(some_workers(), [&] {
    std::vector<weft::task<void>> tasks;
    for (unsigned p = 0; p < 8; ++p) {
      tasks.push_back(weft::spawn([&, p] {
        std::minstd_rand random{seed * 100 + p};
        for (std::size_t i = 0; i < rounds / 8; ++i) {
          weft::event e;
          auto const limit = std::chrono::nanoseconds(random() % 20'000);
          if (i % 16 == 0) {  // so that each outcome comes, however long a wake-up takes
            verify(!e.wait_for(limit));
            timed_out.fetch_add(1);
            continue;
          }
          auto waker = weft::spawn([&e, n = random() % 8, nap = std::chrono::nanoseconds(random() % 20'000)] {
            if (n == 0) weft::sleep_for(nap);
            for (unsigned k = 0; k < n; ++k) weft::yield();
            e.set();
          });
          bool const in_time = i % 16 == 1 ? e.wait_for(std::chrono::hours{1}) : e.wait_for(limit);
          verify(!in_time || e.is_set());
          (in_time ? notified : timed_out).fetch_add(1);
          waker.get();
          dog.feed();
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
  CHECK(notified.load() + timed_out.load() == rounds / 8 * 8);
  CHECK((notified.load() > 0 && timed_out.load() > 0));
}

TEST_CASE("H6: wake, time and cancellation at once: one outcome, and the fiber goes on once", "[hazard][H6][stress]") {
  watchdog dog{"three parties"};
  auto const seed = GENERATE(1U, 2U);
  auto const rounds = scaled(20'000);
  INFO("seed " << seed);
  std::atomic<std::size_t> outcomes{0};
  run_on(some_workers(), [&] {
    std::minstd_rand random{seed};
    for (std::size_t i = 0; i < rounds; ++i) {
      weft::event e;
      std::atomic<int> ends{0};
      auto victim = weft::spawn([&, limit = std::chrono::nanoseconds(random() % 10'000)] {
        try {
          verify(!e.wait_for(limit) || e.is_set());
        } catch (weft::cancelled const&) {
        }
        ends.fetch_add(1);
      });
      auto setter = weft::spawn([&, n = random() % 3] {
        for (unsigned k = 0; k < n; ++k) weft::yield();
        e.set();
      });
      for (auto n = random() % 3; n > 0; --n) weft::yield();
      victim.cancel();
      victim.wait();
      setter.get();
      // Cancelled before its start it has no outcome of its own; else a failed check is told here.
      if (victim.exception() != nullptr) verify(throws<weft::cancelled>([&] { victim.get(); }));
      verify(ends.load() == (victim.exception() == nullptr ? 1 : 0));
      outcomes.fetch_add(1);
      dog.feed();
    }
  });
  CHECK(outcomes.load() == rounds);
}

TEST_CASE("H6: a wait that looks at its scopes while its time runs out leaves no timer behind",
          "[hazard][H6][stress]") {
  watchdog dog{"looks"};
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{4});
  INFO("workers " << workers);
  auto const rounds = scaled(20'000);
  constexpr std::size_t pairs = 4;
  weft::runtime_options options;
  options.workers = workers;
  weft::runtime rt{options};
  rt.run([&] {
    std::vector<weft::task<void>> tasks;
    for (std::size_t p = 0; p < pairs; ++p) {
      tasks.push_back(weft::spawn([&, p] {
        std::minstd_rand random{static_cast<std::uint32_t>(p + 1)};
        weft::event never_set;
        weft::cancel_scope scope{1h};
        auto const done = scope.run([&] {
          std::atomic<bool> over{false};
          auto mover = weft::spawn([&] {
            for (int i = 0; !over.load(); ++i) {
              scope.reschedule(1h + std::chrono::nanoseconds{i});  // and so the other looks
              weft::yield();
            }
          });
          for (std::size_t i = 0; i < rounds / pairs; ++i) {
            verify(!never_set.wait_for(std::chrono::nanoseconds{random() % 20'000}));
            dog.feed();
          }
          over.store(true);
          mover.get();
        });
        verify(done);
      }));
    }
    for (auto& t : tasks) t.get();
  });
  CHECK(rt.stats().timers == 0);
}

TEST_CASE("rule 3: of notify and cancel one wins, and cancellation strikes at the next wait", "[rule3][stress]") {
  watchdog dog{"rule 3"};
  auto const rounds = scaled(20'000);
  std::array<std::atomic<std::size_t>, 3> outcomes{};
  run_on(some_workers(), [&] {
    std::minstd_rand random{7};
    for (std::size_t i = 0; i < rounds; ++i) {
      weft::event e;
      weft::event at_wait;
      // 1: the wait returned, and the next one threw; 2: the wait threw.
      auto victim = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] {
        at_wait.set();
        try {
          e.wait();
        } catch (weft::cancelled const&) {
          return 2;
        }
        try {
          while (true) weft::yield();
        } catch (weft::cancelled const&) {
          return 1;
        }
      });
      at_wait.wait();
      auto setter = weft::spawn([&] { e.set(); });
      for (auto n = random() % 3; n > 0; --n) weft::yield();
      victim.cancel();
      int const outcome = victim.get();
      outcomes[static_cast<std::size_t>(outcome)].fetch_add(1);
      setter.get();
      dog.feed();
    }
  });
  CHECK(outcomes[1].load() > 0);
  CHECK(outcomes[2].load() > 0);
}

TEST_CASE("no wake-up is lost in a storm of yields, sleeps, events and joins", "[stress]") {
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8});
  auto const seed = GENERATE(11U, 12U);
  INFO("workers " << workers << ", seed " << seed);
  watchdog dog{"storm"};
  run_on(workers, [&] {
    auto const fibers = scaled(2'000);
    std::vector<std::unique_ptr<weft::event>> events;
    for (std::size_t i = 0; i < 64; ++i) events.push_back(std::make_unique<weft::event>());
    std::vector<weft::task<void>> tasks;
    for (std::size_t f = 0; f < fibers; ++f) {
      tasks.push_back(weft::spawn([&, f] {
        std::minstd_rand random{static_cast<std::uint32_t>(seed * 7919 + f)};
        for (int step = 0; step < 50; ++step) {
          auto& e = *events[random() % events.size()];
          switch (random() % 8) {
            case 0: weft::sleep_for(std::chrono::nanoseconds(random() % 100'000)); break;
            case 1: e.set(); break;
            case 2: e.reset(); break;
            case 3: (void)e.wait_for(std::chrono::nanoseconds(random() % 100'000)); break;
            case 4: weft::spawn([] { weft::yield(); }).get(); break;
            case 5: {
              auto dropped = weft::spawn([] { weft::sleep_for(1h); });
              break;
            }
            default: weft::yield();
          }
          dog.feed();
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
}
