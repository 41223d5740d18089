/// @file
/// Cancellation and time limits as they should not be asked for, at moments at which they should not come; and what
/// went wrong elsewhere.

#include <weft/runtime/cancel_scope.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::cancel_scope;
using weft::cancel_shield;
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

}  // namespace

TEST_CASE("cancel at every odd moment: one outcome", "[cancel_scope][bad-input]") {
  run_on(some_workers(), [] {
    // Twice, and by itself.
    cancel_scope twice;
    verify(!twice.run([&] {
      twice.cancel();
      twice.cancel();
      weft::yield();
    }));
    // After it has been left: nobody hears it.
    twice.cancel();
    weft::yield();
    cancel_scope ended;
    verify(ended.run([] { return 1; }) == 1);
    ended.cancel();
    ended.reschedule(0s);
    weft::yield();
    verify(ended.cancel_requested());
    // While the result is there already.
    cancel_scope done;
    verify(done.run([&] {
      weft::yield();
      done.cancel();
      return 2;
    }) == 2);
    // Under a lock of a thread's: cancel() does not wait.
    std::mutex mutex;
    cancel_scope locked;
    verify(!locked.run([&] {
      {
        std::lock_guard const lock{mutex};
        locked.cancel();
      }
      weft::yield();
    }));
    // During unwinding.
    struct cancels_at_exit {
      cancel_scope& scope;
      ~cancels_at_exit() {
        scope.cancel();
        weft::yield();
      }
    };
    cancel_scope unwinding;
    verify(throws<std::logic_error>([&] {
      (void)unwinding.run([&] {
        cancels_at_exit const last{unwinding};
        throw std::logic_error("mine");
      });
    }));
    // In a function that must not throw: with a shield it does not.
    cancel_scope strict;
    verify(!strict.run([&] {
      auto const commit = [&]() noexcept {
        cancel_shield const shielded;
        strict.cancel();
        weft::yield();
      };
      commit();
      weft::yield();
    }));
  });
}

TEST_CASE("time limits out of any range", "[timeout][bad-input]") {
  run_with(in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    using seconds_f = std::chrono::duration<double>;
    auto const expires = [](auto limit) { return throws<timeout_error>([&] { with_timeout(limit, park_forever); }); };
    verify(expires(std::chrono::hours::min()));
    verify(expires(-1ns));
    verify(expires(seconds_f{-std::numeric_limits<double>::infinity()}));
    verify(expires(seconds_f{std::numeric_limits<double>::quiet_NaN()}));
    verify(throws<timeout_error>([] { with_deadline(std::chrono::system_clock::time_point::min(), park_forever); }));
    verify(weft::testing::now() == begin);
    with_deadline(std::chrono::system_clock::now() + 1h, [] { weft::sleep_for(59min); });
    with_deadline(std::chrono::system_clock::time_point::max(), [] { weft::sleep_for(24h); });
    verify(!move_on_after(seconds_f{1e-12}, [] { weft::sleep_for(1ns + 1ns); }));
  });
}

TEST_CASE("a limit inside a scope that has been cancelled already changes nothing", "[timeout][bad-input]") {
  run_with(in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    cancel_scope scope;
    scope.cancel();
    verify(!scope.run([] { with_timeout(1h, park_forever); }));
    cancel_scope again;
    again.cancel();
    verify(!again.run([] { with_timeout(0s, park_forever); }));
    verify(weft::testing::now() == begin);
  });
}

TEST_CASE("time jumps over several limits: the outermost that has passed is told", "[timeout][bad-input]") {
  run_with(in_virtual_time(), [] {
    int inner = 0;
    verify(throws<timeout_error>([&] {
      with_timeout(2s, [&] {
        try {
          with_timeout(1s, [] {
            weft::shield([] { weft::sleep_for(std::chrono::years{1}); });
            weft::yield();
          });
        } catch (timeout_error const&) {
          ++inner;
        }
      });
    }));
    verify(inner == 0);
  });
}

TEST_CASE("H20: catch-all around waits does not end a cancellation, and leaves no trace",
          "[cancel_scope][hazard][H20]") {
  run_on(some_workers(), [] {
    int swallowed = 0;
    cancel_scope scope;
    verify(!scope.run([&] {
      scope.cancel();
      for (; swallowed < 100; ++swallowed) {
        try {
          weft::yield();
          break;
        } catch (...) {
        }
      }
      weft::yield();
    }));
    verify(swallowed == 100);
    verify(std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
    weft::yield();
  });
}

TEST_CASE("H20: scopes nested thousandfold are cancelled and left in order", "[cancel_scope][hazard][H20]") {
  run_on(some_workers(), [] {
    constexpr int depth = 1'000;
    struct counting {
      int& left;
      ~counting() {
        weft::yield();
        ++left;
      }
    };
    int left = 0;
    weft::spawn({.stack_size = std::size_t{8} * 1024 * 1024}, [&] {
      cancel_scope outermost;
      auto const nest = [&](auto const& self, int level) -> void {
        counting const at_exit{left};
        cancel_scope scope;
        if (level == depth) {
          outermost.cancel();
          weft::yield();
        }
        (void)scope.run([&] { self(self, level + 1); });
        verify(false);
      };
      verify(!outermost.run([&] { nest(nest, 1); }));
    }).get();
    verify(left == depth);
  });
}

TEST_CASE("CPython #86296: a wait that is done at the moment of the cancellation does not hide it",
          "[timeout][rule3][cpython]") {
  bool const cancel_first = GENERATE(true, false);
  run_with(in_virtual_time(), [cancel_first] {
    weft::event done;
    bool went_on = false;
    auto t = weft::spawn([&] {
      with_timeout(1h, [&] { done.wait(); });
      // asyncio's wait_for() may have swallowed the cancellation here; then this would sleep on.
      weft::sleep_for(1h);
      went_on = true;
    });
    weft::yield();
    if (cancel_first) {
      t.cancel();
      done.set();
    } else {
      done.set();
      t.cancel();
    }
    auto const begin = weft::testing::now();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(!went_on && weft::testing::now() == begin);
  });
}

TEST_CASE("CPython #86296: nor does a time limit that passes at that moment", "[timeout][rule5][cpython]") {
  run_with(in_virtual_time(), [] {
    bool timed_out = false;
    auto t = weft::spawn([&] {
      try {
        with_timeout(1s, park_forever);
      } catch (timeout_error const&) {
        timed_out = true;
      }
      weft::sleep_for(1h);
    });
    auto canceller = weft::spawn([&] {
      weft::sleep_for(1s);
      t.cancel();
    });
    auto const begin = weft::testing::now();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(weft::testing::now() == begin + 1s);
    (void)timed_out;  // either is right: which came first is for the queue to say
    canceller.get();
  });
}

TEST_CASE("CPython #155433: an inner scope's own cancellation does not swallow the limit outside of it",
          "[timeout][rule2][rule5][cpython]") {
  run_with(in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    bool after = false;
    verify(throws<timeout_error>([&] {
      with_timeout(500ms, [&] {
        {
          // As a group whose children take a second to clean up after group.cancel(), past the limit.
          cancel_scope group;
          verify(!group.run([&] {
            weft::event started;
            auto const child = weft::spawn([&] {
              started.set();
              try {
                park_forever();
              } catch (weft::cancelled const&) {
                weft::shield([] { weft::sleep_for(1s); });
                throw;
              }
            });
            started.wait();
            group.cancel();
            weft::yield();
          }));
        }
        verify(weft::testing::now() == begin + 1s);
        weft::yield();
        after = true;
      });
    }));
    verify(!after);
  });
}

TEST_CASE("CPython #155418: a child that cancels before its first wait, started eagerly, is heeded",
          "[cancel_scope][rule1][cpython]") {
  run_on(some_workers(), [] {
    cancel_scope scope;
    verify(!scope.run([&] {
      auto const child = weft::spawn({.start = weft::start::eager}, [&] {
        scope.cancel();
        park_forever();
      });
      child.wait();
    }));
  });
}
