/// @file
/// `std::stop_token`, both ways: a scope that one cancels, and one that a scope stops.

#include <weft/runtime/cancel_scope.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/generator.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/condition_variable.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/mutex.hpp>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::cancel_reason;
using weft::cancel_scope;
using weft::testing::in_virtual_time;

namespace {

void park_forever() {
  weft::event nothing;
  nothing.wait();
}

using callback = std::stop_callback<std::function<void()>>;

}  // namespace

TEST_CASE("rule 10: a scope follows a stop token, whoever stops it", "[stop_token][rule10]") {
  run_on(some_workers(), [] {
    for (bool const by_thread : {false, true}) {
      std::stop_source source;
      std::optional<std::thread> outside;
      weft::task<void> inside;
      weft::event waiting;
      cancel_scope scope{source.get_token()};
      verify(!scope.run([&] {
        auto const stop = [&] {
          waiting.wait();
          source.request_stop();
        };
        if (by_thread) {
          outside.emplace(stop);
        } else {
          inside = weft::spawn(stop);
        }
        waiting.set();
        park_forever();
      }));
      if (outside) weft::offload([&] { outside->join(); });
    }
    std::stop_source stopped;
    stopped.request_stop();
    cancel_scope late{stopped.get_token()};
    verify(!late.run([] { weft::yield(); }));
    cancel_scope never_stopped{std::stop_token{}};
    verify(never_stopped.run([] { weft::yield(); }));
    std::stop_source outlives;
    {
      cancel_scope const left{outlives.get_token()};
    }
    outlives.request_stop();  // nothing of the scope is left
    weft::yield();
  });
  std::stop_source source;
  std::thread outside{[&] { source.request_stop(); }};
  cancel_scope of_thread{source.get_token()};
  CHECK_FALSE(of_thread.run(park_forever));
  outside.join();
}

TEST_CASE("rule 10: a token of a scope is stopped with it, and callbacks run on a fiber, under no lock",
          "[stop_token][rule10]") {
  auto const workers = some_workers();
  auto const by = GENERATE(as<std::string>{}, "the fiber", "another fiber", "a thread", "its own token");
  INFO("cancelled by " << by);
  run_on(workers, [&by] {
    std::atomic<int> called{0};
    weft::event heard;
    std::stop_source source;
    std::optional<std::thread> outside;
    weft::task<void> inside;
    std::optional<callback> told;  // the scope goes first, and with it who calls this
    {
      cancel_scope scope{source.get_token()};
      auto const token = scope.stop_token();
      verify(scope.stop_token() == token);
      verify(token.stop_possible() && !token.stop_requested());
      told.emplace(token, [&] {
        verify(weft::this_fiber::get_id() != weft::fiber_id{});
        ++called;
        heard.set();
      });
      if (by == "the fiber") scope.cancel();
      if (by == "another fiber") inside = weft::spawn([&] { scope.cancel(); });
      if (by == "a thread") outside.emplace([&] { scope.cancel(); });
      if (by == "its own token") source.request_stop();
      weft::shield([&] { heard.wait(); });
      verify(token.stop_requested());
      if (outside) weft::shield([&] { weft::offload([&] { outside->join(); }); });
      verify(weft::this_fiber::cancel_requested());
    }
    verify(called == 1);
  });
}

TEST_CASE("rule 10: whoever leaves a cancelled scope has told its callbacks", "[stop_token][rule10]") {
  run_on(some_workers(), [] {
    for (int round = 0; round < 50; ++round) {
      int called = 0;
      std::optional<callback> told;
      {
        cancel_scope scope;
        told.emplace(scope.stop_token(), [&called] { ++called; });
        for (int i = 0; i < round % 3; ++i) weft::yield();
        scope.cancel();
      }
      verify(called == 1);
      {
        cancel_scope scope;
        told.emplace(scope.stop_token(), [&called] { ++called; });
      }
      verify(called == 1);  // left, but not cancelled
    }
  });
}

TEST_CASE("rule 10: a token is stopped by the deadline, though nobody waits for it", "[stop_token][rule10]") {
  run_with(in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    verify(weft::move_on_after(2s, [&](cancel_scope& scope) {
      auto const token = scope.stop_token();
      weft::shield([&] {
        weft::sleep_for(1s);
        verify(!token.stop_requested());
        scope.reschedule(3s);  // to 4 s
        weft::sleep_for(2s);
        verify(!token.stop_requested());
        weft::sleep_for(1001ms);
        verify(token.stop_requested());
      });
      verify(weft::testing::now() == begin + 4001ms);
    }));
    // Moved to earlier by another.
    cancel_scope* moved = nullptr;
    auto mover = weft::spawn([&] {
      weft::sleep_for(1s);
      moved->reschedule(1s);
    });
    auto const again = weft::testing::now();
    weft::event stopped;
    std::optional<callback> told;
    verify(weft::move_on_after(1h, [&](cancel_scope& scope) {
      moved = &scope;
      told.emplace(scope.stop_token(), [&] { stopped.set(); });
      weft::shield([&] { stopped.wait(); });
      verify(weft::testing::now() == again + 2s);
    }));
  });
}

TEST_CASE("rule 10: the token of a task is stopped with the task", "[stop_token][rule10]") {
  verify(!weft::this_fiber::stop_token().stop_possible());
  run_on(some_workers(), [] {
    for (bool const before : {false, true}) {
      weft::event started;
      weft::event go_on;
      std::atomic<int> called{0};
      std::optional<callback> told;
      auto t = weft::spawn([&] {
        started.set();
        weft::shield([&] { go_on.wait(); });
        auto const token = weft::this_fiber::stop_token();
        verify(weft::this_fiber::stop_token() == token);
        told.emplace(token, [&] { ++called; });
        // It computes, and asks; no wait is made.
        while (!token.stop_requested()) {
          weft::cancel_shield const shielded;
          weft::yield();
        }
        return 1;
      });
      started.wait();
      if (before) t.cancel();
      go_on.set();
      if (!before) {
        weft::yield();
        t.cancel();
      }
      verify(t.get() == 1);
      verify(called == 1);
    }
    // Not cancelled: it goes with the task.
    std::stop_token left;
    weft::spawn([&] { left = weft::this_fiber::stop_token(); }).get();
    verify(!left.stop_requested());
  });
}

TEST_CASE("rule 10: a shutdown stops the tokens of tasks", "[stop_token][rule10]") {
  weft::runtime rt{on(2)};
  std::atomic<bool> ready{false};
  auto t = rt.spawn([&] {
    auto const token = weft::this_fiber::stop_token();
    ready = true;
    weft::shield([&] {
      while (!token.stop_requested()) weft::yield();
    });
  });
  while (!ready) std::this_thread::yield();
  rt.shutdown();
  t.wait();
  t.cancel();  // nothing is left of the token
}

TEST_CASE("rule 10: in simulation the same, for many seeds", "[stop_token][rule10]") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    weft::testing::simulation{seed}.run([] {
      std::stop_source source;
      int called = 0;
      std::optional<callback> told;
      {
        cancel_scope scope{source.get_token()};
        told.emplace(scope.stop_token(), [&called] { ++called; });
        auto a = weft::spawn([&] { scope.cancel(); });
        auto b = weft::spawn([&] { source.request_stop(); });
        auto c = weft::spawn([&] { scope.reschedule(0s); });
        verify(throws<weft::cancelled>(park_forever));
      }
      verify(called == 1);
      weft::testing::expect_no_leaks();
    });
  }
}

TEST_CASE("rule 10: a simulation ends whose first fiber has asked for its own token", "[stop_token][rule10]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    int called = 0;
    std::optional<callback> told;
    weft::testing::simulation{seed}.run([&] {
      told.emplace(weft::this_fiber::stop_token(), [&called] { ++called; });
      auto helper = weft::spawn([token = weft::this_fiber::stop_token()] { weft::yield(); });
      helper.get();
    });
    CHECK(called == 0);
  }
}

TEST_CASE("rule 10: a token is stopped when a wait of a plain thread meets the deadline", "[stop_token][rule10]") {
  watchdog dog{"a token that nobody stops"};
  for (bool const holds_a_lock : {false, true}) {
    weft::mutex guards;
    weft::condition_variable changed;
    int called = 0;
    std::optional<callback> told;
    cancel_scope scope{1ms};
    CHECK_FALSE(scope.run([&] {
      auto const token = scope.stop_token();
      told.emplace(token, [&] {
        std::lock_guard const lock{guards};
        ++called;
        changed.notify_all();
      });
      // It is joined before the scope is left.
      std::jthread const helper{[&token] {
        while (!token.stop_requested()) std::this_thread::yield();
      }};
      if (!holds_a_lock) park_forever();
      std::unique_lock lock{guards};
      changed.wait(lock, [] { return false; });
    }));
    CHECK(called == 1);
  }
}

TEST_CASE("rule 10: a deadline that is moved while the token is being made counts", "[stop_token][rule10]") {
  run_with(in_virtual_time(), [] {
    cancel_scope scope{1h};
    auto const mover = weft::spawn([&] { scope.reschedule(1s); });
    auto const token = scope.stop_token();
    weft::shield([] { weft::sleep_for(2s); });
    verify(token.stop_requested());
  });
}

TEST_CASE("rule 10: a token of a plain thread's scope is stopped also where a callback of a task cancels it",
          "[stop_token][rule10]") {
  watchdog dog{"a token that nobody stops"};
  weft::runtime rt{on(1)};
  std::atomic<int> called{0};
  cancel_scope scope;
  CHECK_FALSE(scope.run([&] {
    auto const token = scope.stop_token();
    callback const told{token, [&] { ++called; }};
    std::jthread const helper{[&token] {  // joined before the scope is left
      while (!token.stop_requested()) std::this_thread::yield();
    }};
    auto task = rt.spawn([] { weft::yield(); });
    task.on_done([&scope] {  // on the fiber that ends, or here
      scope.cancel();
      scope.reschedule(1h);  // tells once more, and changes nothing
    });
    task.get();
    park_forever();
  }));
  CHECK(called.load() == 1);
}

TEST_CASE("rule 10: a body that lies suspended in a scope with a token does not hold up a shutdown",
          "[stop_token][rule10][generator]") {
  watchdog dog{"a shutdown beside a suspended body"};
  std::optional<weft::generator<int>> numbers;
  cancel_scope* of_body = nullptr;
  int called = 0;
  weft::runtime rt{on(some_workers())};
  rt.run([&] {
    numbers.emplace([&](auto& yield) {
      cancel_scope scope{1h};
      of_body = &scope;
      callback const told{scope.stop_token(), [&] { ++called; }};
      for (int i = 0;; ++i) yield(i);
    });
    verify(*numbers->begin() == 0);
  });
  rt.shutdown();
  CHECK(called == 0);
  SECTION("what cancels it later stops the token itself") {
    of_body->cancel();
    CHECK(called == 1);
  }
  numbers.reset();
  CHECK(called <= 1);
}

TEST_CASE("rule 10: a body that runs for others holds up no shutdown, and its deadline stops its token all the same",
          "[stop_token][rule10][generator]") {
  watchdog dog{"a body that runs elsewhere than where it began"};
  std::optional<weft::generator<int>> numbers;
  weft::event never_set;
  auto const begin = [&](weft::runtime& rt, cancel_scope*& of_body) {
    rt.run([&] {
      numbers.emplace([&](auto& yield) {
        cancel_scope scope{1h};
        of_body = &scope;
        yield(0);
        (void)scope.run([&] {
          auto const token = scope.stop_token();
          std::jthread const helper{[&token] {  // joined before the scope is left
            while (!token.stop_requested()) std::this_thread::yield();
          }};
          yield(1);
          never_set.wait();
        });
        yield(2);
      });
      verify(*numbers->begin() == 0);
    });
  };
  SECTION("in another runtime") {
    cancel_scope* of_body = nullptr;
    weft::runtime first{on(1)};
    weft::runtime second{weft::runtime_options{.workers = 1}};  // for run_until_blocked()
    begin(first, of_body);
    first.run([&] { verify(*++numbers->begin() == 1); });
    auto goes_on = second.spawn([&] { verify(*++numbers->begin() == 2); });
    second.run([] { weft::testing::run_until_blocked(); });
    CHECK(first.shutdown(10s));
    of_body->reschedule(1ms);
    goes_on.get();
  }
  SECTION("on a thread, after the shutdown") {
    cancel_scope* of_body = nullptr;
    weft::runtime first{on(1)};
    begin(first, of_body);
    first.run([&] { verify(*++numbers->begin() == 1); });
    first.shutdown();
    of_body->reschedule(1ms);
    CHECK(*++numbers->begin() == 2);
  }
  numbers.reset();
}

TEST_CASE("rule 10: a deadline stops the token of a body that runs while its runtime stops",
          "[stop_token][rule10][generator]") {
  watchdog dog{"a shutdown beside a body that waits for its token"};
  weft::runtime rt{on(some_workers())};
  std::atomic<bool> begun{false};
  rt.post([&] {
    weft::generator<int> numbers([&](auto& yield) {
      cancel_scope scope{30ms};
      auto const token = scope.stop_token();
      begun.store(true);
      weft::shield([&] {
        while (!token.stop_requested()) weft::yield();
      });
      yield(1);
    });
    verify(*numbers.begin() == 1);
  });
  while (!begun.load()) std::this_thread::yield();
  rt.shutdown();
}
