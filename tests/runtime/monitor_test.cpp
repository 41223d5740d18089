/// @file
/// Workers that are stuck: one report, with the fiber's name and where it is; and others that take their place.

#include <weft/runtime/blocking.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// What the monitor reported.
class slow_log {
public:
  [[nodiscard]] auto handler() {
    return [this](weft::slow_callback const& slow) {
      std::lock_guard const lock{mutex_};
      reports_.push_back(slow);
    };
  }
  [[nodiscard]] std::vector<weft::slow_callback> of(std::string const& name) const {
    std::lock_guard const lock{mutex_};
    std::vector<weft::slow_callback> found;
    std::copy_if(reports_.begin(), reports_.end(), std::back_inserter(found),
                 [&](weft::slow_callback const& s) { return s.name == name; });
    return found;
  }
  [[nodiscard]] std::size_t count(std::string const& name) const { return of(name).size(); }

private:
  mutable std::mutex mutex_;
  std::vector<weft::slow_callback> reports_;
};

}  // namespace

/// Not in the unnamed namespace: its name is to be found among the program's dynamic symbols.
[[gnu::noinline]] void spin_until_reported(slow_log const& log, std::string const& name) {
  while (log.count(name) == 0) std::this_thread::yield();
}

TEST_CASE("a fiber that keeps its worker is reported once, with its name and where it is", "[monitor]") {
  if (under_tsan) return;  // which delivers signals only when the program calls into the system
  auto const workers = some_workers();
  slow_log log;
  watchdog dog{"a report"};
  auto options = on(workers);
  options.slow_callback_duration = 20ms;
  options.on_slow_callback = log.handler();
  run_with(options, [&] {
    auto busy = weft::spawn(weft::spawn_options{.name = "busy bee"}, [&] {
      spin_until_reported(log, "busy bee");
      // As long as it took until the report, twice over: there is no second one.
      auto const end = weft::clock::now() + 60ms;
      while (weft::clock::now() < end) {
      }
      return weft::this_fiber::get_id();
    });
    auto const id = busy.get();
    auto const reports = log.of("busy bee");
    verify(reports.size() == 1);
    verify(reports[0].fiber == id);
    verify(reports[0].busy >= 20ms);
    verify(reports[0].worker < workers + (migration_forced() ? 1 : 0));
    verify(reports[0].stack.size() > 2);
  });
}

TEST_CASE("a fiber that is slow again is reported again, one that yields is not", "[monitor]") {
  if (under_tsan) return;
  slow_log log;
  watchdog dog{"two reports"};
  weft::runtime_options options{.workers = 1, .slow_callback_duration = 20ms, .on_slow_callback = log.handler()};
  options.order = GENERATE(weft::scheduling::work_stealing, weft::scheduling::fifo);
  run_with(options, [&] {
    weft::spawn(weft::spawn_options{.name = "twice"}, [&] {
      for (std::size_t n = 1; n <= 2; ++n) {
        while (log.count("twice") < n) {
        }
        weft::yield();
      }
    }).get();
    auto const end = weft::clock::now() + 100ms;
    weft::spawn(weft::spawn_options{.name = "fair"}, [&] {
      while (weft::clock::now() < end) weft::yield();
    }).get();
  });
  CHECK(log.count("twice") == 2);
  CHECK(log.count("fair") == 0);
}

TEST_CASE("a report's handler may throw", "[monitor]") {
  if (under_tsan) return;
  std::atomic<int> calls{0};
  watchdog dog{"a throwing handler"};
  auto const throwing = [&](weft::slow_callback const&) {
    calls.fetch_add(1);
    throw std::runtime_error("no");
  };
  run_with({.workers = 1, .slow_callback_duration = 5ms, .on_slow_callback = throwing}, [&] {
    while (calls.load() == 0) {
    }
  });
  CHECK(calls.load() >= 1);
}

TEST_CASE("a program that handles SIGURG itself keeps it", "[monitor]") {
  struct sigaction before{};
  static std::atomic<int> seen{0};
  struct sigaction theirs{};
  theirs.sa_handler = [](int) { seen.fetch_add(1); };
  REQUIRE(::sigaction(SIGURG, &theirs, &before) == 0);
  slow_log log;
  std::atomic<int> reports{0};
  watchdog dog{"a report without a stack"};
  run_with({.workers = 1,
            .slow_callback_duration = 5ms,
            .on_slow_callback =
                [&](weft::slow_callback const& slow) {
                  if (slow.stack.empty() && slow.fiber == weft::fiber_id{}) reports.fetch_add(1);
                }},
           [&] {
             while (reports.load() == 0) {
             }
           });
  CHECK(seen.load() == 0);
  struct sigaction after{};
  ::sigaction(SIGURG, &before, &after);
  CHECK(after.sa_handler == theirs.sa_handler);
}

TEST_CASE("a spare worker takes the place of one that is stuck", "[monitor][spare]") {
  watchdog dog{"fibers beside one that never gives way"};
  run_with({.workers = 1, .slow_callback_duration = 0ms, .spare_workers = 1}, [&] {
    std::atomic<int> served{0};
    std::vector<weft::task<void>> others;
    for (int i = 0; i < 100; ++i) {
      others.push_back(weft::spawn([&] {
        weft::sleep_for(1ms);
        weft::yield();
        served.fetch_add(1);
      }));
    }
    weft::yield();  // all of them have begun to sleep
    // Never gives way before all others have been served: only another thread can have done that.
    while (served.load() < 100) {
    }
    for (auto& t : others) t.get();
  });
}

TEST_CASE("a spare worker rests when it is not needed any more, and comes again", "[monitor][spare]") {
  watchdog dog{"a spare worker, again and again"};
  run_with({.workers = 2, .slow_callback_duration = 0ms, .spare_workers = 2}, [&] {
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> stuck{0};
      std::atomic<bool> served{false};
      std::vector<weft::task<void>> holders;
      for (int i = 0; i < 2; ++i) {
        holders.push_back(weft::spawn([&] {
          stuck.fetch_add(1);
          while (!served.load()) {
          }
        }));
      }
      auto other = weft::spawn([&] {
        while (stuck.load() < 2) weft::yield();
        served.store(true);
      });
      for (auto& h : holders) h.get();
      other.get();
      dog.feed();
    }
  });
}

TEST_CASE("rule 20: blocking calls in place, and another thread goes on with the others", "[blocking][rule20]") {
  auto const workers = some_workers();
  watchdog dog{"fibers beside a call that blocks"};
  run_with({.workers = workers}, [&] {
    std::atomic<std::size_t> inside{0};
    std::atomic<bool> go_on{false};
    std::vector<weft::task<void>> blocked;
    // One more than there are workers: the last gets in only if somebody stands in for the first.
    for (std::size_t i = 0; i <= workers; ++i) {
      blocked.push_back(weft::spawn([&] {
        auto const thread = std::this_thread::get_id();
        weft::blocking([&] {
          verify(std::this_thread::get_id() == thread);
          inside.fetch_add(1);
          while (!go_on.load()) std::this_thread::yield();
        });
      }));
    }
    auto opener = weft::spawn([&] {
      while (inside.load() <= workers) weft::sleep_for(1ms);
      go_on.store(true);
    });
    for (auto& b : blocked) b.get();
    opener.get();
  });
}

TEST_CASE("rule 20: blocking gives back what its callable does", "[blocking][rule20]") {
  CHECK(weft::blocking([] { return 1; }) == 1);  // outside of a runtime too
  run_on(some_workers(), [] {
    int x = 0;
    verify(&weft::blocking([&]() -> int& { return x; }) == &x);
    weft::blocking([] {});
    bool thrown = false;
    try {
      weft::blocking([]() -> int { throw std::runtime_error("inside"); });
    } catch (std::runtime_error const& e) {
      thrown = std::string(e.what()) == "inside";
    }
    verify(thrown);
    weft::event e;
    auto setter = weft::spawn([&] { e.set(); });
    weft::blocking([&] { e.wait(); });  // a wait inside is an ordinary one
    setter.get();
  });
}

TEST_CASE("blocking calls beyond what can be stood in for only hold up their worker", "[blocking]") {
  watchdog dog{"many blocking calls"};
  run_with({.workers = 2}, [&] {
    std::vector<weft::task<int>> tasks;
    for (int i = 0; i < 500; ++i) {
      tasks.push_back(weft::spawn([i] {
        return weft::blocking([i] {
          std::this_thread::yield();
          return i;
        });
      }));
    }
    int sum = 0;
    for (auto& t : tasks) sum += t.get();
    verify(sum == 499 * 500 / 2);
  });
}

TEST_CASE("the monitor, asleep while all workers are, wakes up with them", "[monitor]") {
  if (under_tsan) return;
  slow_log log;
  watchdog dog{"reports after rests"};
  weft::runtime rt{{.workers = 2, .slow_callback_duration = 4ms, .on_slow_callback = log.handler()}};
  for (std::size_t n = 1; n <= 10; ++n) {
    std::this_thread::sleep_for(12ms);  // for the monitor to go to sleep; if it does not, the test says less
    rt.spawn(weft::spawn_options{.name = "n"}, [&] {
        while (log.count("n") < n) {
        }
      }).get();
    dog.feed();
  }
}
