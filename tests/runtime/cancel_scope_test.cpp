/// @file
/// Cancel scopes and shields: which waits a cancellation ends, who absorbs it, and what is refused.

#include <weft/runtime/cancel_scope.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::cancel_reason;
using weft::cancel_scope;
using weft::cancel_shield;

namespace {

void park_forever() {
  weft::event nothing;
  nothing.wait();
}

bool yield_throws() {
  return throws<weft::cancelled>([] { weft::yield(); });
}

/// Calls `f` when it is destroyed.
template <class F>
struct at_exit {
  explicit at_exit(F f) : f_(std::move(f)) {}
  at_exit(at_exit const&) = delete;
  ~at_exit() noexcept(false) { f_(); }
  F f_;
};

static_assert(!std::is_copy_constructible_v<cancel_scope> && !std::is_move_constructible_v<cancel_scope>);
static_assert(!std::is_copy_constructible_v<cancel_shield> && !std::is_move_constructible_v<cancel_shield>);
template <class T>
concept can_be_new = requires { new T; };
static_assert(!can_be_new<cancel_scope> && !can_be_new<cancel_shield>);

}  // namespace

TEST_CASE("a shield that is entered after a wait was opened keeps a cancellation from it", "[cancel]") {
  run_on(1, [] {
    std::atomic<weft::waiter*> waits{nullptr};
    weft::event has_handle;
    weft::task<weft::wake_cause> task;
    task = weft::spawn([&] {
      has_handle.wait();
      weft::waiter self{"test"};
      cancel_shield const shield;
      task.cancel();  // finds it running, and keeps it from being parked
      waits.store(&self);
      return self.wait();
    });
    has_handle.set();
    while (waits.load() == nullptr) weft::yield();
    weft::yield();
    verify(waits.load()->notify());
    verify(task.get() == weft::wake_cause::notified);
  });
}

TEST_CASE("rule 1: every wait in a cancelled scope throws, until control leaves it", "[cancel_scope][rule1]") {
  run_on(some_workers(), [] {
    cancel_scope scope;
    bool const done = scope.run([](cancel_scope& s) {
      weft::yield();
      verify(!s.cancel_requested() && !weft::this_fiber::cancel_requested());
      s.cancel();
      s.cancel(cancel_reason::shutdown);  // only the first reason counts
      verify(s.cancel_requested() && weft::this_fiber::cancel_requested());
      verify(yield_throws());
      verify(yield_throws());
      verify(throws<weft::cancelled>(park_forever));
      verify(throws<weft::cancelled>([] { weft::sleep_for(1h); }));
      weft::event set;
      set.set();
      verify(throws<weft::cancelled>([&] { set.wait(); }));
      verify(throws<weft::cancelled>([&] { (void)set.wait_for(0s); }));
      auto ended = weft::spawn([] {});
      {
        cancel_shield const shielded;
        ended.wait();
      }
      verify(throws<weft::cancelled>([&] { ended.wait(); }));
      try {
        weft::yield();
      } catch (weft::cancelled const& c) {
        verify(s.owns(c) && c.reason() == cancel_reason::user);
        throw;
      }
    });
    verify(!done);
  });
}

TEST_CASE("rule 1: a scope that has been left is over", "[cancel_scope][rule1]") {
  run_on(some_workers(), [] {
    for (int i = 0; i < 3; ++i) {
      cancel_scope scope;
      scope.cancel();
      verify(!scope.run([] { weft::yield(); }));
    }
    weft::yield();
    verify(!weft::this_fiber::cancel_requested());
    auto t = weft::spawn([] { return 1; });
    verify(t.get() == 1);
  });
}

TEST_CASE("rule 1: a wait under way ends when its scope is cancelled by another fiber", "[cancel_scope][rule1]") {
  auto const workers = some_workers();
  auto const depth = GENERATE(1, 2, 5);
  run_on(workers, [depth] {
    for (int round = 0; round < 20; ++round) {
      cancel_scope scope;
      weft::event waiting;
      auto canceller = weft::spawn([&] {
        waiting.wait();
        for (int i = 0; i < round % 4; ++i) weft::yield();
        scope.cancel(cancel_reason::sibling_failed);
      });
      auto const nested = [&](auto const& self, int levels) -> void {
        if (levels == 0) {
          waiting.set();
          park_forever();
        }
        cancel_scope inner;
        verify(inner.run([&] { self(self, levels - 1); }));
      };
      verify(!scope.run([&] { nested(nested, depth); }));
      canceller.get();
    }
  });
}

TEST_CASE("rule 1: and by a thread, and one of a thread by a fiber", "[cancel_scope][rule1]") {
  for (int round = 0; round < 20; ++round) {
    weft::runtime rt{on(2)};
    std::atomic<cancel_scope*> of_fiber{nullptr};
    std::thread outside{[&] {
      while (of_fiber.load() == nullptr) std::this_thread::yield();
      of_fiber.load()->cancel();
    }};
    rt.run([&] {
      cancel_scope scope;
      verify(!scope.run([&] {
        of_fiber.store(&scope);
        park_forever();
      }));
      weft::shield([&] { weft::offload([&] { outside.join(); }); });
    });
    cancel_scope of_thread;
    auto t = rt.spawn([&] {
      if (round % 2 == 0) weft::yield();
      of_thread.cancel();
    });
    CHECK_FALSE(of_thread.run(park_forever));
    t.get();
    cancel_scope again;
    again.cancel();
    CHECK(throws<weft::cancelled>([&] { t.wait(); }));  // even where it need not wait
    CHECK(yield_throws());
  }
}

TEST_CASE("rule 1: a task cancelled before it started ends without running, and that is no failure",
          "[cancel_scope][rule1]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(weft::testing::fifo(std::move(options)), [] {
    bool ran = false;
    auto t = weft::spawn([&] { ran = true; });
    t.cancel();
    auto dropped = weft::spawn([&] { ran = true; });
    dropped.cancel(cancel_reason::sibling_failed);
    dropped.wait();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(!ran);
  });
  CHECK(log.lines().empty());
}

TEST_CASE("rule 2: a scope absorbs only its own cancellation", "[cancel_scope][rule2]") {
  run_on(some_workers(), [] {
    cancel_scope outer;
    bool inner_ended = false;
    verify(!outer.run([&] {
      cancel_scope inner;
      (void)inner.run([&] {
        outer.cancel();
        weft::yield();
      });
      inner_ended = true;
    }));
    verify(!inner_ended);

    auto child = weft::spawn(park_forever);
    child.cancel();
    cancel_scope idle;
    verify(throws<weft::cancelled>([&] { (void)idle.run([&] { child.get(); }); }));
    for (bool const cancels : {false, true}) {
      cancel_scope other;
      if (cancels) other.cancel();
      verify(throws<weft::cancelled>([&] { (void)other.run([] { throw weft::cancelled{cancel_reason::user}; }); }));
    }
  });
}

TEST_CASE("rule 2: a child's cancellation that leaves its parent is a failure of the parent", "[cancel_scope][rule2]") {
  auto const workers = some_workers();
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(workers, std::move(options)), [] {
    for (bool const child_runs : {false, true}) {
      weft::event lets_go;
      auto parent = weft::spawn([&] {
        auto child = weft::spawn([&] { park_forever(); });
        if (child_runs) weft::yield();
        child.cancel();
        lets_go.set();
        child.get();
      });
      lets_go.wait();
      parent.wait();
      // Cancelled afterwards: what it ended with is still not its own.
      parent.cancel();
    }
    auto own = weft::spawn(park_forever);
    own.cancel();
    own.wait();
  });
  CHECK(log.lines() == std::vector<std::string>(2, ": not a std::exception"));
}

TEST_CASE("rule 2: of several cancelled scopes the outermost is thrown for", "[cancel_scope][rule2][rule5]") {
  run_on(some_workers(), [] {
    cancel_scope outer;
    verify(!outer.run([&] {
      cancel_scope middle;
      cancel_scope inner;
      inner.cancel();
      verify(yield_throws());
      outer.cancel();
      middle.cancel();
      try {
        weft::yield();
      } catch (weft::cancelled const& c) {
        verify(outer.owns(c) && !middle.owns(c) && !inner.owns(c));
        throw;
      }
    }));
  });
}

TEST_CASE("rule 3: a wait that has been granted returns, and the next one throws", "[cancel_scope][rule3]") {
  run_with(weft::testing::fifo(), [] {
    weft::event granted;
    cancel_scope* scope = nullptr;
    bool returned = false;
    auto t = weft::spawn([&] {
      cancel_scope s;
      scope = &s;
      verify(!s.run([&] {
        granted.wait();
        returned = true;
        weft::yield();
      }));
    });
    weft::yield();
    granted.set();
    scope->cancel();
    t.get();
    verify(returned);
  });
}

TEST_CASE("rule 4: what left the callable is its outcome: a value, though it was cancelled", "[cancel_scope][rule4]") {
  run_on(some_workers(), [] {
    auto const cancelled_run = [](auto&& f) {
      cancel_scope scope;
      scope.cancel();
      return scope.run(f);
    };
    verify(cancelled_run([] { return 7; }) == 7);
    verify(cancelled_run([] { return std::make_unique<int>(3); }).value() != nullptr);
    int there = 5;
    verify(&cancelled_run([&]() -> int& { return there; }).value().get() == &there);
    verify(cancelled_run([] {}));
    verify(cancelled_run([]() -> int {
             weft::yield();
             return 1;
           }) == std::nullopt);
    verify(throws<std::logic_error>([&] { (void)cancelled_run([] { throw std::logic_error("mine"); }); }));

    weft::event started;
    auto t = weft::spawn([&] {
      started.set();
      try {
        park_forever();
      } catch (weft::cancelled const&) {
      }
      return 4;
    });
    started.wait();
    t.cancel();
    verify(t.get() == 4);
  });
}

TEST_CASE("rule 6: a destructor may wait while its scope's cancellation unwinds the stack", "[cancel_scope][rule6]") {
  run_on(some_workers(), [] {
    std::atomic<int> waited{0};
    cancel_scope scope;
    verify(!scope.run([&] {
      at_exit const first{[&] {
        weft::yield();
        weft::sleep_for(10us);
        weft::spawn([] { weft::yield(); }).get();
        verify(!weft::this_fiber::cancel_requested());
        ++waited;
      }};
      scope.cancel();
      weft::yield();
    }));
    verify(waited == 1);
    // The same with the task's own scope.
    weft::event started;
    auto t = weft::spawn([&] {
      at_exit const first{[&] {
        weft::yield();
        weft::spawn([] { weft::yield(); }).get();
        ++waited;
      }};
      started.set();
      park_forever();
    });
    started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(waited == 2);
  });
}

TEST_CASE("rule 6: exactly the scopes that were entered with fewer exceptions in flight are ignored",
          "[cancel_scope][rule6]") {
  run_on(some_workers(), [] {
    int checked = 0;
    cancel_scope outer;
    verify(!outer.run([&] {
      at_exit const first{[&] {
        {
          cancel_scope inner;  // entered with one in flight
          verify(!inner.run([&] {
            weft::yield();
            at_exit const second{[&] {
              weft::yield();  // ignores both
              cancel_scope innermost;
              innermost.cancel();
              verify(!innermost.run([] { weft::yield(); }));
              ++checked;
            }};
            inner.cancel();
            weft::yield();
          }));
        }
        weft::yield();  // ignores outer
      }};
      outer.cancel();
      weft::yield();
    }));
    verify(checked == 1);
  });
}

TEST_CASE("rule 7: a handle that dies waits shielded", "[cancel_scope][rule7]") {
  run_on(some_workers(), [] {
    std::atomic<bool> ended{false};
    cancel_scope scope;
    scope.cancel();
    (void)scope.run([&] {
      weft::event started;
      auto t = weft::spawn([&] {
        started.set();
        cancel_shield const shielded;
        for (int i = 0; i < 10; ++i) weft::yield();
        ended = true;
      });
      weft::shield([&] { started.wait(); });
    });
    verify(ended.load());
  });
}

TEST_CASE("rule 8: a shield returns its value, and the next wait throws", "[cancel_scope][rule8]") {
  run_on(some_workers(), [] {
    cancel_scope scope;
    bool after = false;
    verify(!scope.run([&] {
      int const value = weft::shield([&] {
        scope.cancel();
        weft::yield();
        weft::sleep_for(1us);
        weft::spawn([] { weft::yield(); }).get();
        verify(!weft::this_fiber::cancel_requested());
        cancel_scope inside;  // works as ever
        inside.cancel();
        verify(!inside.run([] { weft::yield(); }));
        return 3;
      });
      verify(value == 3);
      verify(weft::this_fiber::cancel_requested());
      after = true;
      weft::yield();
    }));
    verify(after);

    std::atomic<bool> shielded_done{false};
    weft::event inside;
    auto t = weft::spawn([&] {
      weft::shield([&] {
        inside.set();
        for (int i = 0; i < 20; ++i) weft::yield();
        shielded_done = true;
      });
      park_forever();
    });
    inside.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(shielded_done.load());
  });
}

TEST_CASE("rule 8: a wait under way in a shield is not ended by what is outside, but by what is inside",
          "[cancel_scope][rule8]") {
  run_on(some_workers(), [] {
    cancel_scope outer;
    weft::event waiting;
    weft::event gate;
    std::atomic<cancel_scope*> inside{nullptr};
    auto other = weft::spawn([&] {
      waiting.wait();
      outer.cancel();
      for (int i = 0; i < 10; ++i) weft::yield();
      inside.load()->cancel();
    });
    verify(!outer.run([&] {
      {
        cancel_shield const shielded;
        cancel_scope inner;
        inside = &inner;
        verify(!inner.run([&] {
          waiting.set();
          gate.wait();
        }));
      }
      other.get();
      verify(false);
    }));
  });
}

TEST_CASE("rule 9: scopes and shields are left in order, by who entered them", "[cancel_scope][rule9][bad-input]") {
  CHECK(aborts_with("a cancel_scope is left on another fiber or thread than the one that entered it, or not in order",
                    [] {
                      std::optional<cancel_scope> first;
                      std::optional<cancel_scope> second;
                      first.emplace();
                      second.emplace();
                      first.reset();
                    }));
  CHECK(aborts_with("a cancel_shield is left on another fiber or thread than the one that entered it, or not in order",
                    [] {
                      std::optional<cancel_shield> first;
                      first.emplace();
                      cancel_scope const second;
                      first.reset();
                    }));
  CHECK(aborts_with("cancel_scope::run() is called again", [] {
    cancel_scope scope;
    (void)scope.run([] {});
    (void)scope.run([] {});
  }));
  CHECK(aborts_with("a cancel_scope is left on another fiber or thread", [] {
    weft::run([] {
      std::optional<cancel_scope> scope;
      scope.emplace();
      weft::spawn([&] { scope.reset(); }).get();
    });
  }));
}
