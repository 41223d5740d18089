/// @file
/// Long runs in which no wake-up may be lost. With -DWEFT_SOAK=ON once more at full length: 10^9 switches, and 10^7
/// timed waits, on each number of workers.

#include <weft/runtime/spawn.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using namespace weft::test;

namespace {

#if defined(WEFT_SOAK_FULL)
constexpr std::uint64_t switches = 1'000'000'000;
constexpr std::uint64_t waits = 10'000'000;
#else
constexpr std::uint64_t switches = scaled(10'000'000);
constexpr std::uint64_t waits = scaled(100'000);
#endif

std::size_t soaked_workers() { return GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8}); }

}  // namespace

TEST_CASE("soak: switches", "[stress][soak][hazard][H5]") {
  auto const workers = soaked_workers();
  INFO("workers " << workers);
  watchdog dog{"switches"};
  constexpr std::uint64_t fibers = 100;
  auto const each = switches / fibers / (migration_forced() ? 20 : 1);
  std::atomic<std::uint64_t> done{0};
  run_on(workers, [&] {
    std::vector<weft::task<void>> tasks;
    for (std::uint64_t f = 0; f < fibers; ++f) {
      tasks.push_back(weft::spawn([&, f] {
        auto const id = weft::this_fiber::get_id();
        std::uint64_t sum = f;
        for (std::uint64_t i = 0; i < each; ++i) {
          sum += i;
          weft::yield();
          if (i % 256 == 0) {
            verify(weft::this_fiber::get_id() == id);
            dog.feed();
          }
        }
        verify(sum == f + each * (each - 1) / 2);  // the stack is as it was left
        done.fetch_add(each);
      }));
    }
    for (auto& t : tasks) t.get();
  });
  CHECK(done.load() == each * fibers);
}

TEST_CASE("soak: timed waits under random wakes", "[stress][soak][hazard][H6]") {
  auto const workers = soaked_workers();
  auto const seed = std::uint32_t{20'231};
  INFO("workers " << workers << ", seed " << seed);
  watchdog dog{"timed waits"};
  constexpr std::size_t fibers = 64;
  constexpr auto each = waits / fibers + 1;
  struct alignas(64) cell {
    weft::event event;
  };
  std::vector<std::unique_ptr<cell>> cells;
  for (std::size_t i = 0; i < fibers; ++i) cells.push_back(std::make_unique<cell>());
  std::atomic<std::uint64_t> woken{0};
  std::atomic<std::uint64_t> expired{0};
  // A thread from outside wakes at random, besides the fibers themselves.
  std::atomic<bool> stop{false};
  std::thread outside{[&] {
    std::minstd_rand random{seed};
    while (!stop.load()) {
      cells[random() % fibers]->event.set();
      std::this_thread::yield();
    }
  }};
  run_on(workers, [&] {
    std::vector<weft::task<void>> tasks;
    for (std::size_t f = 0; f < fibers; ++f) {
      tasks.push_back(weft::spawn([&, f] {
        std::minstd_rand random{static_cast<std::uint32_t>(seed + f + 1)};
        auto& own = cells[f]->event;
        for (std::uint64_t i = 0; i < each; ++i) {
          // Now and then without limit: then only a wake-up that is not lost goes on.
          auto const rare = random() % 64 == 0;
          auto const limit = std::chrono::nanoseconds(random() % 60'000);
          cells[random() % fibers]->event.set();
          own.reset();
          if (rare) {
            weft::event once;
            auto waker = weft::spawn([&] { once.set(); });
            once.wait();
            waker.get();
          }
          (own.wait_for(limit) ? woken : expired).fetch_add(1, std::memory_order_relaxed);
          dog.feed();
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
  stop.store(true);
  outside.join();
  CHECK(woken.load() + expired.load() == each * fibers);
  CHECK(expired.load() > 0);
  CHECK(woken.load() > 0);
}
