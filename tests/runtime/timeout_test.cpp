/// @file
/// Time limits: in virtual time, where what ends when is exact, and on threads.

#include <weft/runtime/timeout.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::cancel_reason;
using weft::cancel_scope;
using weft::move_on_after;
using weft::timeout_error;
using weft::with_deadline;
using weft::with_timeout;
using weft::testing::in_virtual_time;

namespace {

void park_forever() {
  weft::event nothing;
  nothing.wait();
}

/// Virtual time since the fiber began.
class stopwatch {
public:
  [[nodiscard]] auto operator()() const { return weft::testing::now() - began_; }

private:
  weft::time_point began_ = weft::testing::now();
};

constexpr auto forever = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("a time limit ends every kind of wait, exactly when it is due", "[timeout]") {
  run_with(in_virtual_time(), [] {
    stopwatch const passed;
    weft::event nothing;
    verify(throws<timeout_error>([&] { with_timeout(1s, park_forever); }));
    verify(passed() == 1s);
    verify(throws<timeout_error>([&] { with_timeout(1s, [] { weft::sleep_for(1h); }); }));
    verify(passed() == 2s);
    verify(throws<timeout_error>([&] { with_timeout(1s, [&] { (void)nothing.wait_for(1h); }); }));
    verify(passed() == 3s);
    verify(throws<timeout_error>([&] {
      with_timeout(1s, [] {
        for (;;) weft::sleep_for(300ms);
      });
    }));
    verify(passed() == 4s);
    {
      auto slow = weft::spawn([] { weft::sleep_for(1h); });
      verify(throws<timeout_error>([&] { with_timeout(1s, [&] { slow.get(); }); }));
      verify(passed() == 5s);
    }
    verify(throws<timeout_error>([&] { with_deadline(weft::testing::now() + 1s, park_forever); }));
    verify(!move_on_after(1s, park_forever));
    verify(!weft::move_on_at(weft::testing::now() + 1s, park_forever));
    verify(passed() == 8s);
    weft::yield();  // nothing is left of it
    weft::sleep_for(1s);
  });
}

TEST_CASE("a call that is done in time returns its result, of any kind", "[timeout]") {
  run_with(in_virtual_time(), [] {
    int there = 1;
    verify(with_timeout(1s, [] { return 2; }) == 2);
    verify(&with_timeout(1s, [&]() -> int& { return there; }) == &there);
    verify(*with_timeout(1s, [] { return std::make_unique<int>(3); }) == 3);
    with_timeout(1s, [] { weft::sleep_for(999ms); });
    verify(move_on_after(1s, [] { weft::sleep_for(1ms); }));
    verify(**move_on_after(1s, [] { return std::make_unique<int>(4); }) == 4);
    verify(&move_on_after(1s, [&]() -> int& { return there; })->get() == &there);
    verify(move_on_after(1s, []() -> int {
             weft::sleep_for(1h);
             return 1;
           }) == std::nullopt);
    verify(with_timeout(1s, [](cancel_scope& scope) { return scope.deadline(); }) == weft::testing::now() + 1s);
    struct immovable {
      explicit immovable(int n) : value(n) {}
      immovable(immovable const&) = delete;
      int value;
    };
    auto const made = with_timeout(1s, [] { return immovable{5}; });
    verify(made.value == 5);
  });
}

TEST_CASE("rule 5: with a limit of zero the first wait throws; what needs no wait is done", "[timeout][rule5]") {
  run_with(in_virtual_time(), [] {
    for (auto const limit : {0ns, -1ns, std::chrono::nanoseconds::min()}) {
      bool began = false;
      verify(throws<timeout_error>([&] {
        with_timeout(limit, [&] {
          began = true;
          weft::yield();
        });
      }));
      verify(began);
      verify(throws<timeout_error>([&] {
        with_timeout(limit, [] {
          weft::event set;
          set.set();
          set.wait();
        });
      }));
      verify(with_timeout(limit, [] { return 1; }) == 1);
    }
    weft::event e;
    verify(!e.wait_for(0s));  // tries once
    e.set();
    verify(e.wait_for(0s));
    auto const now = weft::testing::now();
    verify(throws<timeout_error>([&] { with_deadline(now, [] { weft::yield(); }); }));
    verify(throws<timeout_error>([&] { with_deadline(now - 1h, [] { weft::yield(); }); }));
    verify(throws<timeout_error>([&] { with_deadline(weft::time_point::min(), [] { weft::yield(); }); }));
  });
}

TEST_CASE("rule 5: limits that never come", "[timeout][rule5][bad-input]") {
  run_with(in_virtual_time(), [] {
    auto const month = [] { weft::sleep_for(std::chrono::hours{24 * 30}); };
    with_timeout(std::chrono::nanoseconds::max(), month);
    with_timeout(std::chrono::hours::max(), month);
    with_timeout(std::chrono::duration<double>{forever}, month);
    with_deadline(weft::never, month);
    verify(move_on_after(std::chrono::years::max(), month));
    with_timeout(1h, [&](cancel_scope& scope) {
      scope.reschedule(weft::never);
      month();
      verify(scope.deadline() == weft::never && weft::current_deadline() == weft::never);
    });
  });
}

TEST_CASE("rule 5: a value or another exception wins over the expiry", "[timeout][rule5]") {
  run_with(in_virtual_time(), [] {
    verify(with_timeout(1s, [] {
             try {
               weft::sleep_for(2s);
             } catch (weft::cancelled const&) {
             }
             return 7;
           }) == 7);
    verify(throws<std::logic_error>([] {
      with_timeout(1s, [] {
        try {
          weft::sleep_for(2s);
        } catch (weft::cancelled const&) {
          throw std::logic_error("mine");
        }
      });
    }));
    verify(move_on_after(0s, [] {}));
  });
}

TEST_CASE("rule 5: an outer cancellation wins over an inner expiry", "[timeout][rule5]") {
  run_with(in_virtual_time(), [] {
    // Both have passed when the wait is met.
    cancel_scope outer;
    verify(!outer.run([&] {
      with_timeout(1s, [&] {
        outer.cancel();
        weft::shield([] { weft::sleep_for(2s); });
        weft::yield();
      });
      verify(false);
    }));
    // The outer one comes while the inner one's cancellation is on its way.
    cancel_scope later;
    verify(!later.run([&] {
      with_timeout(1s, [&] {
        try {
          park_forever();
        } catch (weft::cancelled const& c) {
          verify(c.reason() == cancel_reason::deadline);
          later.cancel();
          throw;
        }
      });
      verify(false);
    }));
    // The task's own.
    auto t = weft::spawn([] { with_timeout(0s, park_forever); });
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
  });
}

TEST_CASE("rule 5: of nested limits the one that is due is told by its exception", "[timeout][rule5]") {
  run_with(in_virtual_time(), [] {
    stopwatch const passed;
    int inner = 0;
    verify(throws<timeout_error>([&] {
      with_timeout(1s, [&] {
        try {
          with_timeout(2s, park_forever);
        } catch (timeout_error const&) {
          ++inner;
        }
      });
    }));
    verify(inner == 0 && passed() == 1s);
    with_timeout(2s, [&] {
      try {
        with_timeout(1s, park_forever);
      } catch (timeout_error const&) {
        ++inner;
      }
    });
    verify(inner == 1 && passed() == 2s);
    // Equal ones: the outer one.
    verify(throws<timeout_error>([&] {
      with_timeout(1s, [&] {
        try {
          with_timeout(1s, park_forever);
        } catch (timeout_error const&) {
          ++inner;
        }
      });
    }));
    verify(inner == 1);
    verify(!move_on_after(1s, [&] { verify(!move_on_after(1h, park_forever)); }));
  });
}

TEST_CASE("rule 5: a timeout_error of the callable's own, or of one further in, passes", "[timeout][rule5]") {
  run_with(in_virtual_time(), [] {
    verify(throws<timeout_error>([] { (void)move_on_after(1h, [] { with_timeout(1s, park_forever); }); }));
    auto expired = weft::spawn([] { with_timeout(1s, park_forever); });
    verify(throws<timeout_error>([&] { (void)move_on_after(1h, [&] { expired.get(); }); }));
    // A child that was cancelled for its own deadline is no expiry of ours.
    auto child = weft::spawn(park_forever);
    weft::yield();
    child.cancel(cancel_reason::deadline);
    verify(throws<weft::cancelled>([&] { with_timeout(1h, [&] { child.get(); }); }));
  });
}

TEST_CASE("rule 6: a limit opened in a destructor works, and the one outside does not count there",
          "[timeout][rule6]") {
  run_with(in_virtual_time(), [] {
    struct cleanup {
      stopwatch const& passed;
      ~cleanup() {
        weft::sleep_for(1s);
        verify(!move_on_after(3s, park_forever));
        auto child = weft::spawn([] { weft::sleep_for(1h); });
        verify(throws<timeout_error>([&] { with_timeout(3s, [&] { child.get(); }); }));
        verify(passed() == 8s);
      }
    };
    stopwatch const passed;
    verify(throws<timeout_error>([&] {
      with_timeout(1s, [&] {
        cleanup const at_exit{passed};
        park_forever();
      });
    }));
    verify(passed() == 8s);
  });
}

TEST_CASE("a deadline that passes while nothing waits is met by the next wait", "[timeout]") {
  auto const workers = some_workers();
  run_on(workers, [] {
    auto const deadline = weft::detail::deadline_after(1ms);
    verify(throws<timeout_error>([&] {
      with_deadline(deadline, [&](cancel_scope& scope) {
        while (weft::clock::now() < deadline) {
        }
        verify(scope.cancel_requested());
        verify(weft::this_fiber::cancel_requested());
        weft::yield();
      });
    }));
  });
}

TEST_CASE("a deadline is moved: later, while the wait is under way, and earlier", "[timeout]") {
  run_with(in_virtual_time(), [] {
    stopwatch const passed;
    cancel_scope* scope = nullptr;
    auto mover = weft::spawn([&] {
      weft::sleep_for(500ms);
      scope->reschedule(2s);  // to 2.5 s
      weft::sleep_for(1s);
      scope->reschedule(200ms);  // to 1.7 s
    });
    verify(throws<timeout_error>([&] {
      with_timeout(1s, [&](cancel_scope& s) {
        scope = &s;
        park_forever();
      });
    }));
    verify(passed() == 1700ms);
    mover.get();
    // By the fiber itself, and for a scope that had none.
    cancel_scope heartbeat;
    verify(!heartbeat.run([](cancel_scope& s) {
      for (int i = 0; i < 5; ++i) {
        s.reschedule(2s);
        weft::sleep_for(1s);
      }
      weft::sleep_for(3s);
    }));
    verify(passed() == 7700ms);
    verify(heartbeat.cancel_requested());
  });
}

TEST_CASE("current_deadline is the earliest that counts", "[timeout]") {
  run_with(in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    verify(weft::current_deadline() == weft::never);
    with_timeout(2s, [&] {
      verify(weft::current_deadline() == begin + 2s);
      with_timeout(3s, [&] { verify(weft::current_deadline() == begin + 2s); });
      with_timeout(1s, [&] { verify(weft::current_deadline() == begin + 1s); });
      weft::shield([&] {
        verify(weft::current_deadline() == weft::never);
        with_timeout(5s, [&] { verify(weft::current_deadline() == begin + 5s); });
      });
      weft::spawn([] { verify(weft::current_deadline() == weft::never); }).get();
    });
    verify(weft::current_deadline() == weft::never);
  });
}

TEST_CASE("time limits work on plain threads", "[timeout]") {
  weft::event nothing;
  CHECK(throws<timeout_error>([&] { with_timeout(1ms, [&] { nothing.wait(); }); }));
  CHECK(throws<timeout_error>([&] { with_timeout(1ms, [] { weft::sleep_for(1h); }); }));
  CHECK(throws<timeout_error>([&] { with_timeout(0s, [] { weft::yield(); }); }));
  CHECK(with_timeout(1h, [] { return 1; }) == 1);
  CHECK_FALSE(move_on_after(1ms, [&] { with_timeout(1h, [&] { nothing.wait(); }); }));
  CHECK(weft::current_deadline() == weft::never);
  // Moved from another thread, to earlier.
  std::atomic<cancel_scope*> scope{nullptr};
  std::thread mover{[&] {
    while (scope.load() == nullptr) std::this_thread::yield();
    scope.load()->reschedule(1ms);
  }};
  CHECK_FALSE(move_on_after(1h, [&](cancel_scope& s) {
    scope = &s;
    weft::shield([&] { mover.join(); });
    nothing.wait();
  }));
  CHECK_FALSE(weft::this_fiber::cancel_requested());
}

TEST_CASE("an offloaded call is told of the limit, and waited for", "[timeout]") {
  run_on(some_workers(), [] {
    bool stopped = false;
    verify(throws<timeout_error>([&] {
      with_timeout(1h, [&](cancel_scope& scope) {
        weft::offload([&](std::stop_token token) {
          scope.reschedule(0s);
          while (!token.stop_requested()) std::this_thread::yield();
          stopped = true;
        });
      });
    }));
    verify(stopped);
    // The limit is the caller's: a wait of the job itself is one of its thread.
    verify(with_timeout(1h, [] { return weft::offload([] { return weft::current_deadline() == weft::never; }); }));
  });
}
