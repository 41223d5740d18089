/// @file
/// Runtimes that come and go while threads of others still wake their fibers (H11).

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("H11: runtimes start and stop while foreign threads wake their fibers", "[hazard][H11][stress]") {
  watchdog dog{"start and stop"};
  auto const rounds = scaled(3'000);
  // The wakers touch the events of whatever round they find; the last wake often comes as the runtime goes down.
  struct round_state {
    weft::event first;
    weft::event second;
  };
  std::vector<std::unique_ptr<round_state>> states;
  for (std::size_t i = 0; i < rounds; ++i) states.push_back(std::make_unique<round_state>());
  std::atomic<std::size_t> current{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> wakers;
  for (int w = 0; w < 2; ++w) {
    wakers.emplace_back([&, w] {
      std::size_t seen = 0;
      while (!done.load()) {
        auto const now = current.load();
        if (now == seen && now != 0) {
          std::this_thread::yield();
          continue;
        }
        seen = now;
        auto& s = *states[now];
        (w == 0 ? s.first : s.second).set();
      }
    });
  }
  for (std::size_t i = 0; i < rounds; ++i) {
    auto& s = *states[i];
    weft::runtime rt{on(1 + i % 3)};
    auto a = rt.spawn([&] { s.first.wait(); });
    auto b = rt.spawn([&] { s.second.wait(); });
    current.store(i);
    if (i == 0) {
      s.first.set();
      s.second.set();
    }
    a.wait();
    b.wait();
    dog.feed();
  }
  done.store(true);
  for (auto& w : wakers) w.join();
}

TEST_CASE("H11: wakes that come after the fiber was cancelled by shutdown are dropped", "[hazard][H11][stress]") {
  watchdog dog{"late wakes"};
  auto const rounds = scaled(2'000);
  for (std::size_t i = 0; i < rounds; ++i) {
    weft::event e;
    std::atomic<bool> go{false};
    std::thread waker{[&] {
      while (!go.load()) {
      }
      e.set();
    }};
    {
      weft::runtime rt{on(1 + i % 2)};
      rt.spawn([&] { e.wait(); }).detach();
      go.store(true);
    }
    waker.join();
    dog.feed();
  }
}

TEST_CASE("H11: one runtime is stopped and started again under foreign wakes", "[hazard][H11][stress]") {
  watchdog dog{"restart"};
  auto const rounds = scaled(2'000);
  weft::event e;
  std::atomic<bool> done{false};
  std::thread waker{[&] {
    while (!done.load()) {
      e.set();
      std::this_thread::yield();
      e.reset();
    }
  }};
  weft::runtime rt{on(2)};
  for (std::size_t i = 0; i < rounds; ++i) {
    rt.run([&] {
      weft::spawn([&] { e.wait(); }).detach();
      (void)e.wait_for(50us);
    });
    rt.shutdown();
    rt.start();
    dog.feed();
  }
  done.store(true);
  waker.join();
}
