/// @file
/// How fibers end: on the worker that they are on by then (H30), and leaving nothing (H31).

#include <weft/runtime/spawn.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <malloc.h>
#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("H30: fibers start on one worker and return on another", "[hazard][H30][stress]") {
  watchdog dog{"start here, end there"};
  auto const fibers = scaled(1'000'000);
  std::atomic<std::size_t> moved{0};
  auto const workers = GENERATE(std::size_t{2}, std::size_t{3});
  run_with(weft::testing::forced_migration({.workers = workers}), [&] {
    for (std::size_t done = 0; done < fibers; done += 100) {
      std::vector<weft::task<std::size_t>> tasks;
      for (std::size_t i = 0; i < 100; ++i) {
        tasks.push_back(weft::spawn([&moved, i] {
          auto const began_on = weft::this_fiber::worker();
          weft::yield();
          if (weft::this_fiber::worker() != began_on) moved.fetch_add(1);
          return i;
        }));
      }
      for (std::size_t i = 0; i < tasks.size(); ++i) verify(tasks[i].get() == i);
      dog.feed();
    }
  });
  CHECK(moved.load() >= fibers);
}

TEST_CASE("H31: no fiber lives and no record is out after a run", "[hazard][H31]") {
  auto const workers = some_workers();
  auto const once = [&] {
    weft::runtime rt{on(workers)};
    weft::task<int> outlives;
    rt.run([&] {
      std::vector<weft::task<std::string>> tasks;
      for (int i = 0; i < 300; ++i) {
        tasks.push_back(weft::spawn([i] {
          if (i % 3 == 0) weft::sleep_for(10us);
          if (i % 7 == 0) throw std::string(100, 'x');
          return std::string(static_cast<std::size_t>(i), 'y');
        }));
      }
      for (int i = 0; i < 300; i += 2) tasks[static_cast<std::size_t>(i)].wait();
      for (int i = 0; i < 50; ++i) {
        std::ignore = weft::spawn(weft::spawn_options{.name = "detached", .detached = true}, [] { weft::yield(); });
        auto dropped = weft::spawn([] { weft::sleep_for(1h); });
      }
      std::array<char, 3000> big{};  // past the largest class of records
      weft::spawn([big] { return big; }).wait();
      for (auto& t : tasks) {
        t.wait();
        (void)t.exception();
      }
      outlives = weft::spawn([] { return 5; });
      outlives.wait();
    });
    rt.shutdown();
    expect_no_leaks(rt);
    CHECK(outlives.get() == 5);
  };
  once();                       // what is allocated once and for all
  if (under_sanitizer) return;  // LeakSanitizer looks at the end
  auto const before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  constexpr int runs = 20;
  for (int i = 0; i < runs; ++i) once();
  auto const after = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  // One record that stays out keeps a chunk of 64 KiB in each run.
  CHECK(after < before + runs * std::size_t{4} * 1024);
}
