/// @file
/// The scopes of a context that runs inside of others by turns, as a generator's body does. Here no stack is switched:
/// only the chain is.

#include <weft/runtime/detail/scope_node.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <thread>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::cancel_scope;
using weft::detail::attach;
using weft::detail::detach;
using weft::detail::scope_segment;

namespace {

bool yield_throws() {
  return throws<weft::cancelled>([] { weft::yield(); });
}

/// Runs `f` as a turn of the body.
template <class F>
void turn(scope_segment& body, F&& f, int uncaught = 0) {
  attach(body, uncaught);
  f();
  detach(body);
}

}  // namespace

TEST_CASE("rule 25: a body's scopes count while it runs, and hang below the resumer's", "[scope_segment][rule25]") {
  run_on(some_workers(), [] {
    scope_segment body;
    std::optional<cancel_scope> in_body;
    turn(body, [] { weft::yield(); });
    turn(body, [&] { in_body.emplace(); });
    in_body->cancel();
    weft::yield();  // it does not run
    turn(body, [] {
      verify(yield_throws());
      verify(weft::this_fiber::cancel_requested());
    });
    weft::yield();
    {
      cancel_scope of_resumer;
      of_resumer.cancel();
      turn(body, [&] {
        try {
          weft::yield();
        } catch (weft::cancelled const& c) {
          verify(of_resumer.owns(c));  // the outermost
        }
      });
      verify(yield_throws());
    }
    turn(body, [&] {
      verify(yield_throws());
      in_body.reset();
      weft::yield();
    });
    weft::yield();
  });
}

TEST_CASE("rule 25: an expiry while the body does not run strikes at its next wait", "[scope_segment][rule25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    scope_segment body;
    std::optional<cancel_scope> in_body;
    auto const begin = weft::testing::now();
    turn(body, [&] { in_body.emplace(1s); });
    verify(weft::current_deadline() == weft::never);
    weft::sleep_for(2s);
    verify(!weft::move_on_after(5s, [&] {
      turn(body, [&] {
        verify(weft::current_deadline() == begin + 1s);
        verify(yield_throws());
        in_body.reset();
        verify(weft::current_deadline() == begin + 7s);
      });
      weft::sleep_for(1h);
    }));
    verify(weft::testing::now() == begin + 7s);
  });
}

TEST_CASE("rule 25: whoever resumes the body is the one that a cancellation wakes", "[scope_segment][rule25]") {
  auto const workers = some_workers();
  run_on(workers, [] {
    scope_segment body;
    std::optional<cancel_scope> in_body;
    // Entered by one fiber, waited in by others, cancelled while they do or do not.
    weft::spawn([&] { turn(body, [&] { in_body.emplace(); }); }).get();
    for (int round = 0; round < 30; ++round) {
      weft::event waiting;
      weft::event cancelled;
      auto resumer = weft::spawn([&, round] {
        turn(body, [&] {
          verify(throws<weft::cancelled>([&] {
            waiting.set();
            weft::event nothing;
            nothing.wait();
          }));
          weft::shield([&] { cancelled.wait(); });
          in_body.reset();
          if (round < 29) in_body.emplace();
        });
        weft::yield();
      });
      if (round % 2 == 0) waiting.wait();
      in_body->cancel();
      cancelled.set();
      resumer.get();
    }
  });
}

TEST_CASE("rule 25: a thread can resume it, too", "[scope_segment][rule25]") {
  scope_segment body;
  std::optional<cancel_scope> in_body;
  turn(body, [&] { in_body.emplace(); });
  std::atomic<bool> waiting{false};
  weft::event cancelled;
  std::thread resumer{[&] {
    turn(body, [&] {
      waiting = true;
      weft::event nothing;
      verify(throws<weft::cancelled>([&] { nothing.wait(); }));
      weft::shield([&] { cancelled.wait(); });
      in_body.reset();
    });
  }};
  while (!waiting) std::this_thread::yield();
  in_body->cancel();
  cancelled.set();
  resumer.join();
}

TEST_CASE("rule 25: bodies in bodies", "[scope_segment][rule25]") {
  run_on(some_workers(), [] {
    scope_segment outer;
    scope_segment inner;
    std::optional<cancel_scope> in_outer;
    std::optional<cancel_scope> in_inner;
    turn(outer, [&] {
      in_outer.emplace();
      turn(inner, [&] { in_inner.emplace(); });
    });
    in_outer->cancel();
    turn(inner, [] { weft::yield(); });  // by us, who are in no scope
    turn(outer, [&] {
      turn(inner, [&] {
        try {
          weft::yield();
        } catch (weft::cancelled const& c) {
          verify(in_outer->owns(c));
        }
        in_inner.reset();
      });
      in_outer.reset();
      weft::yield();
    });
  });
}

TEST_CASE("rule 24: exceptions in flight are counted where they are: in the resumer, or in the body",
          "[scope_segment][rule24][rule6]") {
  run_on(some_workers(), [] {
    cancel_scope scope;
    bool checked = false;
    struct cleanup {
      bool& checked;
      ~cleanup() {
        // The body has an exception state of its own, with nothing in flight; here it stands for that of the resumer.
        scope_segment body;
        turn(body, [] { weft::yield(); }, 1);
        checked = true;
      }
    };
    verify(!scope.run([&] {
      cleanup const at_exit{checked};
      scope.cancel();
      weft::yield();
    }));
    verify(checked);
    // In flight in the body: whoever resumes it was there before.
    cancel_scope of_resumer;
    verify(!of_resumer.run([&] {
      scope_segment body;
      struct waits_at_exit {
        ~waits_at_exit() { weft::yield(); }
      };
      turn(body, [&] {
        try {
          waits_at_exit const last;
          of_resumer.cancel();
          throw 1;
        } catch (int) {
        }
      });
      weft::yield();
    }));
  });
}

TEST_CASE("a body's scope that it has left may be cancelled while the body comes and goes", "[scope_segment]") {
  run_on(some_workers(), [] {
    scope_segment body;
    std::optional<cancel_scope> left;
    turn(body, [&] {
      left.emplace();
      verify(left->run([] {}));
    });
    std::atomic<bool> stop{false};
    std::thread canceller{[&] {
      // Each of these looks for the context below which the body hangs, and pokes it.
      while (!stop.load()) left->reschedule(1h);
    }};
    for (int i = 0; i < 20'000; ++i) {
      turn(body, [] { weft::yield(); });
      weft::yield();
    }
    left->cancel();
    turn(body, [] { weft::yield(); });  // is in no scope
    stop.store(true);
    canceller.join();
  });
}
