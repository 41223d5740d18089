/// @file
/// How weft::run() ends: what is left behind, what nobody collected, and SIGINT, once, twice and for several at once.
/// What needs a process of its own has one.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

void interrupt() { ::kill(::getpid(), SIGINT); }

void expect(bool holds, int code) {
  if (!holds) ::_exit(code);
}

auto sigint_disposition() {
  struct sigaction now{};
  ::sigaction(SIGINT, nullptr, &now);
  return now.sa_handler;
}

/// Catch2 has a handler of its own.
template <class F>
death with_default_sigint(F f) {
  return run_in_child([&f] {
    ::signal(SIGINT, SIG_DFL);
    f();
    ::_exit(0);
  });
}

void sleep_until_cancelled() {
  try {
    weft::sleep_for(24h);
  } catch (weft::cancelled const&) {
  }
}

}  // namespace

TEST_CASE("what main left behind is cancelled and joined before run returns, also when main fails", "[run]") {
  auto const workers = some_workers();
  bool const fails = GENERATE(false, true);
  std::atomic<int> unwound{0};
  std::atomic<int> reason{-1};
  std::atomic<int> grandchildren{0};
  // What the children refer to outlives main: it lives here.
  weft::event all_started;
  std::atomic<int> started{0};
  auto const program = [&] {
    for (int i = 0; i < 10; ++i) {
      weft::spawn([&] {
        auto child = weft::spawn([&] {
          if (++started == 10) all_started.set();
          try {
            weft::sleep_for(24h);
          } catch (weft::cancelled const&) {
            ++grandchildren;
            throw;
          }
        });
        try {
          child.get();
        } catch (weft::cancelled const& c) {
          if (weft::this_fiber::cancel_requested()) reason = static_cast<int>(c.reason());
          ++unwound;
          throw;
        }
      }).detach();
    }
    all_started.wait();
    if (fails) throw std::logic_error("main");
    return 5;
  };
  bool failed = false;
  int result = 0;
  try {
    result = weft::run(program, on(workers));
  } catch (std::logic_error const&) {
    failed = true;
  }
  CHECK(failed == fails);
  CHECK(result == (fails ? 0 : 5));
  CHECK(unwound == 10);
  CHECK(grandchildren == 10);
  CHECK(reason == static_cast<int>(weft::cancel_reason::shutdown));
}

TEST_CASE("calls that are due later are not waited for", "[run]") {
  std::atomic<bool> called{false};
  weft::run(
      [&] {
        weft::after(24h, [&] { called = true; }).detach();
        weft::every(24h, [&] { called = true; }).detach();
      },
      on(some_workers()));
  CHECK_FALSE(called);
}

TEST_CASE("an exception that nobody collected is told on stderr: the name, and what the callable is", "[run]") {
  auto const d = run_in_child([] {
    weft::run([] {
      std::atomic<int> begun{0};
      auto const fail = [&begun](auto what) {
        ++begun;
        throw what;
      };
      weft::spawn({.name = "forgotten"}, [&fail] { fail(std::runtime_error("went wrong")); }).detach();
      weft::spawn([&fail] { fail(5); }).detach();
      while (begun.load() != 2) weft::yield();
    });
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
  INFO(d.output);
  CHECK(d.output.find("weft: nobody collected the exception of task 'forgotten' (") != std::string::npos);
  CHECK(d.output.find("): went wrong\n") != std::string::npos);
  CHECK(d.output.find("weft: nobody collected the exception of task  (") != std::string::npos);
  CHECK(d.output.find("): not a std::exception\n") != std::string::npos);
  CHECK(d.output.find("lambda") != std::string::npos);
}

TEST_CASE("in debug mode it is told where that task was spawned", "[run][debug]") {
  auto const line = std::to_string(__LINE__ + 9);
  auto const d = run_in_child([] {
    weft::run(
        [] {
          std::atomic<bool> begun{false};
          auto const fail = [&begun] {
            begun = true;
            throw std::runtime_error("went wrong");
          };
          weft::spawn({.name = "forgotten"}, fail).detach();
          while (!begun.load()) weft::yield();
        },
        {.debug = true});
  });
  INFO(d.output);
  CHECK(d.output.find("task 'forgotten, spawned at " + std::string(__FILE__) + ":" + line + "' (") !=
        std::string::npos);
}

TEST_CASE("rule 22: SIGINT cancels main, which cleans up, as do those that it leaves behind", "[run][rule22]") {
  auto const workers = some_workers();
  auto const d = with_default_sigint([workers] {
    std::atomic<int> cleaned{0};
    bool caught = false;
    try {
      weft::run(
          [&] {
            weft::spawn([&] {
              sleep_until_cancelled();
              ++cleaned;
            }).detach();
            weft::yield();
            interrupt();
            try {
              weft::sleep_for(24h);
            } catch (weft::cancelled const&) {
              ++cleaned;
              throw;
            }
          },
          on(workers));
    } catch (weft::cancelled const& c) {
      caught = c.reason() == weft::cancel_reason::user;
    }
    expect(caught, 1);
    expect(cleaned >= 1, 2);
    expect(sigint_disposition() == SIG_DFL, 3);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: one SIGINT cancels what each of several threads runs, and the last gives the disposition back",
          "[run][rule22]") {
  auto const d = with_default_sigint([] {
    constexpr int several = 5;
    std::latch running{several};
    std::atomic<int> cancelled{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < several; ++i) {
      threads.emplace_back([&, i] {
        try {
          weft::run(
              [&] {
                running.count_down();
                weft::sleep_for(24h);
              },
              {.workers = 1, .name = "run " + std::to_string(i)});
        } catch (weft::cancelled const& c) {
          if (c.reason() == weft::cancel_reason::user) ++cancelled;
        }
      });
    }
    running.wait();
    expect(sigint_disposition() != SIG_DFL, 1);
    interrupt();
    for (auto& t : threads) t.join();
    expect(cancelled == several, 2);
    expect(sigint_disposition() == SIG_DFL, 3);
    // And again, for a new one.
    bool again = false;
    try {
      weft::run([] {
        interrupt();
        weft::sleep_for(24h);
      });
    } catch (weft::cancelled const&) {
      again = true;
    }
    expect(again, 4);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: the signal stays handled when the first of several ends before the others", "[run][rule22]") {
  auto const d = with_default_sigint([] {
    weft::event end_first;
    std::latch both{2};
    std::thread first{[&] {
      weft::run(
          [&] {
            both.count_down();
            end_first.wait();
          },
          {.workers = 1});
    }};
    bool cancelled = false;
    std::thread second{[&] {
      try {
        weft::run(
            [&] {
              both.count_down();
              weft::sleep_for(24h);
            },
            {.workers = 1});
      } catch (weft::cancelled const&) {
        cancelled = true;
      }
    }};
    both.wait();
    end_first.set();
    first.join();
    expect(sigint_disposition() != SIG_DFL, 1);
    interrupt();
    second.join();
    expect(cancelled, 2);
    expect(sigint_disposition() == SIG_DFL, 3);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: with several threads, too, the second SIGINT ends the process", "[run][rule22]") {
  auto const d = with_default_sigint([] {
    std::latch running{2};
    std::latch cancelled{2};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        weft::run(
            [&] {
              running.count_down();
              sleep_until_cancelled();
              cancelled.count_down();
              for (;;) std::this_thread::yield();
            },
            {.workers = 1});
      });
    }
    running.wait();
    interrupt();
    cancelled.wait();
    interrupt();
    for (auto& t : threads) t.join();
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGINT);
}

TEST_CASE("rule 22: one that begins after the signal, while another still ends, is not told of it", "[run][rule22]") {
  auto const d = with_default_sigint([] {
    weft::event release;
    weft::event winding_down;
    std::thread first{[&] {
      weft::run(
          [&] {
            interrupt();
            sleep_until_cancelled();
            winding_down.set();
            while (!release.is_set()) {
              weft::waiter pause{"the other", weft::cancellation::ignored};
              (void)pause.wait(weft::detail::deadline_after(100us));
            }
          },
          {.workers = 1});
    }};
    // Asleep in a call that ThreadSanitizer knows: elsewhere it would keep the signal to itself.
    while (!winding_down.is_set()) std::this_thread::sleep_for(1ms);
    expect(sigint_disposition() == SIG_DFL, 1);
    expect(weft::run(
               [] {
                 weft::sleep_for(1us);
                 return weft::this_fiber::cancel_requested() ? 0 : 7;
               },
               {.workers = 1}) == 7,
           2);
    expect(sigint_disposition() == SIG_DFL, 3);
    release.set();
    first.join();
    expect(sigint_disposition() == SIG_DFL, 4);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 22: a guest's caller runs its fibers, and leaves SIGINT alone", "[run][rule22]") {
  auto const d = with_default_sigint([] {
    int const value = weft::run(
        [] {
          expect(sigint_disposition() == SIG_DFL, 1);
          weft::sleep_for(1us);
          return 3;
        },
        {.guest = true});
    expect(value == 3, 2);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("runs come and go on several threads, with and without the signal", "[run][rule22][stress]") {
  constexpr auto rounds = scaled(60);
  auto const d = with_default_sigint([] {
    for (std::size_t round = 0; round < rounds; ++round) {
      std::vector<std::thread> threads;
      std::latch running{3};
      for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
          try {
            weft::run(
                [&] {
                  // All have been made before any ends: ThreadSanitizer does not see libuv close its descriptors, and
                  // takes their numbers, in use again on another thread, for a race.
                  running.arrive_and_wait();
                  if (round % 2 == 0) return;
                  weft::sleep_for(24h);
                },
                {.workers = 1});
          } catch (weft::cancelled const&) {
          }
        });
      }
      running.wait();
      if (round % 2 == 1) interrupt();
      for (auto& t : threads) t.join();
      expect(sigint_disposition() == SIG_DFL, 1);
    }
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("run in a scope of a plain thread ends with the scope, SIGINT handled or not", "[run]") {
  auto options = on(some_workers());
  options.handle_sigint = GENERATE(true, false);
  bool const by_deadline = GENERATE(true, false);
  auto const d = with_default_sigint([&] {
    watchdog dog{"a run that its scope does not end"};
    bool cancelled = false;
    weft::cancel_scope scope;
    bool const ended = scope.run([&] {
      weft::run(
          [&] {
            by_deadline ? scope.reschedule(1ms) : scope.cancel();
            try {
              weft::sleep_for(24h);
            } catch (weft::cancelled const& c) {
              cancelled = c.reason() == weft::cancel_reason::handle_dropped;
              throw;
            }
          },
          options);
    });
    expect(!ended, 1);
    expect(cancelled, 2);
    // One that is well within its time returns its value.
    weft::cancel_scope wide{1h};
    expect(wide.run([&] { return weft::run([] { return 5; }, options); }) == 5, 3);
    expect(sigint_disposition() == SIG_DFL, 4);
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
}
