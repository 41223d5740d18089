/// @file
/// What a program may do with the workers' threads: hooks at their beginning and end, and the CPUs that they use.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/threads.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/blocking.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <map>
#include <mutex>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace weft::test;

namespace {

std::vector<int> cpus_of_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// Threads as the kernel counts them: std::this_thread::get_id() may be kept across a yield that changes the thread.
struct hook_log {
  std::mutex mutex;
  std::map<std::size_t, pid_t> started;
  std::map<std::size_t, pid_t> stopped;
};

weft::runtime_options hooked(hook_log& log, weft::runtime_options options) {
  options.on_worker_start = [&log](std::size_t worker) {
    verify(weft::this_fiber::get_id() == weft::fiber_id{});
    std::lock_guard const lock{log.mutex};
    log.started[worker] = ::gettid();
  };
  options.on_worker_stop = [&log](std::size_t worker) {
    std::lock_guard const lock{log.mutex};
    log.stopped[worker] = ::gettid();
  };
  return options;
}

}  // namespace

TEST_CASE("on_worker_start and on_worker_stop are called once on each worker's thread", "[runtime]") {
  auto const workers = some_workers();
  hook_log log;
  weft::runtime rt{hooked(log, on(workers))};
  CHECK(log.started.size() == rt.workers());  // the constructor has waited for all
  CHECK(log.stopped.empty());
  rt.run([&] {
    for (int i = 0; i < 20; ++i) {
      auto const worker = static_cast<std::size_t>(weft::this_fiber::worker());
      verify(log.started.at(worker) == ::gettid());
      weft::yield();
    }
  });
  rt.shutdown();
  CHECK(log.started == log.stopped);
  log.started.clear();
  rt.start();
  CHECK(log.started.size() == rt.workers());
}

TEST_CASE("on_worker_start may ask for its runtime, also where that is started again", "[runtime]") {
  watchdog dog{"a restart"};
  std::atomic<weft::runtime const*> at{nullptr};
  std::atomic<std::size_t> asked{0};
  weft::runtime_options options{.workers = 2};
  options.on_worker_start = [&](std::size_t) {
    if (auto const* const rt = at.load()) asked += 1 + rt->live_fibers();
  };
  weft::runtime rt{options};
  at = &rt;
  rt.shutdown();
  rt.start();
  CHECK(asked.load() == 2);
  CHECK_THROWS_AS(rt.start(), weft::error);
  CHECK(rt.run([] { return 1; }) == 1);
}

TEST_CASE("what on_worker_start throws leaves the constructor, and nothing is left behind", "[runtime][bad-input]") {
  (void)weft::run([] { return 0; });
  auto const threads = weft::test::threads_of_process();
  for (std::size_t bad = 0; bad < 3; ++bad) {
    std::atomic<int> started{0};
    std::atomic<int> stopped{0};
    weft::runtime_options options{.workers = 3};
    options.on_worker_start = [&](std::size_t worker) {
      if (worker == bad) throw std::out_of_range("worker " + std::to_string(worker));
      ++started;
    };
    options.on_worker_stop = [&](std::size_t) { ++stopped; };
    std::string what;
    try {
      weft::runtime const rt{options};
    } catch (std::out_of_range const& e) {
      what = e.what();
    }
    CHECK(what == "worker " + std::to_string(bad));
    CHECK(started.load() == 2);
    CHECK(stopped.load() == 2);  // of those that had begun
    CHECK(weft::test::threads_come_down_to(threads));
  }
}

TEST_CASE("what on_worker_stop throws is reported", "[runtime][bad-input]") {
  unhandled_log log;
  {
    weft::runtime const rt{{.workers = 2, .on_unhandled_exception = log.handler(), .on_worker_stop = [](std::size_t) {
                              throw std::runtime_error("at the end");
                            }}};
  }
  CHECK(log.lines() == std::vector<std::string>(2, "on_worker_stop: at the end"));
}

TEST_CASE("workers are pinned to the CPUs named, and no other thread is", "[runtime]") {
  auto const allowed = cpus_of_thread();
  std::vector<int> const named{allowed.front(), allowed.back(), allowed.front()};
  hook_log log;
  std::map<std::size_t, std::vector<int>> at_start;
  auto options = hooked(log, {.workers = 4, .offload_threads = 2, .affinity = named});
  auto const note = options.on_worker_start;
  options.on_worker_start = [&](std::size_t worker) {
    note(worker);
    std::lock_guard const lock{log.mutex};
    at_start[worker] = cpus_of_thread();
  };
  weft::runtime rt{options};
  for (std::size_t w = 0; w < 4; ++w) CHECK(at_start[w] == std::vector<int>{named[w % named.size()]});
  CHECK(cpus_of_thread() == allowed);
  rt.run([&] {
    auto const worker = static_cast<std::size_t>(weft::this_fiber::worker());
    verify(cpus_of_thread() == std::vector<int>{named[worker % named.size()]});
    // Pool threads are made by workers, and so are those of a runtime within: they must not inherit the pin.
    weft::offload([&] { verify(cpus_of_thread() == allowed); });
    weft::runtime inner{{.workers = 1}};
    inner.run([&] { verify(cpus_of_thread() == allowed); });
    weft::runtime const every{{}};
    verify(every.workers() >= 1);
    auto const after = static_cast<std::size_t>(weft::this_fiber::worker());
    verify(cpus_of_thread() == std::vector<int>{named[after % named.size()]});
  });
  CHECK(weft::runtime{{.affinity = named}}.workers() == named.size());
}

TEST_CASE("a CPU that cannot be had is refused by its number", "[runtime][bad-input]") {
  for (int const bad : {-1, 100'000, 1023}) {
    auto const allowed = cpus_of_thread();
    if (std::find(allowed.begin(), allowed.end(), bad) != allowed.end()) continue;
    std::string what;
    try {
      weft::runtime const rt{{.workers = 1, .affinity = {allowed.front(), bad}}};
    } catch (std::invalid_argument const& e) {
      what = e.what();
    }
    CHECK(what.find("affinity") != std::string::npos);
    CHECK(what.find(std::to_string(bad)) != std::string::npos);
  }
}

TEST_CASE("a stand-in leaves the work to others when it is not needed any longer", "[runtime][blocking]") {
  watchdog dog{"a stand-in that should rest"};
  constexpr int fibers = 5;
  constexpr int enough = under_sanitizer ? 100'000 : 1'000'000;
  weft::runtime rt{{.workers = 1}};
  std::atomic<int> last_worker{0};
  std::atomic<int> in_a_row{0};
  std::atomic<int> on_stand_in{0};
  rt.run([&] {
    int const own = weft::this_fiber::worker();
    auto const yield_on = [&] {
      while (in_a_row.load() < enough) {
        int const here = weft::this_fiber::worker();
        if (here != own) ++on_stand_in;
        in_a_row.store(last_worker.exchange(here) == here ? in_a_row.load() + 1 : 0);
        weft::yield();
      }
    };
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < fibers; ++i) tasks.push_back(weft::spawn(yield_on));
    weft::blocking([&] {
      while (on_stand_in.load() < 1000) std::this_thread::yield();
    });
    for (auto& t : tasks) t.get();
  });
  CHECK(on_stand_in.load() >= 1000);
  {
    auto const kept = rt.spawn([] {});
    kept.wait();
    CHECK_THROWS_AS(weft::testing::expect_no_leaks(rt), weft::testing::leak);  // one that rests does not hold it up
  }
  weft::testing::expect_no_leaks(rt);
}

TEST_CASE("a stand-in whose on_worker_start throws runs all the same, and is not stopped", "[runtime][blocking]") {
  unhandled_log log;
  std::atomic<int> started{0};
  std::vector<std::size_t> stopped;
  std::mutex mutex;
  weft::runtime_options options{.workers = 1};
  options.on_unhandled_exception = log.handler();
  options.on_worker_start = [&](std::size_t worker) {
    ++started;
    if (worker != 0) throw std::runtime_error("none of this");
  };
  options.on_worker_stop = [&](std::size_t worker) {
    std::lock_guard const lock{mutex};
    stopped.push_back(worker);
  };
  run_with(options, [] {
    std::atomic<bool> ran{false};
    auto other = weft::spawn([&] { ran.store(true); });
    weft::blocking([&] {
      while (!ran.load()) std::this_thread::yield();
    });
    other.get();
  });
  CHECK(started.load() == 2);
  CHECK(stopped == std::vector<std::size_t>{0});
  CHECK(log.lines() == std::vector<std::string>{"on_worker_start: none of this"});
}
