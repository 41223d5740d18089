/// @file
/// Failures at each place in what starts and runs fibers: runtimes, spawn, tasks, waits, offload.

#include "injection.hpp"

#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using namespace weft::test::injection;

namespace {

struct large {
  std::array<char, 3000> bytes{};
};

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
