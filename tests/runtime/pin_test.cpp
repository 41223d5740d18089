/// @file
/// pin_guard: whatever a pinned fiber waits for and whoever wakes it, it goes on where it was; and those that are not
/// pinned go on beside it.

#include <weft/runtime/pin.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/future.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

static_assert(!std::is_copy_constructible_v<weft::pin_guard> && !std::is_move_assignable_v<weft::pin_guard>);

namespace {

/// The worker on which the calling fiber is, to be compared after a wait.
class here {
public:
  void check() const {
    verify(weft::this_fiber::worker() == worker_);
    verify(thread_now() == thread_);
  }

private:
  /// Not std::this_thread::get_id() in line, whose answer a compiler may keep over a wait.
  [[gnu::noinline]] static std::thread::id thread_now() {
    asm volatile("" ::: "memory");
    return std::this_thread::get_id();
  }
  int worker_ = weft::this_fiber::worker();
  std::thread::id thread_ = thread_now();
};

/// Several workers; with 2 and 3 also such that no fiber that is free stays where it was.
weft::runtime_options several_workers() {
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3});
  auto const migrate = GENERATE(false, true);
  weft::runtime_options options = on(workers);
  if (migrate && workers > 1) options = weft::testing::forced_migration(options);
  return options;
}

int fib(int n) {
  if (n < 2) return n;
  auto child = weft::spawn([n] { return fib(n - 1); });
  int const other = fib(n - 2);
  return other + child.get();
}

}  // namespace

TEST_CASE("a pinned fiber yields, sleeps and joins where it is", "[pin]") {
  run_with(several_workers(), [] {
    std::vector<weft::task<void>> tasks;
    for (int f = 0; f < 8; ++f) {
      tasks.push_back(weft::spawn([f] {
        weft::pin_guard const pin;
        here const before;
        for (int i = 0; i < 200; ++i) {
          weft::yield();
          before.check();
          if (i % 16 == f) {
            weft::sleep_for(std::chrono::microseconds(i));
            before.check();
          }
          weft::spawn([] {}).get();
          before.check();
          weft::spawn([] { weft::yield(); }).get();
          before.check();
          auto child = weft::spawn([] { weft::sleep_for(1us); });
          (void)child.wait_for(i % 2 == 0 ? 0ns : 2us);
          before.check();
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("a pinned fiber starts children eagerly and goes on where it was", "[pin]") {
  run_with(several_workers(), [] {
    weft::pin_guard const pin;
    here const before;
    weft::spawn_options eager;
    eager.start = weft::start::eager;
    for (int i = 0; i < 200; ++i) {
      auto ends_at_once = weft::spawn(eager, [] {});
      before.check();
      auto waits = weft::spawn(eager, [] { weft::yield(); });
      before.check();
      ends_at_once.get();
      waits.get();
      before.check();
    }
  });
}

TEST_CASE("a pinned fiber is woken by other fibers, and goes on where it was", "[pin][stress]") {
  run_with(several_workers(), [] {
    watchdog dog{"pinned fibers and their wakers"};
    for (std::size_t round = 0; round < scaled(2'000); ++round) {
      weft::promise<int> there;
      weft::promise<int> back;
      auto pinned = weft::spawn([&] {
        weft::pin_guard const pin;
        here const before;
        back.set_value(there.get_future().get());
        before.check();
        weft::yield();
        before.check();
      });
      auto waker = weft::spawn([&] { there.set_value(1); });
      verify(back.get_future().get() == 1);
      pinned.get();
      waker.get();
      dog.feed();
    }
  });
}

TEST_CASE("a pinned fiber is woken from outside, and goes on where it was", "[pin]") {
  watchdog dog{"a pinned fiber woken by a thread"};
  weft::runtime rt{several_workers()};
  for (std::size_t round = 0; round < scaled(2'000); ++round) {
    weft::promise<void> go;
    weft::event parked;
    auto t = rt.spawn([&] {
      weft::pin_guard const pin;
      here const before;
      parked.set();
      go.get_future().get();
      before.check();
    });
    parked.wait();
    go.set_value();
    t.get();
    dog.feed();
  }
  expect_no_leaks(rt);
}

TEST_CASE("with strict order, a pinned fiber is woken from outside too", "[pin]") {
  watchdog dog{"a pinned fiber in strict order"};
  weft::runtime rt{GENERATE(weft::testing::fifo(), weft::testing::in_virtual_time())};
  weft::event go;
  weft::event parked;
  auto t = rt.spawn([&] {
    weft::pin_guard const pin;
    parked.set();
    go.wait();
  });
  parked.wait();
  rt.run([] {});  // behind it: by now it has parked
  go.set();
  t.get();
}

TEST_CASE("a pinned fiber that is cancelled, or comes back from a pool, is where it was", "[pin]") {
  run_with(several_workers(), [] {
    for (std::size_t round = 0; round < scaled(300); ++round) {
      weft::event parked;
      auto cancelled = weft::spawn([&] {
        weft::pin_guard const pin;
        here const before;
        try {
          weft::event never_set;
          parked.set();
          never_set.wait();
        } catch (weft::cancelled const&) {
          before.check();
        }
      });
      auto offloading = weft::spawn([&] {
        weft::pin_guard const pin;
        here const before;
        weft::offload([] {});
        before.check();
      });
      parked.wait();
      cancelled.cancel();
      cancelled.get();
      offloading.get();
    }
  });
}

TEST_CASE("guards nest: the fiber is free when the outermost has gone", "[pin]") {
  auto options = weft::testing::forced_migration();
  options.workers = GENERATE(std::size_t{2}, std::size_t{3});
  run_with(options, [] {
    auto const moves = [] {
      int const before = weft::this_fiber::worker();
      weft::yield();
      return weft::this_fiber::worker() != before;
    };
    verify(moves());
    {
      weft::pin_guard const outer;
      verify(!moves());
      {
        weft::pin_guard const inner;
        verify(!moves());
      }
      verify(!moves());
      std::optional<weft::pin_guard> const again{std::in_place};
      verify(!moves());
    }
    verify(moves());
    verify(moves());
  });
}

TEST_CASE("pinned fibers are not stolen from beside fork-join code", "[pin][stress]") {
  // Its workers look around in the middle of a chain of joins, at other places than elsewhere.
  run_on(GENERATE(std::size_t{2}, std::size_t{3}), [] {
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> turns{0};
    std::vector<weft::task<void>> pinned;
    for (int i = 0; i < 6; ++i) {
      pinned.push_back(weft::spawn([&, i] {
        weft::pin_guard const pin;
        here const before;
        while (!stop) {
          weft::yield();
          before.check();
          if (++turns % 7 == static_cast<std::uint64_t>(i)) {
            weft::sleep_for(1us);
            before.check();
          }
        }
      }));
    }
    for (std::size_t round = 0; round < scaled(60); ++round) verify(fib(16) == 987);
    stop = true;
    for (auto& t : pinned) t.get();
    verify(turns > 0);
  });
}

TEST_CASE("pinned fibers are not stolen from beside many that yield", "[pin][stress]") {
  // Where many are queued, a yield takes its shortest way; and workers that have run dry steal half of them.
  run_on(GENERATE(std::size_t{2}, std::size_t{3}), [] {
    std::atomic<bool> stop{false};
    std::vector<weft::task<void>> pinned;
    for (int i = 0; i < 6; ++i) {
      pinned.push_back(weft::spawn([&] {
        weft::pin_guard const pin;
        here const before;
        while (!stop) {
          weft::yield();
          before.check();
        }
      }));
    }
    for (std::size_t round = 0; round < scaled(200); ++round) {
      std::vector<weft::task<void>> others;
      for (int i = 0; i < 300; ++i) {
        others.push_back(weft::spawn([] {
          for (int n = 0; n < 4; ++n) weft::yield();
        }));
      }
      for (auto& t : others) t.get();
    }
    stop = true;
    for (auto& t : pinned) t.get();
  });
}

TEST_CASE("H26: a pinned fiber that yields for ever starves neither the ring nor what comes from outside",
          "[pin][hazard][H26]") {
  watchdog dog{"work beside a pinned yielder"};
  weft::runtime rt{on(1)};
  std::atomic<bool> stop{false};
  std::vector<weft::task<void>> pinned;
  for (int i = 0; i < 3; ++i) {
    pinned.push_back(rt.spawn([&] {
      weft::pin_guard const pin;
      while (!stop) weft::yield();
    }));
  }
  for (int i = 0; i < 50; ++i) {
    // From outside; then, on the worker, through ring, slot and timer.
    rt.run([] {
      weft::spawn([] { weft::yield(); }).get();
      weft::sleep_for(1us);
    });
    dog.feed();
  }
  stop = true;
  for (auto& t : pinned) t.get();
}

TEST_CASE("H26: a pinned fiber has its turns beside others that yield for ever", "[pin][hazard][H26]") {
  watchdog dog{"a pinned fiber beside yielders"};
  run_with(several_workers(), [&] {
    std::atomic<bool> stop{false};
    std::vector<weft::task<void>> others;
    for (int i = 0; i < 10; ++i) {
      others.push_back(weft::spawn([&] {
        while (!stop) weft::yield();
      }));
    }
    auto pinned = weft::spawn([] {
      weft::pin_guard const pin;
      for (int i = 0; i < 100; ++i) weft::yield();
      weft::sleep_for(1us);
    });
    pinned.get();
    stop = true;
    for (auto& t : others) t.get();
  });
}

TEST_CASE("a pinned fiber computes on, and the others leave its worker", "[pin][rule27]") {
  watchdog dog{"fibers behind a pinned one that computes"};
  run_on(2, [&] {
    std::atomic<int> ran{0};
    std::vector<weft::task<void>> others;
    weft::pin_guard const pin;
    for (int i = 0; i < 100; ++i) others.push_back(weft::spawn([&] { ++ran; }));
    while (ran != 100) {  // without giving way
    }
    for (auto& t : others) t.get();
  });
}

TEST_CASE("outside of a fiber a guard does nothing", "[pin][rule18]") {
  weft::pin_guard const outer;
  weft::pin_guard const inner;
  run_on(some_workers(), [] { weft::yield(); });
}

TEST_CASE("a guard that is left on another fiber aborts", "[pin][bad-input]") {
  CHECK(aborts_with("pin_guard is left on another fiber", [] {
    run_on(1, [] {
      std::unique_ptr<weft::pin_guard> escaped;
      weft::spawn([&] { escaped = std::make_unique<weft::pin_guard>(); }).get();
      escaped.reset();
    });
  }));
}
