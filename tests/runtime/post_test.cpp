/// @file
/// runtime::post: fibers that nobody holds, from anywhere.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/future.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("rule 19: what is posted runs as a fiber, from threads, fibers and other runtimes", "[post][rule19]") {
  weft::runtime rt{on(some_workers())};
  weft::promise<weft::fiber_id> from_thread;
  rt.post([&] {
    weft::sleep_for(1us);  // it may wait
    from_thread.set_value(weft::this_fiber::get_id());
  });
  CHECK(from_thread.get_future().get() != weft::fiber_id{});

  weft::promise<int> from_fiber;
  rt.run([&] { rt.post([&] { from_fiber.set_value(1); }); });
  CHECK(from_fiber.get_future().get() == 1);

  weft::promise<int> from_elsewhere;
  run_on(2, [&] {
    rt.post([&] { from_elsewhere.set_value(2); });
    verify(from_elsewhere.get_future().get() == 2);
  });
}

TEST_CASE("post takes move-only callables and arguments, and drops what they return", "[post]") {
  weft::runtime rt{on(some_workers())};
  weft::promise<int> p;
  rt.post(
      [&p, one = std::make_unique<int>(1)](std::unique_ptr<int> two) {
        p.set_value(*one + *two);
        return std::string(100, 'x');
      },
      std::make_unique<int>(2));
  CHECK(p.get_future().get() == 3);
  rt.shutdown();
  expect_no_leaks(rt);
}

TEST_CASE("the exception of a posted callable goes to the handler", "[post]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  {
    weft::runtime rt{on(some_workers(), options)};
    weft::event about_to_throw;
    rt.post([&] {
      about_to_throw.set();
      throw std::runtime_error("posted");
    });
    about_to_throw.wait();
    rt.shutdown();
  }
  CHECK(log.lines() == std::vector<std::string>{": posted"});
}

TEST_CASE("post refuses an empty callable, and a runtime that has stopped", "[post][bad-input][rule16]") {
  weft::runtime rt{on(some_workers())};
  CHECK(throws<std::invalid_argument>([&] { rt.post(std::function<void()>{}); }));
  struct fails_to_copy {
    fails_to_copy() = default;
    fails_to_copy(fails_to_copy const&) { throw std::logic_error("no copy"); }
    void operator()() const {}
  };
  fails_to_copy const f;
  CHECK(throws<std::logic_error>([&] { rt.post(f); }));
  rt.shutdown();
  CHECK(throws<weft::runtime_stopped>([&] { rt.post([] {}); }));
  rt.start();
  weft::event ran;
  rt.post([&] { ran.set(); });
  ran.wait();
  rt.shutdown();
  expect_no_leaks(rt);
}

TEST_CASE("a runtime that stops cancels what was posted, and refuses more from its fibers", "[post][rule21]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  weft::runtime rt{on(some_workers(), options)};
  std::atomic<bool> refused{false};
  weft::event parked;
  rt.post([&] {
    try {
      weft::event never_set;
      parked.set();
      never_set.wait();
    } catch (weft::cancelled const& c) {
      refused = c.reason() == weft::cancel_reason::shutdown && throws<weft::runtime_stopped>([&] { rt.post([] {}); });
      throw;
    }
  });
  parked.wait();
  rt.shutdown();
  CHECK(refused);
  CHECK(log.lines().empty());
}

TEST_CASE("threads post at once, and nothing is lost", "[post][stress]") {
  weft::runtime rt{on(some_workers())};
  auto const each = scaled(20'000);
  std::atomic<std::size_t> ran{0};
  weft::event all;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (std::size_t n = 0; n < each; ++n) {
        rt.post([&] {
          if (++ran == 3 * each) all.set();
        });
      }
    });
  }
  for (auto& t : threads) t.join();
  all.wait();
  rt.shutdown();
  CHECK(ran == 3 * each);
  expect_no_leaks(rt);
}
