/// @file
/// Memory and system calls that fail, at each place where they can: for every public entry point the n-th call fails,
/// once or from then on, for n = 1, 2, ... until the entry point needs no n-th. Each time only a documented error may
/// come out, nothing may be left behind, and the next call must work.
///
/// An entry point is a line of the table: what it may throw, and a call. What the call needs is made before inject().

#include "faults.hpp"

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include "stack_pool.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <new>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

// What an entry point may throw.
constexpr unsigned nothing = 0;
constexpr unsigned bad_alloc = 1;
constexpr unsigned system_error = 2;
constexpr unsigned no_stack = 4;

/// One run of one entry point.
class stage {
public:
  /// @param n  which call fails; 0: none
  stage(faults::kind which, std::uint64_t n, bool on_and_on, unsigned may_throw)
      : which_(which), n_(n), on_and_on_(on_and_on), may_throw_(may_throw) {}

  /// Calls `f`, and has it fail.
  template <class F>
  void inject(F&& f) {
    if (n_ == 0) return f();
    faults::arm(which_, n_, on_and_on_);
    try {
      f();
      struck_ = faults::disarm();
    } catch (std::bad_alloc const&) {
      judge(bad_alloc, "std::bad_alloc");
    } catch (std::system_error const& e) {
      judge(system_error, e.what());
    } catch (weft::stack_unavailable const& e) {
      judge(no_stack, e.what());
    } catch (std::exception const& e) {
      judge(0, e.what());
    } catch (...) {
      judge(0, "not a std::exception");
    }
  }

  [[nodiscard]] std::uint64_t struck() const noexcept { return struck_; }
  [[nodiscard]] std::string const& undocumented() const noexcept { return undocumented_; }

private:
  void judge(unsigned thrown, char const* what) {
    struck_ = faults::disarm();
    if ((may_throw_ & thrown) == 0 || struck_ == 0) undocumented_ = what;
  }

  faults::kind which_;
  std::uint64_t n_;
  bool on_and_on_;
  unsigned may_throw_;
  std::uint64_t struck_ = 0;
  std::string undocumented_;
};

struct entry_point {
  char const* name;
  unsigned may_throw;
  std::function<void(stage&)> call;
};

weft::runtime_options small(std::size_t workers = 1) {
  weft::runtime_options options{.workers = workers, .name = "a runtime with a name that is too long to fit in place"};
  options.offload_threads = 2;
  options.on_unhandled_exception = [](std::exception_ptr const&, std::string_view) {};
  return options;
}

struct large {
  std::array<char, 3000> bytes{};
};

constexpr char const* long_name = "a name that is too long to fit in place";
constexpr unsigned spawn_errors = bad_alloc | no_stack;
constexpr unsigned start_errors = bad_alloc | system_error;

/// Called on a thread, without a runtime.
std::vector<entry_point> const from_outside{
    {"runtime::runtime", start_errors, [](stage& s) { s.inject([] { weft::runtime const rt{small()}; }); }},
    {"runtime::runtime, three workers", start_errors,
     [](stage& s) { s.inject([] { weft::runtime const rt{small(3)}; }); }},
    {"runtime::runtime, by default", start_errors, [](stage& s) { s.inject([] { weft::runtime const rt; }); }},
    {"runtime::start", start_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       rt.shutdown();
       s.inject([&] { rt.start(); });
       rt.shutdown();
       rt.start();
       verify(rt.run([] { return 1; }) == 1);
     }},
    {"runtime::run", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] { verify(rt.run([] { return 1; }) == 1); });
       verify(rt.run([] { return 2; }) == 2);
     }},
    {"runtime::spawn", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] { verify(rt.spawn([] { return 1; }).get() == 1); });
       verify(rt.spawn([] { return 2; }).get() == 2);
     }},
    {"runtime::spawn, with a name and arguments", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] { verify(rt.spawn({.name = long_name}, [](int a) { return a; }, 1).get() == 1); });
     }},
    {"runtime::spawn, a large callable", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] { verify(rt.spawn([l = large{}] { return l.bytes[5] + 1; }).get() == 1); });
     }},
    {"runtime::shutdown", nothing,
     [](stage& s) {
       weft::runtime rt{small()};
       weft::event never_set;
       auto left = rt.spawn([&] { never_set.wait(); });
       s.inject([&] { rt.shutdown(); });
       verify(left.ready() && left.exception() != nullptr);
     }},
    {"runtime::stack_usage", bad_alloc,
     [](stage& s) {
       auto options = small();
       options.measure_stacks = true;
       weft::runtime rt{options};
       rt.run([] {});
       s.inject([&] { (void)rt.stack_usage(); });
     }},
    {"runtime::release_stacks", nothing,
     [](stage& s) {
       weft::runtime rt{small()};
       rt.run([] {});
       s.inject([&] { (void)rt.release_stacks(); });
     }},
    {"runtime::workers and live_fibers", nothing,
     [](stage& s) {
       weft::runtime const rt{small()};
       s.inject([&] { verify(rt.workers() == 1 && rt.live_fibers() == 0); });
     }},
    {"weft::run", start_errors | spawn_errors,
     [](stage& s) { s.inject([] { verify(weft::run([] { return 1; }, small()) == 1); }); }},
    {"simulation::run", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::testing::simulation sim{1, {.report_failure = false}};
         verify(sim.run([] { return weft::spawn([] { return 1; }).get(); }) == 1);
       });
     }},
    {"testing::expect_no_leaks, from outside", nothing,
     [](stage& s) {
       weft::runtime const rt{small()};
       s.inject([&] { weft::testing::expect_no_leaks(rt); });
     }},
    {"event, from a thread", nothing,
     [](stage& s) {
       weft::event e;
       s.inject([&] {
         verify(!e.wait_for(1ns));
         e.set();
         e.wait();
       });
     }},
    {"waiter and sleep, from a thread", nothing,
     [](stage& s) {
       s.inject([] {
         weft::waiter self{"nothing"};
         verify(self.notify());
         verify(self.wait() == weft::wake_cause::notified);
         weft::sleep_for(1ns);
         weft::yield();
       });
     }},
};

weft::task<int> ended_task() {
  auto t = weft::spawn({.name = "ended"}, [] { return 1; });
  t.wait();
  return t;
}

weft::task<void> waiting_task(weft::event& e) {
  auto t = weft::spawn([&] { e.wait(); });
  weft::yield();
  return t;
}

/// Called on a fiber of a fresh runtime with one worker.
std::vector<entry_point> const from_a_fiber{
    {"spawn", spawn_errors, [](stage& s) { s.inject([] { verify(weft::spawn([] { return 1; }).get() == 1); }); }},
    {"spawn, with arguments", spawn_errors,
     [](stage& s) { s.inject([] { verify(weft::spawn([](int a, int b) { return a + b; }, 1, 2).get() == 3); }); }},
    {"spawn, a callable that is not trivial", spawn_errors,
     [](stage& s) {
       std::string const text = long_name;
       s.inject([&] { verify(weft::spawn([text] { return text.size(); }).get() == text.size()); });
     }},
    {"spawn, a large callable", spawn_errors,
     [](stage& s) { s.inject([] { verify(weft::spawn([l = large{}] { return l.bytes[7] + 1; }).get() == 1); }); }},
    {"spawn, named", spawn_errors,
     [](stage& s) { s.inject([] { verify(weft::spawn({.name = long_name}, [] { return 1; }).get() == 1); }); }},
    {"spawn, eager", spawn_errors,
     [](stage& s) {
       s.inject([] { verify(weft::spawn({.start = weft::start::eager}, [] { return 1; }).get() == 1); });
     }},
    {"spawn, eager, which waits", spawn_errors,
     [](stage& s) {
       s.inject([] {
         auto t = weft::spawn({.start = weft::start::eager}, [] {
           weft::yield();
           return 1;
         });
         verify(t.get() == 1);
       });
     }},
    {"spawn, detached", spawn_errors,
     [](stage& s) {
       s.inject([] {
         (void)weft::spawn({.name = long_name, .detached = true}, [] {});
         weft::testing::run_until_blocked();
       });
     }},
    {"spawn, stack size", spawn_errors,
     [](stage& s) { s.inject([] { verify(weft::spawn({.stack_size = 32 * 1024}, [] { return 1; }).get() == 1); }); }},
    {"spawn, many that wait", spawn_errors,
     [](stage& s) {
       weft::event go;
       std::vector<weft::task<void>> tasks;
       tasks.reserve(70);
       s.inject([&] {
         for (int i = 0; i < 70; ++i) tasks.push_back(weft::spawn([&] { go.wait(); }));
         weft::testing::run_until_blocked();
         go.set();
         for (auto& t : tasks) t.get();
       });
       go.set();
     }},
    {"task::get", nothing,
     [](stage& s) {
       auto t = ended_task();
       s.inject([&] { verify(t.get() == 1); });
     }},
    {"task::get, of one that waits", nothing,
     [](stage& s) {
       weft::event e;
       auto t = waiting_task(e);
       auto const setter = weft::spawn([&] { e.set(); });
       s.inject([&] { t.get(); });
     }},
    {"task::wait, wait_for and wait_until", nothing,
     [](stage& s) {
       weft::event e;
       auto const t = waiting_task(e);
       auto const ended = ended_task();
       s.inject([&] {
         verify(!t.wait_for(1ns) && !t.wait_until(weft::testing::now() + 1ns));
         ended.wait();
         verify(ended.wait_for(1h));
       });
       e.set();
     }},
    {"task::cancel, before it has begun", nothing,
     [](stage& s) {
       auto t = weft::spawn([] {});
       s.inject([&] {
         t.cancel();
         t.wait();
         verify(t.exception() != nullptr);
       });
     }},
    {"task::cancel, while it waits", nothing,
     [](stage& s) {
       weft::event e;
       auto t = waiting_task(e);
       s.inject([&] {
         t.cancel();
         t.wait();
         verify(t.exception() != nullptr);
       });
     }},
    {"task::on_done", bad_alloc,
     [](stage& s) {
       weft::event e;
       auto const t = waiting_task(e);
       int called = 0;
       s.inject([&] { t.on_done([&] { ++called; }); });
       e.set();
       t.wait();
       verify(called == (s.struck() == 0 ? 1 : 0));
     }},
    {"task::on_done, ended", bad_alloc,
     [](stage& s) {
       auto const t = ended_task();
       int called = 0;
       s.inject([&] { t.on_done([&] { ++called; }); });
       verify(called == (s.struck() == 0 ? 1 : 0));
     }},
    {"task::exception, ready and name", nothing,
     [](stage& s) {
       auto const t = ended_task();
       s.inject([&] { verify(t.exception() == nullptr && t.ready() && t.name() == "ended"); });
     }},
    {"task::detach", nothing,
     [](stage& s) {
       weft::event e;
       auto t = waiting_task(e);
       s.inject([&] {
         t.detach();
         e.set();
         weft::testing::run_until_blocked();
       });
     }},
    {"task, assigned and destroyed", nothing,
     [](stage& s) {
       weft::event e;
       auto t = waiting_task(e);
       s.inject([&] { t = {}; });
     }},
    {"sleep_for, sleep_until and yield", nothing,
     [](stage& s) {
       s.inject([] {
         weft::sleep_for(1ns);
         weft::sleep_until(weft::testing::now() + 1ns);
         weft::yield();
       });
     }},
    {"this_fiber", nothing,
     [](stage& s) {
       s.inject([] {
         verify(weft::this_fiber::get_id() != weft::fiber_id{} && weft::this_fiber::worker() == 0);
         verify(weft::this_fiber::name().empty() && !weft::this_fiber::cancel_requested());
       });
     }},
    {"event", nothing,
     [](stage& s) {
       weft::event e;
       auto const setter = weft::spawn([&] {
         weft::yield();
         e.set();
       });
       s.inject([&] {
         verify(!e.wait_for(0ns));
         e.wait();
         e.reset();
         verify(!e.wait_for(1ns));
       });
     }},
    {"waiter", nothing,
     [](stage& s) {
       s.inject([] {
         weft::waiter self{"nothing"};
         verify(self.wait(weft::testing::now() + 1ns) == weft::wake_cause::timed_out);
       });
     }},
    {"offload", start_errors, [](stage& s) { s.inject([] { verify(weft::offload([] { return 1; }) == 1); }); }},
    {"offload, with a stop token", start_errors,
     [](stage& s) {
       s.inject([] { verify(weft::offload([](std::stop_token t) { return t.stop_requested() ? 0 : 1; }) == 1); });
     }},
    {"offload, a second thread", bad_alloc,
     [](stage& s) {
       std::atomic<bool> go{false};
       auto other = weft::spawn([&] {
         weft::offload([&] {
           while (!go.load()) std::this_thread::yield();
         });
       });
       weft::yield();
       s.inject([&] {
         go.store(true);
         verify(weft::offload([] { return 1; }) == 1);
       });
       go.store(true);
       other.get();
     }},
    {"runtime::run, of another runtime", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::runtime rt{small()};
         verify(rt.run([] { return 1; }) == 1);
       });
     }},
    {"testing::run_until_blocked", nothing, [](stage& s) { s.inject([] { weft::testing::run_until_blocked(); }); }},
    {"testing::expect_no_leaks", nothing, [](stage& s) { s.inject([] { weft::testing::expect_no_leaks(); }); }},
};

std::size_t entries_of(char const* directory) {
  std::size_t count = 0;
  for (auto const& e : std::filesystem::directory_iterator{directory}) count += e.path().empty() ? 0U : 1U;
  return count;
}

struct holdings {
  std::int64_t blocks;
  std::size_t descriptors;
  friend bool operator==(holdings const&, holdings const&) = default;
};

/// When no thread is left but this one and the watchdog's, which ends the wait if some stays. (One that has been joined
/// is still in /proc for a moment.)
holdings what_is_held() {
  while (entries_of("/proc/self/task") != 2) std::this_thread::yield();
  auto const descriptors = entries_of("/proc/self/fd");
  return {faults::blocks_in_use(), descriptors};
}

bool nothing_left_since(holdings const& before) {
  auto const now = what_is_held();
  if (now == before) return true;
  std::fprintf(stderr, "blocks %lld -> %lld, descriptors %zu -> %zu\n", static_cast<long long>(before.blocks),
               static_cast<long long>(now.blocks), before.descriptors, now.descriptors);
  return false;
}

struct totals {
  std::size_t entry_points = 0;
  std::size_t runs = 0;
  std::size_t failures = 0;
};

void call(entry_point const& e, bool on_fiber, stage& s) {
  stage again{faults::kind::memory, 0, false, nothing};
  if (!on_fiber) {
    e.call(s);
    return e.call(again);
  }
  weft::runtime rt{small()};
  rt.run([&] {
    e.call(s);
    e.call(again);
  });
  weft::testing::expect_no_leaks(rt);
}

void exhaust(entry_point const& e, bool on_fiber, faults::kind which, bool on_and_on, watchdog& dog, totals& total) {
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(e.name, n, on_and_on, which == faults::kind::memory);
    auto const before = what_is_held();
    std::uint64_t struck = 0;
    std::string undocumented;
    {
      stage s{which, n, on_and_on, e.may_throw};
      REQUIRE_NOTHROW(call(e, on_fiber, s));
      struck = s.struck();
      undocumented = s.undocumented();
    }
    CHECK(undocumented == "");
    undocumented = {};
    REQUIRE(nothing_left_since(before));
    dog.feed();
    ++total.runs;
    total.failures += struck;
    if (struck == 0) return;
    REQUIRE(n < 1000);
  }
}

totals exhaust(std::vector<entry_point> const& table, bool on_fiber) {
  totals total;
  watchdog dog{"failure injection", 60s};
  for (auto const& e : table) {
    for (int i = 0; i < 3; ++i) {  // what libraries make once, and keep
      stage none{faults::kind::memory, 0, false, nothing};
      call(e, on_fiber, none);
    }
    ++total.entry_points;
    for (auto const which : {faults::kind::memory, faults::kind::system}) {
      for (bool const on_and_on : {false, true}) exhaust(e, on_fiber, which, on_and_on, dog, total);
    }
  }
  std::printf("failure injection: %zu entry points, %zu runs, %zu failures\n", total.entry_points, total.runs,
              total.failures);
  return total;
}

}  // namespace

TEST_CASE(
    "whatever call for memory or to the system fails, each entry point from outside fails cleanly and works again",
    "[failure][rule17]") {
  auto const total = exhaust(from_outside, false);
  CHECK(total.failures > 3 * total.entry_points);
}

TEST_CASE("whatever call for memory or to the system fails, each entry point on a fiber fails cleanly and works again",
          "[failure][rule17]") {
  auto const total = exhaust(from_a_fiber, true);
  CHECK(total.failures > total.entry_points);
}
