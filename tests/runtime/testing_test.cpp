/// @file
/// What tests of programs need: to wait until nothing moves, and to know that nothing is left.

#include <weft/runtime/testing.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/blocking.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::run_until_blocked;

namespace {

template <class E, class F>
bool throws(F&& f) {
  try {
    f();
  } catch (E const&) {
    return true;
  }
  return false;
}

template <class F>
std::string leak_found(F&& f) {
  try {
    f();
  } catch (weft::testing::leak const& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("run_until_blocked returns when all others rest, and before time passes", "[testing]") {
  auto const options = GENERATE(0, 1, 2);
  weft::runtime_options const o = options == 0   ? weft::testing::in_virtual_time()
                                  : options == 1 ? weft::testing::fifo()
                                                 : weft::runtime_options{.workers = 1};
  run_with(o, [options] {
    std::atomic<int> steps{0};
    std::atomic<bool> woken{false};
    weft::event go;
    auto const before = weft::testing::now();
    auto const chain = weft::spawn([&] {
      for (int i = 0; i < 50; ++i) {
        weft::yield();
        auto const child = weft::spawn([&] { steps.fetch_add(1); });
        child.wait();
      }
      go.wait();
      woken.store(true);
    });
    auto const sleeper = weft::spawn([&] {
      weft::sleep_for(1000h);
      steps.fetch_add(1);
    });
    run_until_blocked();
    verify(steps.load() == 50);
    verify(!woken.load());
    if (options == 0) verify(weft::testing::now() == before);
    go.set();
    run_until_blocked();
    verify(woken.load());
    verify(chain.ready() && !sleeper.ready());
  });
}

TEST_CASE("what others did before they came to rest comes before the return", "[testing]") {
  run_with(weft::testing::in_virtual_time(), [] {
    int plain = 0;  // ThreadSanitizer watches it
    auto const t = weft::spawn([&] {
      plain = 1;
      weft::sleep_for(1h);
      plain = 2;
    });
    run_until_blocked();
    verify(plain == 1);
    weft::sleep_for(2h);
    run_until_blocked();
    verify(plain == 2 && t.ready());
  });
}

TEST_CASE("several who wait for rest go on one by one", "[testing]") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    weft::testing::simulation sim{seed};
    sim.run([] {
      std::atomic<int> busy{0};
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 5; ++i) {
        tasks.push_back(weft::spawn([&] {
          run_until_blocked();
          verify(busy.fetch_add(1) == 0);
          for (int n = 0; n < 5; ++n) weft::yield();
          busy.fetch_sub(1);
        }));
      }
      for (auto& t : tasks) t.get();
    });
  }
}

TEST_CASE("who waits for rest can be cancelled", "[testing]") {
  run_with(weft::testing::in_virtual_time(), [] {
    std::atomic<bool> stop{false};
    auto const busy = weft::spawn([&] {
      while (!stop.load()) weft::yield();
    });
    auto t = weft::spawn([] { run_until_blocked(); });
    weft::yield();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    stop.store(true);
    run_until_blocked();
    verify(busy.ready());
  });
}

TEST_CASE("run_until_blocked works beside stand-ins", "[testing]") {
  watchdog dog{"the others to come to rest beside stand-ins"};
  weft::runtime rt{weft::runtime_options{.workers = 1}};
  for (int round = 0; round < 20; ++round) {
    rt.run([&] {
      std::atomic<bool> returned{false};
      std::atomic<bool> let_go{false};
      weft::event event;
      auto away = weft::spawn([&] {
        weft::blocking([&] {
          while (!let_go.load()) std::this_thread::yield();
        });
        weft::yield();
        returned = true;
        event.wait();
      });
      std::thread other{[&] { let_go = true; }};
      run_until_blocked();
      verify(returned.load());
      event.set();
      away.get();
      other.join();
      verify(throws<weft::error>([] { weft::testing::expect_no_leaks(); }));
    });
    dog.feed();
  }
  weft::testing::expect_no_leaks(rt);
}

TEST_CASE("run_until_blocked works beside a spare worker that is no longer needed", "[testing]") {
  watchdog dog{"the others to come to rest beside a spare worker"};
  weft::runtime rt{weft::runtime_options{.workers = 1, .spare_workers = 1}};
  for (int round = 0; round < 20; ++round) {
    rt.run([&] {
      weft::event event;
      bool rests = false;
      auto computes = weft::spawn([&] {
        auto const until = weft::clock::now() + 8ms;  // long enough that the other one is called
        while (weft::clock::now() < until) {
        }
        rests = true;
        event.wait();
      });
      run_until_blocked();
      verify(rests);
      event.set();
      computes.get();
    });
    dog.feed();
  }
}

TEST_CASE("run_until_blocked says where it cannot work", "[testing]") {
  CHECK_THROWS_AS(run_until_blocked(), weft::no_runtime);
  CHECK_THROWS_AS(weft::testing::expect_no_leaks(), weft::no_runtime);
  run_on(2, [] {
    verify(throws<weft::error>([] { run_until_blocked(); }));
    verify(throws<weft::error>([] { weft::testing::expect_no_leaks(); }));
  });
}

TEST_CASE("expect_no_leaks passes when nothing is left, and a record on its way back is waited for", "[testing]") {
  weft::runtime rt{on(some_workers())};
  weft::testing::expect_no_leaks(rt);
  for (int i = 0; i < 200; ++i) {
    rt.run([] {
      for (int n = 0; n < 10; ++n) (void)weft::spawn({.detached = true}, [] { weft::yield(); });
      for (int n = 0; n < 10; ++n) weft::spawn([] {}).wait();
    });
    while (rt.live_fibers() != 0) std::this_thread::yield();
    weft::testing::expect_no_leaks(rt);
  }
}

TEST_CASE("expect_no_leaks finds a fiber that lives, and a handle that is out", "[testing]") {
  weft::runtime rt{on(some_workers())};
  weft::event go;
  auto waiting = rt.spawn([&] { go.wait(); });
  while (leak_found([&] { weft::testing::expect_no_leaks(rt); }).find("waiting for 'event'") == std::string::npos) {
  }
  CHECK_THAT(leak_found([&] { weft::testing::expect_no_leaks(rt); }), Catch::Matchers::Contains("1 fiber lives"));
  go.set();
  waiting.wait();
  CHECK_THAT(leak_found([&] { weft::testing::expect_no_leaks(rt); }), Catch::Matchers::Contains("1 handle refers"));
  std::vector<weft::task<int>> ended;
  rt.run([&] {
    for (int i = 0; i < 3; ++i) ended.push_back(weft::spawn([] { return 1; }));
    for (auto& t : ended) t.wait();
  });
  CHECK_THAT(leak_found([&] { weft::testing::expect_no_leaks(rt); }), Catch::Matchers::Contains("4 handles refer"));
  ended.clear();
  waiting.detach();
  weft::testing::expect_no_leaks(rt);
}

TEST_CASE("expect_no_leaks on a fiber names what is left in its own runtime", "[testing]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::testing::expect_no_leaks();
    weft::event go;
    auto reader = weft::spawn({.name = "reader"}, [&] { go.wait(); });
    auto ended = weft::spawn([] {});
    run_until_blocked();
    auto const what = leak_found([] { weft::testing::expect_no_leaks(); });
    verify(what == "weft: left over: 1 fiber: 'reader' waiting for 'event'; 1 handle of ended tasks");
    go.set();
    reader = {};
    ended = {};
    weft::testing::expect_no_leaks();
  });
  weft::runtime rt{weft::testing::fifo()};
  rt.run([&] { verify(throws<weft::error>([&] { weft::testing::expect_no_leaks(rt); })); });
}

TEST_CASE("a stopped runtime has no leaks", "[testing]") {
  weft::runtime rt{on(1)};
  rt.shutdown();
  weft::testing::expect_no_leaks(rt);
}
