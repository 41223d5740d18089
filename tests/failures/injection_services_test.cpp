/// @file
/// Failures at each place in what is built on fibers: timers, futures, values of fibers, pools, reports, guests,
/// stand-ins and simulations.

#include "injection.hpp"

#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/compat/boost_fiber.hpp>
#include <weft/runtime/blocking.hpp>
#include <weft/runtime/fiber.hpp>
#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/future.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/no_suspend.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/pin.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <new>
#include <optional>
#include <poll.h>
#include <ranges>
#include <sched.h>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using namespace weft::test::injection;

namespace {

struct large {
  std::array<char, 3000> bytes{};
};

/// For as long as it lives, SIGINT has its default disposition.
class default_sigint {
public:
  default_sigint() {
    struct sigaction plain{};
    plain.sa_handler = SIG_DFL;
    ::sigaction(SIGINT, &plain, &before_);
  }
  default_sigint(default_sigint const&) = delete;
  ~default_sigint() { ::sigaction(SIGINT, &before_, nullptr); }

private:
  struct sigaction before_{};
};

int a_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  int cpu = 0;
  while (!CPU_ISSET(static_cast<unsigned>(cpu), &set)) ++cpu;
  return cpu;
}

weft::runtime_options guest() {
  auto options = small();
  options.guest = true;
  return options;
}

/// The loop of a program that has one.
template <class Done>
void loop_until(weft::runtime& rt, Done&& done) {
  while (!done()) {
    bool const more = rt.poll_once();
    pollfd ready{rt.wake_fd(), POLLIN, 0};
    if (!more && !done()) (void)::poll(&ready, 1, -1);
  }
}

/// Collects `t`, unless it was cancelled.
void collect(weft::task<void>& t) {
  try {
    t.get();
  } catch (weft::cancelled const&) {  // NOLINT: as asked for
  }
}

/// A call that runs until it is told to end; what it touches is its own.
struct stuck_call {
  struct shared {
    std::atomic<bool> runs{false};
    std::atomic<bool> may_end{false};
  };
  std::shared_ptr<shared> at = std::make_shared<shared>();
  void operator()() const {
    at->runs.store(true);
    while (!at->may_end.load()) std::this_thread::yield();
  }
};

/// A caller leaves its call while that runs.
template <class Offload>
void leave_a_call(stage& s, Offload offload) {
  stuck_call const call;
  s.inject([&] {
    auto caller = weft::spawn(
        [&] { offload(weft::offload_options{.name = long_name, .abandon_on_cancel = true}, call); });
    while (!call.at->runs.load() && !caller.ready()) weft::yield();
    caller.cancel();
    collect(caller);
  });
  call.at->may_end.store(true);
}

/// Called on a thread, without a runtime.
std::vector<entry_point> const from_outside{
    {"runtime::runtime, pinned, with what is called on its threads, spares and checks", start_errors,
     [](stage& s) {
       std::atomic<int> started{0};
       std::atomic<int> stopped{0};
       auto options = small(2);
       options.affinity = {a_cpu()};
       options.spare_workers = 2;
       options.debug = true;
       options.slow_callback_duration = 1h;
       options.on_worker_start = [&](std::size_t) { ++started; };
       options.on_worker_stop = [&](std::size_t) { ++stopped; };
       s.inject([&] { weft::runtime const rt{options}; });
       verify(started.load() == stopped.load());
     }},
    {"runtime::runtime, whose on_worker_start asks for memory", start_errors,
     [](stage& s) {
       std::atomic<int> held{0};
       auto options = small(3);
       options.on_worker_start = [&](std::size_t) {
         std::string const text(100, 'x');
         ++held;
       };
       options.on_worker_stop = [&](std::size_t) { --held; };
       s.inject([&] { weft::runtime const rt{options}; });
       verify(held.load() == 0);
     }},
    {"runtime::runtime, with neither reports nor spares", start_errors,
     [](stage& s) {
       auto options = small();
       options.slow_callback_duration = 0ns;
       s.inject([&] { weft::runtime const rt{options}; });
     }},
    {"runtime::start, with all of it", start_errors,
     [](stage& s) {
       auto options = small(2);
       options.affinity = {a_cpu()};
       options.spare_workers = 1;
       options.on_worker_start = [](std::size_t) {};
       weft::runtime rt{options};
       rt.shutdown();
       s.inject([&] { rt.start(); });
       rt.shutdown();
       rt.start();
       verify(rt.run([] { return 1; }) == 1);
     }},
    {"runtime::run, in virtual time", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::runtime rt{weft::testing::in_virtual_time(small())};
         rt.run([] { weft::sleep_for(1h); });
       });
     }},
    {"runtime::run, forced migration", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::runtime rt{weft::testing::forced_migration(small())};
         rt.run([] { weft::yield(); });
       });
     }},
    {"runtime::post", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] { rt.post([](int) {}, 1); });
       rt.run([] {});
     }},
    {"runtime::post, a large callable", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] { rt.post([l = large{}] { verify(l.bytes[5] == 0); }); });
     }},
    {"runtime::post, on one of its fibers", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       rt.run([&] {
         s.inject([&] {
           rt.post([l = large{}] { verify(l.bytes[5] == 0); });
           weft::testing::run_until_blocked();
         });
       });
     }},
    {"runtime::all_tasks and stats", bad_alloc,
     [](stage& s) {
       weft::runtime rt{small()};
       weft::event e;
       weft::event begun;
       auto const waiting = rt.spawn({.name = long_name}, [&] {
         begun.set();
         e.wait();
       });
       begun.wait();
       s.inject([&] { verify(rt.all_tasks().size() == 1 && rt.stats().live == 1); });
       e.set();
     }},
    {"runtime::dump", bad_alloc,
     [](stage& s) {
       weft::runtime rt{small()};
       weft::event e;
       auto const waiting = rt.spawn({.name = long_name}, [&] { e.wait(); });
       std::ostringstream text;
       s.inject([&] { rt.dump(text); });
       e.set();
     }},
    {"runtime::shutdown, with a limit and a report", nothing,
     [](stage& s) {
       stuck_call const call;
       auto options = small();
       options.on_shutdown_report = [](std::string_view) {};
       weft::runtime rt{options};
       auto const caller = rt.spawn({.name = long_name}, [&] { weft::offload({.name = long_name}, call); });
       while (!call.at->runs.load()) std::this_thread::yield();
       s.inject([&] { verify(!rt.shutdown(0s)); });
       call.at->may_end.store(true);
       rt.shutdown();
     }},
    {"weft::run, with SIGINT in hand", start_errors | spawn_errors,
     [](stage& s) {
       default_sigint const plain;
       s.inject([] { verify(weft::run([] { return 1; }, small()) == 1); });
       struct sigaction now{};
       ::sigaction(SIGINT, nullptr, &now);
       verify(now.sa_handler == SIG_DFL);
     }},
    {"weft::run, cancelled by SIGINT", start_errors | spawn_errors,
     [](stage& s) {
       default_sigint const plain;
       s.inject([] {
         try {
           weft::run(
               [] {
                 ::kill(::getpid(), SIGINT);  // not raise(): workers block it
                 weft::sleep_for(24h);
               },
               small());
           verify(false);
         } catch (weft::cancelled const&) {  // NOLINT: as asked for
         }
       });
     }},
    {"a guest: runtime::runtime", start_errors, [](stage& s) { s.inject([] { weft::runtime const rt{guest()}; }); }},
    {"a guest: run", spawn_errors,
     [](stage& s) {
       weft::runtime rt{guest()};
       s.inject([&] { verify(rt.run([] { return 1; }) == 1); });
       verify(rt.run([] { return 2; }) == 2);
     }},
    {"a guest: post, poll_once and wake_fd", spawn_errors,
     [](stage& s) {
       weft::runtime rt{guest()};
       std::atomic<bool> ran{false};
       s.inject([&] {
         rt.post([&] { ran.store(true); });
         loop_until(rt, [&] { return rt.live_fibers() == 0; });
       });
       verify(ran.load() || s.struck() != 0);
     }},
    {"a guest: shutdown with a fiber that waits", nothing,
     [](stage& s) {
       weft::runtime rt{guest()};
       weft::event e;
       auto const waiting = rt.spawn([&] { e.wait(); });
       (void)rt.poll_once();
       s.inject([&] { rt.shutdown(); });
       verify(waiting.ready());
     }},
    {"a guest: offload", start_errors | spawn_errors,
     [](stage& s) {
       weft::runtime rt{guest()};
       s.inject([&] { verify(rt.run([] { return weft::offload([] { return 1; }); }) == 1); });
     }},
    {"promise and its futures, from a thread", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::promise<int> p;
         auto f = p.get_future();
         verify(!f.wait_for(0s));
         p.set_value(1);
         weft::shared_future<int> const shared{std::move(f)};
         verify(shared.get() == 1);
       });
     }},
    {"fiber, in a runtime", spawn_errors,
     [](stage& s) {
       weft::runtime rt{small()};
       s.inject([&] {
         weft::fiber f{rt, [](std::stop_token const&, int) {}, 1};
         f.join();
       });
     }},
    {"generator and collect, on a thread", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::generator<std::string> g([](auto& yield) {
           yield(long_name);
           yield("short");
         });
         verify(weft::collect(g) == std::vector<std::string>{long_name, "short"});
       });
     }},
    {"fiber_local, on a thread", bad_alloc,
     [](stage& s) {
       s.inject([] {
         struct undo {
           weft::fiber_local<large> value{[] { return large{}; }};
           ~undo() { value.reset(); }
         } local;
         verify(!local.value.has_value());
         verify(local.value->bytes[3] == 0 && local.value.has_value());
       });
     }},
    {"pin_guard, no_suspend_scope and blocking, on a thread", nothing,
     [](stage& s) {
       s.inject([] {
         weft::pin_guard const pin;
         weft::no_suspend_scope const scope;
         verify(weft::blocking([] { return 1; }) == 1);
       });
     }},
    {"offload_pool", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::offload_pool const pool{{.name = long_name, .threads = 2}};
         verify(pool.threads() == 0 && pool.running() == 0 && pool.queued() == 0);
       });
     }},
    {"offload_pool::run, from a thread", start_errors,
     [](stage& s) {
       weft::offload_pool pool{{.threads = 2}};
       s.inject([&] { verify(pool.run([] { return 1; }) == 1); });
       verify(pool.run([] { return 2; }) == 2);
     }},
    {"offload_pool::run, with choices and a stop token, in an elastic pool", start_errors,
     [](stage& s) {
       weft::offload_pool pool{{.threads = 2, .growth = weft::pool_growth::elastic, .idle_time = 0ns}};
       s.inject([&] {
         verify(pool.run({.name = long_name}, [](std::stop_token const&, int a) { return a; }, 1) == 1);
         verify(pool.run([&] { return pool.run([] { return 2; }); }) == 2);
       });
     }},
    {"offload_pool::shutdown", nothing,
     [](stage& s) {
       weft::offload_pool pool{{.threads = 2}};
       verify(pool.run([] { return 1; }) == 1);
       s.inject([&] { pool.shutdown(); });
     }},
    {"offload_pool::shutdown, which names what is left", nothing,
     [](stage& s) {
       stuck_call const call;
       weft::offload_pool pool{{.threads = 2}};
       std::thread caller{[&] { pool.run({.name = long_name}, call); }};
       while (!call.at->runs.load()) std::this_thread::yield();
       s.inject([&] { verify(!pool.shutdown(0s)); });
       call.at->may_end.store(true);
       caller.join();
     }},
    {"blocking, whose stand-in runs the others", nothing,
     [](stage& s) {
       weft::runtime rt{small()};
       rt.run([&] {
         std::atomic<bool> ran{false};
         auto const other = weft::spawn([&] { ran.store(true); });
         // Where no stand-in is to be had, the other waits.
         s.inject([&] {
           weft::blocking([&] {
             while (!ran.load() && faults::failed_so_far() == 0) std::this_thread::yield();
           });
         });
       });
     }},
    {"spare workers, one of which runs what is stuck behind a fiber", nothing,
     [](stage& s) {
       auto options = small();
       options.spare_workers = 1;
       options.slow_callback_duration = 0ns;
       weft::runtime rt{options};
       rt.run([&] {
         std::atomic<bool> ran{false};
         auto const other = weft::spawn([&] { ran.store(true); });
         s.inject([&] {
           while (!ran.load() && faults::failed_so_far() == 0) std::this_thread::yield();
         });
       });
     }},
    {"the report of a fiber that keeps its worker", nothing,
     [](stage& s) {
       std::atomic<bool> reported{false};
       auto options = small();
       options.slow_callback_duration = 1ms;
       options.on_slow_callback = [&](weft::slow_callback const&) { reported.store(true); };
       weft::runtime rt{options};
       rt.spawn({.name = long_name}, [&] {
           s.inject([&] {
             while (!reported.load() && faults::failed_so_far() == 0) std::this_thread::yield();
           });
         }).get();
     }},
    {"simulation::run, of fibers, timers and calls", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::testing::simulation sim{3, {.keep_trace = true, .report_failure = false}};
         sim.run([] {
           {
             auto later = weft::after(1h, [] { return 1; });
             verify(weft::offload([] { return 2; }) == 2);
             verify(later.get() == 1);
           }
           weft::testing::expect_no_leaks();
         });
       });
     }},
    {"simulation::run, a deadlock", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::testing::simulation sim{3, {.report_failure = false}};
         try {
           sim.run([] {
             weft::event e;
             auto other = weft::spawn({.name = long_name}, [&] { e.wait(); });
             other.get();
           });
           verify(false);
         } catch (weft::testing::deadlock const&) {  // NOLINT: as it should
         }
       });
     }},
};

/// Called on a fiber of a fresh runtime with one worker.
std::vector<entry_point> const from_a_fiber{
    {"after", spawn_errors,
     [](stage& s) {
       s.inject([] {
         verify(weft::after(1ns, [] { return 1; }).get() == 1);
         verify(weft::after({.name = long_name}, 0s, [l = large{}] { return l.bytes[1] + 1; }).get() == 1);
       });
     }},
    {"every, which waits for its turn", spawn_errors,
     [](stage& s) {
       weft::event called;
       s.inject([&] {
         auto again = weft::every(1ns, [&] { called.set(); }, weft::overlap::skip);
         while (!again.ready() && !called.wait_for(1ms)) {
         }
         again.cancel();
         collect(again);
       });
     }},
    {"every, concurrent", spawn_errors,
     [](stage& s) {
       weft::event called;
       s.inject([&] {
         auto again = weft::every({.name = long_name}, 1ms, [&] { called.set(); }, weft::overlap::concurrent);
         // A call for which there is no memory is reported, and left out.
         while (!again.ready() && !called.wait_for(1ms) && faults::failed_so_far() == 0) {
         }
         again.cancel();
         collect(again);
       });
     }},
    {"runtime::post, of another runtime", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::runtime rt{small()};
         rt.post([] {});
       });
     }},
    {"promise and future", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::promise<std::unique_ptr<int>> p;
         auto f = p.get_future();
         verify(!f.wait_for(1ns));
         p.set_value(std::make_unique<int>(3));
         verify(*f.get() == 3);
       });
     }},
    {"future, of a fiber that waits", nothing,
     [](stage& s) {
       weft::promise<int> p;
       auto f = p.get_future();
       auto const setter = weft::spawn([&] { p.set_value(1); });
       s.inject([&] { verify(f.get() == 1); });
     }},
    {"queues: put and get, with somebody in line at either end", bad_alloc,
     [](stage& s) {
       weft::queue<std::string> q{1};
       weft::priority_queue<int> other;
       q.put(long_name);
       auto const putter = weft::spawn([&] { q.put("second"); });
       auto const getter = weft::spawn([&] { verify(other.get() == 1); });
       weft::yield();
       s.inject([&] {
         std::string value = long_name;
         verify(!q.try_put(value) && value == long_name);
         auto const first = q.try_get();
         if (first) q.task_done();
         try {
           verify(q.empty() || !q.put_for(value, 1ns));
         } catch (std::bad_alloc const&) {
           verify(value == long_name);  // still ours
           throw;
         }
         other.put(1);
       });
       q.shutdown(true);
       if (!getter.ready()) other.put(1);
     }},
    {"broadcast and watch", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::broadcast<std::string> b{2};
         auto subscriber = b.subscribe();
         b.send(long_name);
         verify(subscriber.receive() == long_name);
         weft::watch<int> w{1};
         auto receiver = w.subscribe();
         w.send(2);
         verify(receiver.receive() == 2);
       });
     }},
    {"broadcast, a report of what was missed", bad_alloc,
     [](stage& s) {
       weft::broadcast<int> b{1};
       auto subscriber = b.subscribe();
       for (int i = 0; i < 3; ++i) b.send(i);
       auto const is_told = [&] {
         try {
           (void)subscriber.receive();
           return false;
         } catch (weft::subscriber_lagged const&) {
           return true;
         }
       };
       bool told = false;
       s.inject([&] { told = is_told(); });
       verify(told || is_told());  // the first report that could be made
       verify(subscriber.receive() == 2);
     }},
    {"promise, broken", bad_alloc,
     [](stage& s) {
       s.inject([] {
         std::optional<weft::promise<int>> p{std::in_place};
         auto f = p->get_future();
         p.reset();
         try {
           (void)f.get();
           verify(false);
         } catch (weft::broken_promise const&) {  // NOLINT: as it should
         }
       });
     }},
    {"promise::set_exception and shared_future", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::promise<int> p;
         weft::shared_future<int> const shared{p.get_future()};
         auto const copy = shared;
         p.set_exception(std::make_exception_ptr(7));
         try {
           (void)copy.get();
           verify(false);
         } catch (int seven) {
           verify(seven == 7);
         }
       });
     }},
    {"fiber, joined", spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::fiber f{[](int a) { verify(a == 1); }, 1};
         f.join();
       });
     }},
    {"fiber, with choices, stopped by its end", spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::fiber const f{weft::spawn_options{.name = long_name}, [](std::stop_token const& t) {
                               while (!t.stop_requested()) weft::yield();
                             }};
         weft::yield();
       });
     }},
    {"fiber, detached", spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::fiber f{[l = large{}] { verify(l.bytes[1] == 0); }};
         f.detach();
         weft::testing::run_until_blocked();
       });
     }},
    {"generator and collect", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::generator<std::string> g([](auto& yield) {
           weft::yield();
           yield(long_name);
           weft::sleep_for(1ns);
           yield("short");
         });
         verify(weft::collect(g | std::views::take(2)) == std::vector<std::string>{long_name, "short"});
       });
     }},
    {"generator, destroyed midway", bad_alloc,
     [](stage& s) {
       s.inject([] {
         weft::generator<std::string> g([](auto& yield) {
           try {
             yield(long_name);
           } catch (weft::cancelled const&) {
             weft::yield();
             throw;
           }
         });
         verify(*g.begin() == long_name);
       });
     }},
    {"fiber_local", bad_alloc,
     [](stage& s) {
       weft::spawn([&] {
         s.inject([] {
           struct undo {
             weft::fiber_local<std::string> value{[] { return std::string(long_name); }};
             ~undo() { value.reset(); }
           } local;
           verify(*local.value == long_name);
           local.value.reset();
           verify(local.value.get() == long_name);
         });
       }).get();
     }},
    {"a task whose handle dies on its own fiber", nothing,
     [](stage& s) {
       weft::task<void> self;
       self = weft::spawn([&] { s.inject([&] { self = {}; }); });
       weft::testing::run_until_blocked();
     }},
    {"pin_guard and no_suspend_scope", nothing,
     [](stage& s) {
       s.inject([] {
         weft::pin_guard const pin;
         weft::yield();
         weft::sleep_for(1ns);
         weft::no_suspend_scope const scope;
       });
     }},
    {"blocking", nothing, [](stage& s) { s.inject([] { verify(weft::blocking([] { return 1; }) == 1); }); }},
    {"blocking, in two fibers", nothing,
     [](stage& s) {
       std::atomic<bool> inner{false};
       auto const other = weft::spawn([&] { weft::blocking([&] { inner.store(true); }); });
       s.inject([&] {
         weft::blocking([&] {
           while (!inner.load() && faults::failed_so_far() == 0) std::this_thread::yield();
         });
       });
     }},
    {"offload_blocking", start_errors,
     [](stage& s) { s.inject([] { verify(weft::offload_blocking([] { return 1; }) == 1); }); }},
    {"offload, with choices", start_errors,
     [](stage& s) {
       s.inject([] {
         verify(weft::offload({.name = long_name}, [](int a) { return a; }, 1) == 1);
         verify(weft::offload_blocking({.name = long_name}, [](std::stop_token const&) { return 2; }) == 2);
       });
     }},
    {"offload, which may be left, and is not", start_errors,
     [](stage& s) {
       s.inject([] {
         verify(weft::offload({.name = long_name, .abandon_on_cancel = true},
                              [l = large{}] { return l.bytes[9] + 1; }) == 1);
       });
     }},
    {"offload, left", start_errors | spawn_errors,
     [](stage& s) { leave_a_call(s, [](auto const&... a) { weft::offload(a...); }); }},
    {"offload_blocking, left", start_errors | spawn_errors,
     [](stage& s) { leave_a_call(s, [](auto const&... a) { weft::offload_blocking(a...); }); }},
    {"offload_pool, its calls, and its end", start_errors,
     [](stage& s) {
       s.inject([] {
         weft::offload_pool pool{{.name = long_name, .threads = 1}};
         verify(pool.run([] { return 1; }) == 1);
         verify(pool.shutdown(1h));
       });
     }},
    {"offload_pool::run, left", start_errors | spawn_errors,
     [](stage& s) {
       weft::offload_pool pool{{.name = long_name}};
       leave_a_call(s, [&pool](auto const&... a) { pool.run(a...); });
     }},
    {"context_var, what inherits it, and its way to a pool", start_errors | spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::context_var<std::string> v{"default"};
         weft::spawn([&] {
           v.reset(v.set(std::string(100, 'a')));
           auto const restore = v.set_scoped(std::string(100, 'b'));
           verify(weft::spawn([&] { return v.get().size(); }).get() == 100);
           verify(weft::spawn({.name = long_name}, [&, l = large{}] { return v.get().size() + l.bytes.size(); }).get() >
                  100);
           verify(weft::offload([&] { return v.get().size(); }) == 100);
         }).get();
         verify(!v.has_value());
       });
     }},
    {"await_callback", bad_alloc,
     [](stage& s) {
       s.inject([] {
         verify(weft::await_callback<int>([](auto resolve) { resolve(1); }) == 1);
         verify(weft::await_callback<std::string>([](auto resolve) {
                  resolve("a text of some length, and more");
                }).size() > 20);
         try {
           (void)weft::await_callback<int>([](auto) {});
           verify(false);
         } catch (weft::broken_promise const&) {  // NOLINT: as it should
         }
       });
     }},
    {"retry", bad_alloc,
     [](stage& s) {
       s.inject([] {
         int calls = 0;
         weft::retry_policy how{.backoff = 1ns};
         how.retry_if = weft::retry_on<int>();
         verify(weft::retry(how, [&] {
                  if (++calls < 3) throw calls;
                  return calls;
                }) == 3);
       });
     }},
    {"exit_stack and defer", bad_alloc,
     [](stage& s) {
       int calls = 0;
       s.inject([&] {
         weft::defer const d{[&] { ++calls; }};
         weft::exit_stack stack;
         stack.push([&calls, l = large{}] { calls += 1 + l.bytes[4]; });
         stack.close();
       });
       verify(calls == 2);
     }},
    {"all_tasks", bad_alloc,
     [](stage& s) {
       weft::event e;
       auto const waiting = weft::spawn({.name = long_name}, [&] { e.wait(); });
       weft::yield();
       s.inject([] { verify(weft::all_tasks().size() == 2); });
       e.set();
     }},
    {"dump", bad_alloc,
     [](stage& s) {
       std::ostringstream text;
       s.inject([&] { weft::dump(text); });
     }},
};

}  // namespace

TEST_CASE("whatever call for memory or to the system fails, each service fails cleanly on a thread and works again",
          "[failure][rule17][rule21]") {
  auto const total = exhaust(from_outside, false);
  CHECK(total.failures > 3 * total.entry_points);
}

TEST_CASE("whatever call for memory or to the system fails, each service fails cleanly on a fiber and works again",
          "[failure][rule17][rule21]") {
  auto const total = exhaust(from_a_fiber, true);
  CHECK(total.failures > total.entry_points);
}

TEST_CASE("a fiber-specific pointer needs memory for its first value alone, and keeps what it has without",
          "[failure][compat]") {
  weft::compat::fibers::fiber_specific_ptr<int> p;
  auto first = std::make_unique<int>(1);
  auto second = std::make_unique<int>(2);
  CHECK(p.get() == nullptr);
  auto const refused = [&p](int* value) {
    faults::arm(faults::kind::memory, 1, true);
    bool const threw = throws<std::bad_alloc>([&] { p.reset(value); });
    (void)faults::disarm();
    return threw;
  };
  CHECK(refused(first.get()));
  CHECK(p.get() == nullptr);
  p.reset(first.release());
  CHECK_FALSE(refused(second.get()));
  REQUIRE(p.get() == second.get());
  (void)second.release();
}
