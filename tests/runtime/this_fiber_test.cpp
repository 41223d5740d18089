/// @file
/// What a fiber can say of itself, and what a plain thread answers.

#include <weft/runtime/this_fiber.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <unordered_set>
#include <vector>

using namespace weft::test;

TEST_CASE("outside of a fiber there is no id, name or worker", "[this_fiber]") {
  CHECK(weft::this_fiber::get_id() == weft::fiber_id{});
  CHECK(weft::this_fiber::name().empty());
  CHECK(weft::this_fiber::worker() == -1);
  CHECK_FALSE(weft::this_fiber::cancel_requested());
}

TEST_CASE("ids differ between all fibers that a process ever had", "[this_fiber]") {
  std::unordered_set<weft::fiber_id> seen;
  for (std::size_t workers = 1; workers <= 3; ++workers) {
    sequence<weft::fiber_id> ids;
    run_on(workers, [&] {
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 1000; ++i) {
        tasks.push_back(weft::spawn([&] {
          auto const mine = weft::this_fiber::get_id();
          verify(mine != weft::fiber_id{});
          ids.add(mine);
          weft::yield();
          verify(weft::this_fiber::get_id() == mine);
        }));
      }
      for (auto& t : tasks) t.get();
    });
    for (auto const id : ids.steps()) CHECK(seen.insert(id).second);
  }
  CHECK(seen.size() == 3000);
}

TEST_CASE("a fiber's worker is one of the runtime's", "[this_fiber]") {
  auto const workers = some_workers();
  weft::runtime_options const options = on(workers);
  run_with(options, [n = static_cast<int>(options.workers)] {
    for (int i = 0; i < 100; ++i) {
      auto const w = weft::this_fiber::worker();
      verify(w >= 0 && w < n);
      weft::yield();
    }
  });
}

TEST_CASE("cancel_requested tells of the next wait", "[this_fiber]") {
  run_on(some_workers(), [] {
    std::atomic<bool> started{false};
    std::atomic<bool> told{false};
    auto t = weft::spawn([&] {
      verify(!weft::this_fiber::cancel_requested());
      started.store(true);
      try {
        for (;;) weft::yield();
      } catch (weft::cancelled const&) {
        told.store(weft::this_fiber::cancel_requested());
      }
    });
    while (!started.load()) weft::yield();
    t.cancel();
    t.wait();
    verify(told.load());
  });
}

TEST_CASE("yield lets every other ready fiber run first", "[this_fiber]") {
  run_with(weft::testing::fifo(), [] {
    sequence<int> order;
    auto const steps = [&](int base) {
      for (int i = 0; i < 3; ++i) {
        order.add(base + i);
        weft::yield();
      }
    };
    auto a = weft::spawn([&] { steps(0); });
    auto b = weft::spawn([&] { steps(10); });
    auto c = weft::spawn([&] { steps(20); });
    a.get();
    b.get();
    c.get();
    verify(order.steps() == std::vector<int>{0, 10, 20, 1, 11, 21, 2, 12, 22});
  });
}
