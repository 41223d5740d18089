/// @file
/// task_group: growing, failing, cancelling, starting, and outliving its tasks.

#include <weft/runtime/task_group.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/gather.hpp>
#include <weft/runtime/map.hpp>
#include <weft/runtime/race.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::simulation;

namespace {

void park_forever() {
  weft::event never_set;
  never_set.wait();
}

template <class F>
std::string thrown_by(F&& f) {
  try {
    f();
  } catch (std::exception const& e) {
    return e.what();
  } catch (weft::cancelled const& c) {
    return std::string("cancelled: ") + weft::to_string(c.reason());
  }
  return "nothing";
}

std::vector<std::string> texts_of(std::vector<std::exception_ptr> const& errors) {
  std::vector<std::string> texts;
  for (auto const& e : errors) texts.push_back(thrown_by([&] { std::rethrow_exception(e); }));
  return texts;
}

using list = std::vector<std::string>;

void fail_after(std::chrono::seconds d, char const* what) {
  weft::sleep_for(d);
  throw std::runtime_error(what);
}

/// Fails with `what` when it is cancelled.
void fail_when_cancelled(char const* what) {
  try {
    park_forever();
  } catch (weft::cancelled const&) {
    throw std::runtime_error(what);
  }
}

}  // namespace

TEST_CASE("tasks of a group may refer to what is older than it", "[task_group]") {
  run_on(some_workers(), [] {
    std::vector<int> results(100, 0);
    {
      weft::task_group g;
      for (int& r : results) {
        g.spawn([&r] {
          weft::yield();
          r = 1;
        });
      }
      g.wait();
      verify(std::ranges::count(results, 1) == 100);
      verify(g.size() == 0);
      g.spawn([&results](int n, std::unique_ptr<int> p) { results[0] = n + *p; }, 3, std::make_unique<int>(4));
      g.wait();
    }
    verify(results[0] == 7);
  });
}

TEST_CASE("a group grows while it is waited for: by its tasks, and from elsewhere", "[task_group][bad-input]") {
  run_on(some_workers(), [] {
    std::atomic<int> ran{0};
    std::function<void(int)> grow;
    weft::event parked;
    weft::task_group g;
    grow = [&](int depth) {
      ++ran;
      if (depth == 0) return;
      g.spawn(grow, depth - 1);
      g.spawn(grow, depth - 1);
    };
    g.spawn([&] { parked.wait(); });
    auto elsewhere = weft::spawn([&] {
      for (int i = 0; i < 50; ++i) {
        g.spawn([&] { ++ran; });
        weft::yield();
      }
      parked.set();
    });
    g.spawn(grow, 6);
    g.wait();
    verify(ran == 50 + 127);
    elsewhere.get();
  });
}

TEST_CASE("a group is empty when its tasks have ended, with all that they owned", "[task_group][rule17]") {
  run_on(some_workers(), [] {
    static weft::fiber_local<std::shared_ptr<int>> local;
    auto const token = std::make_shared<int>(1);
    weft::task_group g;
    for (int i = 0; i < 20; ++i) {
      g.spawn([token] {
        *local = token;
        weft::yield();
      });
    }
    g.wait();
    verify(token.use_count() == 1);
  });
}

TEST_CASE("rule 11: wait rethrows the first failure as itself, and failures() has the others", "[task_group][rule11]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    {
      weft::task_group g;
      g.spawn([] { fail_after(2s, "never"); });
      g.spawn([] { fail_after(1s, "first"); });
      g.spawn([] { fail_when_cancelled("second"); });
      CHECK(g.failures().empty());
      CHECK_THROWS_AS(g.wait(), std::runtime_error);
      CHECK(texts_of(g.failures()) == list{"second"});
      CHECK(thrown_by([&] { g.wait(); }) == "first");
      CHECK(g.cancel_requested());
    }
    weft::testing::expect_no_leaks();
  });
  CHECK(sim.elapsed() == 1s);
}

TEST_CASE("rule 11: wait_all throws an exception_group with all", "[task_group][rule11]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    weft::task_group g;
    g.spawn([] { fail_after(1s, "first"); });
    g.spawn([] { fail_when_cancelled("second"); });
    g.spawn([] {
      try {
        park_forever();
      } catch (weft::cancelled const&) {
        weft::sleep_for(0s);  // throws again: a cancelled task's own end is no failure
      }
    });
    try {
      g.wait_all();
      CHECK(false);
    } catch (weft::exception_group const& e) {
      CHECK(texts_of(e.exceptions()) == list{"first", "second"});
      CHECK(std::string(e.what()) == "2 failures: first; second");
    }
    weft::task_group quiet;
    quiet.spawn([] {});
    quiet.wait_all();
  });
}

TEST_CASE("failures that nobody looks at are reported", "[task_group][rule11]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    weft::event begun;
    weft::task_group g;
    g.spawn({.name = "other"}, [&] {
      begun.set();
      fail_when_cancelled("second");
    });
    begun.wait();
    g.spawn([] { throw std::runtime_error("first"); });
    verify(thrown_by([&] { g.wait(); }) == "first");
    {
      weft::event running;
      weft::task_group dropped;
      dropped.spawn({.name = "dropped"}, [&] {
        running.set();
        fail_when_cancelled("third");
      });
      running.wait();
    }
  });
  CHECK(log.lines() == list{"dropped: third", "other: second"});
}

TEST_CASE("cancel ends a group quietly", "[task_group][cancel]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    weft::task_group g;
    bool ran = false;
    sequence<std::string> reasons;
    for (int i = 0; i < 100; ++i) {
      g.spawn([&] {
        try {
          park_forever();
        } catch (weft::cancelled const& c) {
          reasons.add(weft::to_string(c.reason()));
          throw;
        }
      });
    }
    weft::testing::run_until_blocked();
    CHECK_FALSE(g.cancel_requested());
    g.cancel();
    g.cancel(weft::cancel_reason::deadline);
    CHECK(g.cancel_requested());
    g.spawn([&] { ran = true; });
    g.wait();
    CHECK_FALSE(ran);
    CHECK(reasons.steps() == list(100, "user"));
    CHECK(g.failures().empty());
    // What would never run is refused.
    CHECK_THROWS_AS(g.spawn([] {}), weft::error);
    g.wait();
  });
}

TEST_CASE("rule 9: a group cancels its tasks only, not who has it", "[task_group][rule9]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    weft::task_group g;
    g.spawn([] { throw std::runtime_error("fails"); });
    weft::sleep_for(1s);
    CHECK(g.cancel_requested());
    weft::sleep_for(1s);
    CHECK(thrown_by([&] { g.wait(); }) == "fails");
  });
  CHECK(sim.elapsed() == 2s);
}

TEST_CASE("a group that goes cancels its tasks and waits for them, though its owner is cancelled",
          "[task_group][rule7][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    std::atomic<int> ended{0};
    auto owner = weft::spawn([&] {
      weft::task_group g;
      for (int i = 0; i < 10; ++i) {
        g.spawn([&] {
          struct at_end {
            std::atomic<int>& n;
            ~at_end() {
              weft::yield();
              ++n;
            }
          } const count{ended};
          try {
            park_forever();
          } catch (weft::cancelled const& c) {
            verify(c.reason() == weft::cancel_reason::handle_dropped);
            throw;
          }
        });
      }
      weft::yield();
      begun.set();
      park_forever();
    });
    begun.wait();
    owner.cancel();
    verify(throws<weft::cancelled>([&] { owner.get(); }));
    auto const n = ended.load();
    for (int i = 0; i < 5; ++i) weft::yield();
    verify(ended == n);
  });
}

TEST_CASE("an exception while a group is alive ends it", "[task_group][bad-input]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    bool ended = false;
    CHECK_THROWS_AS(
        [&] {
          weft::task_group g;
          g.spawn([&] {
            try {
              park_forever();
            } catch (weft::cancelled const&) {
              ended = true;
              throw;
            }
          });
          weft::testing::run_until_blocked();
          throw std::out_of_range("the body");
        }(),
        std::out_of_range);
    CHECK(ended);
  });
}

TEST_CASE("a cancelled wait cancels the tasks, waits for them, and goes on", "[task_group][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    auto outer = weft::spawn([&] {
      weft::task_group g;
      g.spawn([&] {
        begun.set();
        park_forever();
      });
      auto const what = thrown_by([&] { g.wait(); });
      verify(what == "cancelled: user" && g.size() == 0);
      park_forever();
    });
    begun.wait();
    outer.cancel();
    verify(throws<weft::cancelled>([&] { outer.get(); }));
  });
}

TEST_CASE("wait is a cancellation point, also for an empty group", "[task_group][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    auto t = weft::spawn([&] {
      begun.set();
      verify(throws<weft::cancelled>([] { park_forever(); }));
      weft::task_group g;
      verify(throws<weft::cancelled>([&] { g.wait(); }));
      verify(throws<weft::cancelled>([&] { g.wait_all(); }));
    });
    begun.wait();
    t.cancel();
    t.get();
  });
}

// A task that was started eagerly starts another, which fails at once: asyncio's group forgot to cancel the first,
// which it did not know yet.
TEST_CASE("CPython #128550: a task that spawns a failing one while it is being spawned is cancelled",
          "[task_group][cpython]") {
  run_on(some_workers(), [] {
    weft::task_group g;
    g.spawn({.start = weft::start::eager}, [&] {
      g.spawn({.start = weft::start::eager}, [] { throw std::runtime_error("third task failed"); });
      park_forever();
    });
    verify(thrown_by([&] { g.wait(); }) == "third task failed");
  });
}

// The same, where the task cancels the group that does not know it yet.
TEST_CASE("CPython #155418: a task that cancels its group before its first wait is cancelled",
          "[task_group][cpython]") {
  run_on(some_workers(), [] {
    std::optional<weft::cancel_reason> reason;
    weft::task_group g;
    g.spawn({.start = weft::start::eager}, [&] {
      g.cancel();
      try {
        park_forever();
      } catch (weft::cancelled const& c) {
        reason = c.reason();
        throw;
      }
    });
    g.wait();
    verify(reason == weft::cancel_reason::user);
  });
}

// After cancel() asyncio's group took a cancellation from outside for its own.
TEST_CASE("CPython #155433: a group that was cancelled passes on its owners cancellation", "[task_group][cpython]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    bool went_on = false;
    auto owner = weft::spawn([&] {
      weft::task_group g;
      g.spawn([] {
        struct slow_end {
          ~slow_end() { weft::sleep_for(1s); }  // while `cancelled` unwinds
        } const at_end;
        weft::sleep_for(1h);
      });
      weft::sleep_for(100ms);
      g.cancel();
      g.wait();
      went_on = true;
    });
    weft::sleep_for(500ms);
    owner.cancel();
    CHECK_THROWS_AS(owner.get(), weft::cancelled);
    CHECK_FALSE(went_on);
  });
  CHECK(sim.elapsed() == 1100ms);
}

TEST_CASE("rule 2: a foreign cancelled is a failure of the group", "[task_group][rule2]") {
  run_on(some_workers(), [] {
    weft::task_group g;
    g.spawn([] {
      auto child = weft::spawn([] { park_forever(); });
      child.cancel(weft::cancel_reason::deadline);
      child.get();
    });
    g.spawn([] { park_forever(); });
    verify(thrown_by([&] { g.wait(); }) == "cancelled: deadline");
  });
}

TEST_CASE("a failure goes before the owners own cancellation", "[task_group][rule11]") {
  run_on(some_workers(), [] {
    weft::event begun;
    auto outer = weft::spawn([&] {
      weft::task_group g;
      g.spawn([&] {
        begun.set();
        fail_when_cancelled("in the cleaning up");
      });
      verify(thrown_by([&] { g.wait(); }) == "in the cleaning up");
      verify(throws<weft::cancelled>([] { weft::yield(); }));
      return 1;
    });
    begun.wait();
    outer.cancel();
    verify(outer.get() == 1);
  });
}

TEST_CASE("start returns when the task is ready, with its value", "[task_group][start]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    auto const begin = weft::testing::now();
    weft::task_group g;
    bool done = false;
    int const port = g.start<int>([&](auto& ready) {
      weft::sleep_for(1s);
      ready(8080);
      weft::sleep_for(1s);
      done = true;
    });
    CHECK(port == 8080);
    CHECK_FALSE(done);
    CHECK(weft::testing::now() - begin == 1s);
    g.start([](weft::ready_signal<void>& ready) { ready(); });
    auto const pointer = g.start<std::unique_ptr<int>>({.name = "named", .start = weft::start::eager}, [](auto& ready) {
      CHECK(weft::this_fiber::name() == "named");
      ready(std::make_unique<int>(3));
      CHECK_THROWS_AS(ready(nullptr), weft::error);
    });
    CHECK(*pointer == 3);
    g.wait();
    CHECK(done);
    CHECK(weft::testing::now() - begin == 2s);
  });
}

TEST_CASE("what a task fails with before it is ready is starts to throw, and no failure of the group",
          "[task_group][start]") {
  run_on(some_workers(), [] {
    weft::task_group g;
    g.spawn([] {});
    verify(thrown_by([&] { g.start([](auto&) { throw std::runtime_error("cannot bind"); }); }) == "cannot bind");
    verify(thrown_by([&] { g.start([](auto&) {}); }) ==
           "weft::task_group::start: the task has ended without saying that it is ready");
    verify(!g.cancel_requested());
    g.wait();
    verify(g.failures().empty());
    // Once it is ready, it is a task like any other.
    g.start([](auto& ready) {
      ready();
      weft::yield();
      throw std::runtime_error("later");
    });
    verify(thrown_by([&] { g.wait(); }) == "later");
    verify(throws<weft::error>([&] { g.start([](auto& ready) { ready(); }); }));
  });
}

TEST_CASE("a cancelled start cancels its task and waits for it; the group goes on", "[task_group][start][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    bool ended = false;
    bool other_ended = false;
    weft::event stop;
    weft::task_group g;
    g.spawn([&] {
      stop.wait();
      other_ended = true;
    });
    auto starter = weft::spawn([&] {
      g.start([&](auto&) {
        begun.set();
        try {
          park_forever();
        } catch (weft::cancelled const&) {
          ended = true;
          throw;
        }
      });
    });
    begun.wait();
    starter.cancel();
    verify(throws<weft::cancelled>([&] { starter.get(); }));
    verify(ended && !g.cancel_requested() && g.size() == 1);
    stop.set();
    g.wait();
    verify(other_ended);
  });
}

TEST_CASE("a group that is cancelled ends the start that waits in it", "[task_group][start][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    weft::task_group g;
    auto starter = weft::spawn([&] {
      return thrown_by([&] {
        g.start([&](auto&) {
          begun.set();
          park_forever();
        });
      });
    });
    begun.wait();
    g.cancel();
    verify(starter.get() == "cancelled: user");
    g.wait();
  });
}

TEST_CASE("rule 15: a task that waits for its own group is refused, and may not destroy it",
          "[task_group][rule15][bad-input]") {
  run_on(some_workers(), [] {
    weft::task_group g;
    bool refused = false;
    g.spawn([&] {
      try {
        g.wait();
      } catch (std::system_error const& e) {
        refused = e.code() == std::errc::resource_deadlock_would_occur;
      }
    });
    g.wait();
    verify(refused);
  });
#if !defined(WEFT_TEST_TSAN)
  CHECK(aborts_with("a task_group was destroyed by one of its own tasks", [] {
    weft::run(
        [] {
          auto g = std::make_unique<weft::task_group>();
          g->spawn([&] { g.reset(); });
          weft::sleep_for(1h);
        },
        {.workers = 1});
  }));
#endif
}

TEST_CASE("a group answers bad arguments", "[task_group][bad-input]") {
  weft::task_group outside;
  CHECK_THROWS_AS(outside.spawn([] {}), weft::no_runtime);
  CHECK_NOTHROW(outside.wait());
  run_on(some_workers(), [] {
    weft::task_group g;
    verify(throws<std::invalid_argument>([&] { g.spawn(std::function<void()>{}); }));
    verify(throws<std::invalid_argument>([&] { g.spawn({.detached = true}, [] {}); }));
    verify(throws<std::invalid_argument>([&] { g.spawn({.stack_size = 1}, [] {}); }));
    struct throws_when_copied {
      throws_when_copied() = default;
      throws_when_copied(throws_when_copied const&) { throw std::range_error("copy"); }
      void operator()() const {}
    } const f;
    verify(throws<std::range_error>([&] { g.spawn(f); }));
    verify(g.size() == 0);
    g.wait();
  });
}

TEST_CASE("a group may be cancelled, watched and waited for from a thread", "[task_group]") {
  weft::runtime rt{on(some_workers())};
  weft::task_group g;
  rt.run([&] {
    for (int i = 0; i < 10; ++i) g.spawn([] { park_forever(); });
  });
  CHECK(g.size() == 10);
  std::thread canceller{[&] { g.cancel(); }};
  g.wait();
  canceller.join();
  CHECK(g.size() == 0);
  expect_no_leaks(rt);
}

TEST_CASE("a runtime that stops ends its groups", "[task_group][cancel]") {
  weft::runtime rt{on(some_workers())};
  weft::event begun;
  auto t = rt.spawn([&] {
    weft::task_group g;
    g.spawn([&] {
      begun.set();
      park_forever();
    });
    g.wait();
    park_forever();  // if the tasks had been cancelled first
  });
  begun.wait();
  rt.shutdown();
  CHECK(thrown_by([&] { t.get(); }) == "cancelled: shutdown");
  expect_no_leaks(rt);
}

TEST_CASE("a task spawns a sibling as the last thing that it does", "[task_group][bad-input][stress]") {
  watchdog dog{"chain"};
  auto const length = scaled(20'000);
  run_on(some_workers(), [&] {
    std::size_t left = length;
    std::function<void()> step;
    weft::task_group g;
    step = [&] {
      dog.feed();
      if (--left != 0) g.spawn([&step] { step(); });
    };
    g.spawn([&step] { step(); });
    g.wait();
    verify(left == 0);
  });
}

TEST_CASE("groups under random failures, cancellations and starts leave nothing behind", "[task_group][stress]") {
  watchdog dog{"groups"};
  auto const seed = GENERATE(1U, 2U, 3U);
  auto const rounds = scaled(400);
  CAPTURE(seed);
  unhandled_log log;  // takes what is reported: others than the first
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [&] {
    std::minstd_rand random{seed};
    for (std::size_t i = 0; i < rounds; ++i) {
      std::atomic<int> inside{0};
      std::uint32_t const mine = static_cast<std::uint32_t>(random());
      auto owner = weft::spawn([&inside, mine, &dog] {
        std::minstd_rand choose{mine};
        std::function<void(std::uint32_t, int)> child;  // older than the group, for its tasks refer to it
        weft::task_group g;
        child = [&](std::uint32_t its, int depth) {
          struct visit {
            std::atomic<int>& n;
            explicit visit(std::atomic<int>& of) : n(of) { ++n; }
            ~visit() { --n; }
          } const here{inside};
          std::minstd_rand pick{its};
          for (auto n = pick() % 3; n > 0; --n) weft::yield();
          switch (pick() % 10) {
            case 0: throw std::runtime_error("fails");
            case 1: g.cancel(); break;
            case 2: park_forever(); break;
            case 3:
            case 4:
            case 5:
              if (depth > 0) g.spawn(child, static_cast<std::uint32_t>(pick()), depth - 1);
              break;
            case 6:
              if (depth > 0) {
                try {
                  (void)g.start<int>([&, what = pick() % 3](auto& ready) {
                    visit const there{inside};
                    weft::yield();
                    if (what == 0) throw std::out_of_range("before");
                    ready(1);
                    if (what == 1) throw std::out_of_range("after");
                  });
                } catch (std::out_of_range const&) {
                }
              }
              break;
            default: weft::yield();
          }
        };
        for (auto n = choose() % 8; n > 0; --n) {
          weft::spawn_options how;
          how.start = choose() % 2 == 0 ? weft::start::eager : weft::start::queued;
          g.spawn(how, child, static_cast<std::uint32_t>(choose()), 3);
          dog.feed();
        }
        switch (choose() % 4) {
          case 0: g.wait(); break;
          case 1: g.wait_all(); break;
          case 2: g.cancel(); break;
          default: break;
        }
      });
      for (auto n = random() % 6; n > 0; --n) weft::yield();
      if (random() % 2 == 0) owner.cancel();
      // A child may have parked for good in a group that nobody cancels.
      if (!owner.wait_for(1ms)) owner.cancel();
      try {
        owner.get();
      } catch (std::runtime_error const&) {
      } catch (std::logic_error const&) {
      } catch (weft::cancelled const&) {
      }
      verify(inside == 0);
      dog.feed();
    }
  });
}

TEST_CASE("with_task_group waits for its tasks, and returns what its body does", "[task_group][with_task_group]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    std::atomic<int> sum{0};
    int target = 7;
    CHECK(weft::with_task_group([&](weft::task_group& g) {
            for (int i = 1; i <= 3; ++i) {
              g.spawn([&sum, i] {
                weft::sleep_for(std::chrono::seconds(i));
                sum += i;
              });
            }
            return 5;
          }) == 5);
    CHECK(sum == 6);
    CHECK(&weft::with_task_group([&](weft::task_group&) -> int& { return target; }) == &target);
    CHECK(*weft::with_task_group([](auto&) { return std::make_unique<int>(3); }) == 3);
    weft::with_task_group([](weft::task_group&) {});
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("rule 3: a cancellation that comes after a group's last task takes nothing from its owner",
          "[task_group][with_task_group][rule3]") {
  int met = 0;
  for (unsigned seed = 1; seed <= 50; ++seed) {
    simulation sim{seed};
    sim.run([&] {
      weft::event end;
      bool over = false;
      bool came_after = false;
      bool struck_later = false;
      auto owner = weft::spawn([&] {
        int const got = weft::with_task_group([&](weft::task_group& g) {
          g.spawn([&] {
            end.wait();
            over = true;
          });
          return 42;
        });
        struck_later = throws<weft::cancelled>([] { weft::yield(); });
        return got;
      });
      weft::sleep_for(1s);
      auto canceller = weft::spawn([&] {
        came_after = over;
        owner.cancel();
      });
      end.set();
      canceller.get();
      int got = 0;
      bool const lost = throws<weft::cancelled>([&] { got = owner.get(); });
      verify(lost ? !came_after : came_after && got == 42);
      met += came_after && struck_later ? 1 : 0;
    });
  }
  CHECK(met > 0);
}

TEST_CASE("rule 9: with_task_group also cancels its body", "[task_group][with_task_group][rule9][rule11]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    std::optional<weft::cancel_reason> reason;
    auto const what = thrown_by([&] {
      weft::with_task_group([&](weft::task_group& g) {
        g.spawn([] { fail_after(1s, "a task"); });
        try {
          weft::sleep_for(1h);
        } catch (weft::cancelled const& c) {
          reason = c.reason();
          throw;
        }
      });
    });
    CHECK(what == "a task");
    CHECK(reason == weft::cancel_reason::sibling_failed);
    weft::sleep_for(1s);  // the caller has not been cancelled
  });
  CHECK(sim.elapsed() == 2s);
}

TEST_CASE("rule 11: of the bodys failure and a tasks the first is thrown", "[task_group][with_task_group][rule11]") {
  unhandled_log log;
  weft::testing::simulation_options options;
  options.runtime.on_unhandled_exception = log.handler();
  simulation sim{GENERATE(1U, 2U), options};
  sim.run([] {
    CHECK(thrown_by([] {
            weft::with_task_group([](weft::task_group& g) {
              g.spawn({.name = "task"}, [] { fail_when_cancelled("then the task"); });
              fail_after(1s, "first the body");
            });
          }) == "first the body");
    CHECK(thrown_by([] {
            weft::with_task_group([](weft::task_group& g) {
              g.spawn([] { fail_after(1s, "first the task"); });
              fail_when_cancelled("then the body");
            });
          }) == "first the task");
    CHECK(thrown_by([] {
            weft::with_task_group([](weft::task_group& g) {
              g.spawn([] { fail_after(1s, "thrown by wait"); });
              g.wait();
            });
          }) == "thrown by wait");
  });
  CHECK(log.lines() == list{"task: then the task", ": then the body"});
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("cancel ends a with_task_group quietly, body and all", "[task_group][with_task_group][cancel]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    bool ended = false;
    weft::with_task_group([&](weft::task_group& g) {
      g.spawn([&] {
        weft::sleep_for(1s);
        g.cancel();
      });
      g.spawn([] { park_forever(); });
      try {
        park_forever();
      } catch (weft::cancelled const& c) {
        ended = c.reason() == weft::cancel_reason::user;
        throw;
      }
    });
    CHECK(ended);
    // While it waits for the tasks.
    CHECK(weft::with_task_group([](weft::task_group& g) {
            g.spawn([&g] {
              weft::sleep_for(1s);
              g.cancel();
              park_forever();
            });
            return 5;
          }) == 5);
    CHECK_THROWS_AS(weft::with_task_group([](weft::task_group& g) {
                      g.cancel();
                      weft::yield();
                      return 5;
                    }),
                    weft::cancelled);
    weft::yield();
  });
  CHECK(sim.elapsed() == 2s);
}

TEST_CASE("rule 5: a limit around a group that was cancelled is not lost", "[task_group][with_task_group][cpython]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto const slow_to_end = [] {
      struct at_end {
        ~at_end() { weft::sleep_for(1s); }
      } const slow;
      weft::sleep_for(1h);
    };
    CHECK_THROWS_AS(weft::with_timeout(500ms,
                                       [&] {
                                         weft::with_task_group([&](weft::task_group& g) {
                                           g.spawn(slow_to_end);
                                           weft::sleep_for(100ms);
                                           g.cancel();
                                         });
                                       }),
                    weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(500ms,
                                       [&] {
                                         weft::task_group g;
                                         g.spawn(slow_to_end);
                                         weft::sleep_for(100ms);
                                         g.cancel();
                                         g.wait();
                                       }),
                    weft::timeout_error);
    // asyncio's nested groups lost it as well (CPython #116720).
    CHECK(thrown_by([&] {
            weft::with_task_group([&](weft::task_group& outer) {
              outer.spawn([] { fail_after(1s, "outer"); });
              weft::with_task_group([&](weft::task_group& inner) {
                inner.spawn([] { fail_when_cancelled("inner"); });
                weft::sleep_for(1h);
              });
              CHECK(false);
            });
          }) == "outer");
  });
}

TEST_CASE("a cancelled caller cancels body and tasks", "[task_group][with_task_group][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    bool ended = false;
    auto outer = weft::spawn([&] {
      weft::with_task_group([&](weft::task_group& g) {
        g.spawn([&] {
          begun.set();
          try {
            park_forever();
          } catch (weft::cancelled const&) {
            ended = true;
            throw;
          }
        });
        park_forever();
      });
    });
    begun.wait();
    outer.cancel();
    verify(throws<weft::cancelled>([&] { outer.get(); }));
    verify(ended);
  });
}

TEST_CASE("rule 2: a foreign cancelled that leaves the body is a failure", "[task_group][with_task_group][rule2]") {
  run_on(some_workers(), [] {
    verify(thrown_by([] {
             weft::with_task_group([](weft::task_group& g) {
               g.spawn([] { park_forever(); });
               auto child = weft::spawn([] { park_forever(); });
               child.cancel(weft::cancel_reason::deadline);
               child.get();
             });
           }) == "cancelled: deadline");
  });
}

TEST_CASE("limits around gather and map cancel what they run", "[gather][map][timeout]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    sequence<std::string> reasons;
    auto const child = [&] {
      try {
        park_forever();
      } catch (weft::cancelled const& c) {
        reasons.add(weft::to_string(c.reason()));
        throw;
      }
    };
    CHECK_THROWS_AS(weft::with_timeout(1s, [&] { weft::gather(child, child); }), weft::timeout_error);
    CHECK(reasons.steps() == list(2, "deadline"));
    CHECK_FALSE(weft::move_on_after(
        1s, [&] { weft::for_each(std::vector{1, 2, 3}, [&](int) { child(); }, weft::max_concurrency{2}); }));
    CHECK(reasons.steps() == list(4, "deadline"));
    CHECK_THROWS_AS(weft::with_timeout(1s, [&] { return weft::gather_settled(child); }), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(1s, [&] { weft::race(child); }), weft::timeout_error);
  });
  CHECK(sim.elapsed() == 4s);
}

TEST_CASE("cancel ends a with_task_group quietly while its body waits for a child's start",
          "[task_group][with_task_group][cancel]") {
  auto const ends_quietly = [] {
    int turns = 0;
    weft::with_task_group([&](weft::task_group& g) {
      g.spawn([&g] {
        weft::yield();
        g.cancel();
      });
      ++turns;
      g.start([](auto&) { park_forever(); });
      ++turns;
    });
    verify(turns == 1);
  };
  for (std::uint64_t seed = 1; seed <= 50; ++seed) simulation{seed}.run(ends_quietly);
  run_on(some_workers(), [&] {
    for (std::size_t i = scaled(1'000); i > 0; --i) ends_quietly();
  });
}
