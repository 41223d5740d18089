/// @file
/// offload: results, stop tokens, backpressure, cancellation, and its answers to wrong use.

#include <weft/runtime/offload.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

[[gnu::noinline]] std::thread::id thread_now() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

}  // namespace

TEST_CASE("results come back: values, references, move-only, void", "[offload]") {
  run_on(some_workers(), [] {
    verify(weft::offload([] { return 3; }) == 3);
    verify(*weft::offload([] { return std::make_unique<int>(4); }) == 4);
    int target = 0;
    int& same = weft::offload([&]() -> int& { return target; });
    verify(&same == &target);
    weft::offload([&] { target = 5; });
    verify(target == 5);
    verify(weft::offload([](int a, std::unique_ptr<int> b) { return a + *b; }, 1, std::make_unique<int>(2)) == 3);
    weft::offload([](int& i) { i = 6; }, target);  // by reference: the call outlives it
    verify(target == 6);
  });
}

TEST_CASE("the job runs on a pool thread, and the worker goes on", "[offload]") {
  run_on(1, [] {
    weft::event gate;
    auto const here = thread_now();
    auto sibling = weft::spawn([&] { gate.set(); });  // runs only if the worker is free
    auto const there = weft::offload([&] {
      gate.wait();  // as an OS thread
      verify(weft::this_fiber::get_id() == weft::fiber_id{});
      return thread_now();
    });
    verify(there != here);
    sibling.get();
  });
}

TEST_CASE("H1: a failing job's exception and error code come back whole", "[offload][hazard][H1][bad-input]") {
  run_on(some_workers(), [] {
    verify(throws<std::out_of_range>([] { weft::offload([] { throw std::out_of_range("job"); }); }));
    for (int code : {EBADF, ENOENT, EAGAIN}) {
      try {
        weft::offload([code] {
          errno = code;
          throw std::system_error(errno, std::generic_category());
        });
        verify(false);
      } catch (std::system_error const& e) {
        verify(e.code().value() == code);
      }
    }
  });
}

TEST_CASE("an empty callable is refused", "[offload][bad-input]") {
  run_on(1, [] {
    verify(throws<std::invalid_argument>([] { weft::offload(std::function<void()>{}); }));
    verify(throws<std::invalid_argument>([] { weft::offload(static_cast<void (*)()>(nullptr)); }));
  });
}

TEST_CASE("from a plain thread offload needs a runtime", "[offload][bad-input]") {
  CHECK_THROWS_AS(weft::offload([] {}), weft::no_runtime);
}

TEST_CASE("on a pool thread a nested call runs in place", "[offload]") {
  run_with(on(1, {.offload_threads = 1, .offload_queue = 1}), [] {
    bool const same = weft::offload([] {
      auto const outer = thread_now();
      return weft::offload([outer] { return thread_now() == outer; });
    });
    verify(same);
    verify(throws<int>([] { weft::offload([] { weft::offload([] { throw 1; }); }); }));
  });
}

TEST_CASE("a full queue parks the caller: backpressure, not failure", "[offload][bad-input]") {
  weft::runtime rt{on(some_workers(), {.offload_threads = 2, .offload_queue = 3})};
  rt.run([&rt] {
    weft::event gate;
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    std::atomic<int> done{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(weft::spawn([&] {
        weft::offload([&] {
          int const now = ++running;
          int seen = most.load();
          while (seen < now && !most.compare_exchange_weak(seen, now)) {
          }
          gate.wait();
          --running;
        });
        ++done;
      }));
    }
    while (running.load() < 2 || rt.stats().offload_queued < 3) weft::yield();
    for (int i = 0; i < 200; ++i) weft::yield();
    verify(rt.stats().offload_queued == 3);
    verify(done.load() == 0);
    gate.set();
    for (auto& t : tasks) t.get();
    verify(done.load() == 50);
    verify(most.load() <= 2);
  });
}

TEST_CASE("jobs start in the order in which they were handed in, also past a full queue", "[offload]") {
  run_with(weft::testing::fifo({.offload_threads = 1, .offload_queue = 2}), [] {
    weft::event gate;
    std::vector<int> order;  // by the pool's one thread
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        weft::offload([&, i] {
          gate.wait();
          order.push_back(i);
        });
      }));
    }
    weft::yield();
    gate.set();
    for (auto& t : tasks) t.get();
    for (int i = 0; i < 20; ++i) verify(order[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("a job that is cancelled before it starts never runs", "[offload][bad-input]") {
  auto const queue = GENERATE(std::size_t{1}, std::size_t{100});  // waiting for room, or queued
  run_with(on(some_workers(), {.offload_threads = 1, .offload_queue = queue}), [] {
    weft::event gate;
    weft::event busy;
    auto first = weft::spawn([&] {
      weft::offload([&] {
        busy.set();
        gate.wait();
      });
    });
    busy.wait();
    std::atomic<int> ran{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(weft::spawn([&] { weft::offload([&] { ++ran; }); }));
    for (int i = 0; i < 100; ++i) weft::yield();
    for (auto& t : tasks) t.cancel();
    for (auto& t : tasks) {
      verify(throws<weft::cancelled>([&] { t.get(); }));
    }
    gate.set();
    first.get();
    weft::offload([] {});  // the pool still works
    verify(ran.load() == 0);
  });
}

TEST_CASE("rule 20: a job that runs is joined even when cancelled", "[offload][bad-input]") {
  run_on(some_workers(), [] {
    weft::event started;
    weft::event gate;
    std::atomic<bool> finished{false};
    auto t = weft::spawn([&] {
      weft::offload([&] {
        started.set();
        gate.wait();
        finished = true;
      });
    });
    started.wait();
    t.cancel();
    verify(!t.wait_for(1ms));
    gate.set();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(finished.load());
  });
}

TEST_CASE("the stop token tells a running job of the cancellation", "[offload]") {
  run_on(some_workers(), [] {
    weft::event started;
    std::atomic<bool> told{false};
    auto t = weft::spawn([&] {
      weft::offload(
          [&](std::stop_token token, int argument) {
            verify(argument == 3);
            weft::event stopped;
            std::stop_callback const callback{token, [&] { stopped.set(); }};
            started.set();
            stopped.wait();
            told = token.stop_requested();
          },
          3);
    });
    started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(told.load());
    weft::offload([](std::stop_token token) { verify(token.stop_possible() && !token.stop_requested()); });
  });
}

TEST_CASE("a cancelled fiber does not offload", "[offload]") {
  run_on(some_workers(), [] {
    std::atomic<bool> ran{false};
    weft::event started;
    auto t = weft::spawn([&] {
      started.set();
      try {
        weft::sleep_for(24h);
      } catch (weft::cancelled const&) {
      }
      weft::offload([&] { ran = true; });
    });
    started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(!ran.load());
  });
}

TEST_CASE("a destructor may offload while an exception unwinds", "[offload][hazard][H20]") {
  run_on(some_workers(), [] {
    std::atomic<bool> ran{false};
    weft::event started;
    auto t = weft::spawn([&] {
      struct offloads_on_exit {
        std::atomic<bool>& flag;
        ~offloads_on_exit() {
          weft::offload([this] { flag = true; });
        }
      };
      offloads_on_exit const guard{ran};
      started.set();
      weft::sleep_for(24h);
    });
    started.wait();
    t.cancel();
    t.wait();
    verify(ran.load());
  });
}

TEST_CASE("a runtime that stops waits for the jobs that run, and for no others", "[offload][bad-input]") {
  std::atomic<int> ran{0};
  weft::event started;
  {
    weft::runtime rt{on(some_workers(), {.offload_threads = 1})};
    for (int i = 0; i < 5; ++i) {
      rt.spawn([&] {
          weft::offload([&](std::stop_token token) {
            ++ran;
            weft::event stopped;
            std::stop_callback const callback{token, [&] { stopped.set(); }};
            started.set();
            stopped.wait();
          });
        }).detach();
    }
    started.wait();
    CHECK(rt.shutdown(1h));
  }
  CHECK(ran.load() >= 1);
}

TEST_CASE("offloaded jobs and cancellations at random: each runs at most once and none is abandoned",
          "[offload][stress]") {
  watchdog dog{"offload storm"};
  auto const seed = GENERATE(1U, 2U);
  INFO("seed " << seed);
  run_with(on(some_workers(), {.offload_threads = 2, .offload_queue = 2}), [&] {
    std::minstd_rand random{seed};
    for (std::size_t round = 0; round < scaled(400) + 5; ++round) {
      std::vector<std::atomic<int>> runs(16);
      std::vector<std::atomic<int>> inside(16);
      std::vector<weft::task<void>> tasks;
      for (std::size_t i = 0; i < 16; ++i) {
        tasks.push_back(weft::spawn([&, i] {
          struct leaving {
            std::atomic<int>& n;
            ~leaving() { verify_none(n.load()); }
            static void verify_none(int n) {
              if (n != 0) std::terminate();  // the job still runs on our stack
            }
          };
          leaving const check{inside[i]};
          weft::offload([&] {
            ++inside[i];
            ++runs[i];
            --inside[i];
          });
        }));
      }
      for (auto n = random() % 20; n > 0; --n) weft::yield();
      for (auto& t : tasks) {
        if (random() % 2 == 0) t.cancel();
      }
      for (std::size_t i = 0; i < 16; ++i) {
        tasks[i].wait();
        verify(runs[i].load() <= 1);
        if (tasks[i].exception() == nullptr) verify(runs[i].load() == 1);
      }
      dog.feed();
    }
  });
}

TEST_CASE("what a call throws that is waited for after its caller was cancelled is reported", "[offload]") {
  unhandled_log log;
  auto const run = [&](weft::runtime_options options) {
    options.on_unhandled_exception = log.handler();
    run_with(std::move(options), [] {
      for (bool const fails : {true, false}) {
        weft::event started;
        weft::event gate;
        auto t = weft::spawn([&] {
          weft::offload([&] {
            started.set();
            weft::shield([&] { gate.wait(); });
            if (fails) throw std::runtime_error("the commit failed");
            throw weft::cancelled{weft::cancel_reason::user};  // as it was asked to
          });
        });
        started.wait();
        t.cancel();
        gate.set();
        verify(throws<weft::cancelled>([&] { t.get(); }));
      }
    });
  };
  run(on(some_workers()));
  CHECK(log.lines() == std::vector<std::string>{"offload: the commit failed"});
}

TEST_CASE("in simulation such a call is reported, too", "[offload]") {
  unhandled_log log;
  weft::testing::simulation sim{1, {.runtime = {.on_unhandled_exception = log.handler()}}};
  sim.run([] {
    weft::event started;
    auto t = weft::spawn([&] {
      weft::offload([&] {
        started.set();
        weft::shield([] { weft::yield(); });
        throw std::runtime_error("the commit failed");
      });
    });
    started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
  });
  CHECK(log.lines() == std::vector<std::string>{"offload: the commit failed"});
}
