/// @file
/// Rule 22: SIGINT while weft::run() waits. Each case in a child process of its own, with the default disposition.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

std::atomic<int> own_handler_called{0};  // NOLINT: a signal's handler has no other place
void own_handler(int) { ++own_handler_called; }

void interrupt() { ::kill(::getpid(), SIGINT); }

auto disposition() {
  struct sigaction now{};
  ::sigaction(SIGINT, nullptr, &now);
  return now.sa_handler;
}

void expect(bool holds, int code) {
  if (!holds) ::_exit(code);
}

/// Catch2 has a handler of its own.
template <class F>
death with_default_disposition(F f) {
  return run_in_child([&f] {
    ::signal(SIGINT, SIG_DFL);
    f();
    ::_exit(0);
  });
}

}  // namespace

TEST_CASE("rule 22: the first SIGINT cancels what weft::run runs, and its disposition comes back",
          "[runtime][rule22]") {
  auto const workers = some_workers();
  auto const d = with_default_disposition([workers] {
    bool caught = false;
    int reason = -1;
    try {
      weft::run(
          [&] {
            interrupt();
            try {
              weft::sleep_for(24h);
            } catch (weft::cancelled const& c) {
              reason = static_cast<int>(c.reason());
              throw;
            }
          },
          on(workers));
    } catch (weft::cancelled const& c) {
      caught = c.reason() == weft::cancel_reason::user;
    }
    expect(caught, 1);
    expect(reason == static_cast<int>(weft::cancel_reason::user), 2);
    expect(disposition() == SIG_DFL, 3);
    // And once more: nothing of the first is left.
    expect(weft::run([] {
             weft::yield();
             return 5;
           }) == 5,
           4);
    int const value = weft::run([] {
      interrupt();
      try {
        weft::sleep_for(24h);
      } catch (weft::cancelled const&) {
      }
      return 6;
    });
    expect(value == 6, 5);
    expect(disposition() == SIG_DFL, 6);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: a signal that comes to another thread does the same", "[runtime][rule22]") {
  auto const d = with_default_disposition([] {
    weft::event ready;
    std::thread other{[&] {
      ready.wait();
      ::raise(SIGINT);  // to this very thread
    }};
    bool caught = false;
    try {
      weft::run([&] {
        ready.set();
        weft::sleep_for(24h);
      });
    } catch (weft::cancelled const& c) {
      caught = c.reason() == weft::cancel_reason::user;
    }
    other.join();
    expect(caught, 1);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: a second SIGINT ends the process as the default does", "[runtime][rule22]") {
  auto const d = with_default_disposition([] {
    weft::run([] {
      interrupt();
      try {
        weft::sleep_for(24h);
      } catch (weft::cancelled const&) {
      }
      interrupt();
      for (;;) std::this_thread::yield();
    });
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGINT);
}

TEST_CASE("rule 22: a second SIGINT ends it also while what main left behind is joined", "[runtime][rule22]") {
  auto const d = with_default_disposition([] {
    weft::run([] {
      weft::event started;
      weft::spawn([&started] {
        started.set();
        try {
          weft::sleep_for(24h);
        } catch (weft::cancelled const&) {  // by the shutdown, after main has ended
        }
        interrupt();
        for (;;) std::this_thread::yield();
      }).detach();
      started.wait();
      interrupt();
      try {
        weft::sleep_for(24h);
      } catch (weft::cancelled const&) {
      }
    });
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGINT);
}

TEST_CASE("rule 22: a disposition that is not the default is left alone", "[runtime][rule22]") {
  auto const d = with_default_disposition([] {
    ::signal(SIGINT, &own_handler);
    weft::run([] {
      expect(disposition() == &own_handler, 1);
      interrupt();
      while (own_handler_called == 0) weft::yield();
      expect(!weft::this_fiber::cancel_requested(), 2);
    });
    expect(disposition() == &own_handler, 3);
    ::signal(SIGINT, SIG_IGN);
    weft::run([] {
      interrupt();
      expect(disposition() == SIG_IGN, 4);
    });
    expect(disposition() == SIG_IGN, 5);
    // Set while it runs: stays.
    ::signal(SIGINT, SIG_DFL);
    weft::run([] { ::signal(SIGINT, &own_handler); });
    expect(disposition() == &own_handler, 6);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: the option turns it off, and runtime objects leave signals alone", "[runtime][rule22]") {
  auto const d = with_default_disposition([] {
    weft::run([] { expect(disposition() == SIG_DFL, 1); }, {.handle_sigint = false});
    weft::run([] { expect(disposition() != SIG_DFL, 2); });
    weft::runtime rt;
    rt.run([] { expect(disposition() == SIG_DFL, 3); });
    // Of two weft::run() at once, one has it.
    weft::run([] {
      std::thread second{[] { weft::run([] { expect(disposition() != SIG_DFL, 4); }); }};
      second.join();
      expect(disposition() != SIG_DFL, 5);
    });
    expect(disposition() == SIG_DFL, 6);
    interrupt();
    for (;;) std::this_thread::yield();
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGINT);
}
