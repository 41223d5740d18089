/// @file
/// after and every, in virtual time: when each call comes, what happens when calls overlap, fail, or are cancelled.

#include <weft/runtime/timer.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/future.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using std::chrono::milliseconds;

namespace {

using seconds_f = std::chrono::duration<double>;
using times = std::vector<int>;

weft::time_point now() { return weft::detail::deadline_after(0ns); }

/// Notes when something happens, in ms since it was made.
class stopwatch {
public:
  void note() { at_.add(static_cast<int>((now() - begin_) / 1ms)); }
  [[nodiscard]] times noted() const { return at_.steps(); }

private:
  weft::time_point begin_ = now();
  sequence<int> at_;
};

weft::runtime_options with_handler(unhandled_log& log, weft::runtime_options options = {}) {
  options.on_unhandled_exception = log.handler();
  return options;
}

}  // namespace

TEST_CASE("rule 19: after calls once, when the time has passed, on a fiber that may wait", "[timer][rule19]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch watch;
    auto const self = weft::this_fiber::get_id();
    auto t = weft::after(20ms, [&] {
      verify(weft::this_fiber::get_id() != weft::fiber_id{} && weft::this_fiber::get_id() != self);
      watch.note();
      weft::sleep_for(5ms);
      watch.note();
      return std::make_unique<int>(7);
    });
    verify(!t.wait_for(19ms));
    verify(watch.noted().empty());
    verify(*t.get() == 7);
    verify(watch.noted() == times{20, 25});
    auto failing = weft::after(1ms, [] { throw std::out_of_range("this one"); });
    verify(throws<std::out_of_range>([&] { failing.get(); }));
  });
}

TEST_CASE("the time runs from the call of after, not from the fibers first step", "[timer]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch watch;
    std::vector<weft::task<void>> calls;
    for (int ms : {30, 10, 20}) calls.push_back(weft::after(milliseconds(ms), [&] { watch.note(); }));
    for (auto& c : calls) c.get();
    verify(watch.noted() == times{10, 20, 30});
  });
}

TEST_CASE("H25: after takes any duration", "[timer][hazard][H25][bad-input]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch watch;
    auto const at_once = [&](auto d) { weft::after(d, [&] { watch.note(); }).get(); };
    at_once(0ns);
    at_once(-1ns);
    at_once(std::chrono::hours::min());
    at_once(seconds_f{std::numeric_limits<double>::quiet_NaN()});
    verify(watch.noted() == times{0, 0, 0, 0});
    auto const never_comes = [&](auto d) {
      auto t = weft::after(d, [] { verify(false); });
      verify(!t.wait_for(std::chrono::hours{24 * 365}));
      t.cancel();
      verify(throws<weft::cancelled>([&] { t.get(); }));
    };
    never_comes(std::chrono::nanoseconds::max());
    never_comes(std::chrono::hours::max());
    never_comes(seconds_f{std::numeric_limits<double>::infinity()});
  });
}

TEST_CASE("rule 14: a call that is cancelled or dropped before it is due is not made; a detached one is",
          "[timer][rule14]") {
  run_with(weft::testing::in_virtual_time(), [] {
    std::atomic<int> made{0};
    auto cancelled = weft::after(10ms, [&] { ++made; });
    auto const before = now();
    cancelled.cancel();
    verify(throws<weft::cancelled>([&] { cancelled.get(); }));
    verify(now() == before);  // at once, not when it would have been due
    {
      auto dropped = weft::after(10ms, [&] { ++made; });
    }
    verify(now() == before);
    weft::sleep_for(1s);
    verify(made == 0);
    weft::after(10ms, [&] { ++made; }).detach();
    weft::sleep_for(1s);
    verify(made == 1);
    auto running = weft::after(10ms, [&] {
      ++made;
      weft::sleep_for(1h);
      ++made;
    });
    weft::sleep_for(20ms);
    running.cancel();
    verify(throws<weft::cancelled>([&] { running.get(); }));
    verify(made == 2);
  });
}

TEST_CASE("rule 19: every does not drift, however long calls take and however late they come", "[timer][rule19]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch watch;
    auto t = weft::every(10ms, [&] {
      watch.note();
      weft::sleep_for(7ms);
    });
    weft::sleep_for(1005ms);
    auto const noted = watch.noted();
    verify(noted.size() == 100);
    for (int n = 1; n <= 100; ++n) verify(noted[static_cast<std::size_t>(n) - 1] == 10 * n);
    verify(!t.ready());
  });
}

TEST_CASE("overlap::skip leaves out the calls whose time passes while one runs", "[timer]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch watch;
    int const lasts[] = {25, 20, 10, 0, 10, 9, 31, 0};
    std::size_t n = 0;
    auto t = weft::every(10ms, [&] {
      watch.note();
      weft::sleep_for(milliseconds(lasts[n++ % 8]));
    });
    weft::sleep_for(155ms);
    // 10 +25 -> 35, so 40; +20 -> 60, due just then; +10 -> 70; 80; +10 -> 90; +9 -> 100; +31 -> 131, so 140; then 150.
    verify(watch.noted() == times{10, 40, 60, 70, 80, 90, 100, 140, 150});
  });
}

TEST_CASE("overlap::queue makes every call, one after another", "[timer]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch watch;
    int n = 0;
    auto t = weft::every(
        10ms,
        [&] {
          watch.note();
          weft::sleep_for(n++ == 0 ? 35ms : 1ms);
        },
        weft::overlap::queue);
    weft::sleep_for(75ms);
    verify(watch.noted() == times{10, 45, 46, 47, 50, 60, 70});
  });
}

TEST_CASE("overlap::concurrent makes every call on time", "[timer]") {
  run_with(weft::testing::in_virtual_time(), [] {
    stopwatch begun;
    stopwatch ended;
    weft::spawn_options options;
    options.name = "side by side";
    auto t = weft::every(
        options, 10ms,
        [&] {
          verify(weft::this_fiber::name() == "side by side");
          begun.note();
          weft::sleep_for(35ms);
          ended.note();
        },
        weft::overlap::concurrent);
    weft::sleep_for(59ms);
    verify(begun.noted() == times{10, 20, 30, 40, 50});
    verify(ended.noted() == times{45, 55});
    auto const before = now();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(now() == before);
    weft::sleep_for(1h);
    verify(ended.noted() == times{45, 55});  // the three that ran have been cancelled
  });
}

TEST_CASE("cancelling every ends when the call that runs has ended", "[timer][rule14]") {
  auto const policy = GENERATE(weft::overlap::skip, weft::overlap::queue, weft::overlap::concurrent);
  run_with(weft::testing::in_virtual_time(), [policy] {
    struct lingering {
      stopwatch& watch;
      bool& alive;
      ~lingering() {
        weft::sleep_for(5ms);  // unwinding: a destructor may wait
        alive = false;
      }
    };
    stopwatch watch;
    bool alive = false;
    {
      auto t = weft::every(
          10ms,
          [&] {
            alive = true;
            lingering const l{watch, alive};
            watch.note();
            weft::sleep_for(1h);
          },
          policy);
      weft::sleep_for(12ms);
    }
    verify(!alive);
    watch.note();
    verify(watch.noted() == times{10, 17});
  });
}

TEST_CASE("what a call of every throws is reported, and the calls go on", "[timer][rule19]") {
  auto const policy = GENERATE(weft::overlap::skip, weft::overlap::queue, weft::overlap::concurrent);
  unhandled_log log;
  run_with(weft::testing::in_virtual_time(with_handler(log)), [policy] {
    weft::spawn_options options;
    options.name = "ticker";
    std::atomic<int> calls{0};
    auto t = weft::every(
        options, 1s,
        [&calls] {
          int const n = ++calls;
          if (n == 2) {  // somebody else's cancellation is a failure like any other
            auto child = weft::spawn([] { weft::sleep_for(1h); });
            child.cancel();
            child.get();
          }
          if (n < 4) throw std::runtime_error("call " + std::to_string(n));
        },
        policy);
    weft::sleep_for(5500ms);
    verify(calls == 5);
  });
  CHECK(log.lines() == std::vector<std::string>{"ticker: call 1", "ticker: not a std::exception", "ticker: call 3"});
}

TEST_CASE("a call of after that nobody collects is reported", "[timer]") {
  unhandled_log log;
  run_with(weft::testing::in_virtual_time(with_handler(log)), [] {
    weft::spawn_options options;
    options.name = "late";
    weft::after(options, 1s, [] { throw std::runtime_error("alone"); }).detach();
    options.detached = true;
    verify(!weft::after(options, 2s, [] { throw std::runtime_error("as well"); }).valid());
    weft::sleep_for(3s);
  });
  CHECK(log.lines() == std::vector<std::string>{"late: alone", "late: as well"});
}

TEST_CASE("H25: every refuses a period of zero or less, and takes the longest", "[timer][hazard][H25][bad-input]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const refused = [](auto period) {
      return throws<std::invalid_argument>([&] { weft::every(period, [] {}).detach(); });
    };
    verify(refused(0ns));
    verify(refused(-1s));
    verify(refused(std::chrono::hours::min()));
    verify(refused(seconds_f{std::numeric_limits<double>::quiet_NaN()}));
    auto const never_comes = [](auto period, weft::overlap policy) {
      auto t = weft::every(period, [] { verify(false); }, policy);
      verify(!t.wait_for(std::chrono::hours{24 * 365}));
    };
    never_comes(std::chrono::hours::max(), weft::overlap::skip);
    never_comes(std::chrono::nanoseconds::max(), weft::overlap::queue);
    never_comes(seconds_f{std::numeric_limits<double>::infinity()}, weft::overlap::concurrent);
    int calls = 0;
    {
      auto fastest = weft::every(std::chrono::duration<int, std::pico>{1}, [&] { ++calls; });
      weft::sleep_for(100ns);
    }
    verify(calls >= 99 && calls <= 100);
  });
}

TEST_CASE("empty callables are refused, and so is a call without a runtime", "[timer][bad-input]") {
  run_with(weft::testing::in_virtual_time(), [] {
    verify(throws<std::invalid_argument>([] { weft::after(1s, std::function<void()>{}).detach(); }));
    verify(throws<std::invalid_argument>([] { weft::every(1s, std::function<void()>{}).detach(); }));
    void (*none)() = nullptr;
    verify(throws<std::invalid_argument>([&] { weft::after(1s, none).detach(); }));
    weft::spawn_options options;
    options.stack_size = 1;
    verify(throws<std::invalid_argument>([&] { weft::after(options, 1s, [] {}).detach(); }));
  });
  CHECK(throws<weft::no_runtime>([] { weft::after(1s, [] {}).detach(); }));
  CHECK(throws<weft::no_runtime>([] { weft::every(1s, [] {}).detach(); }));
}

TEST_CASE("late calls of every do not keep the worker", "[timer]") {
  auto const policy = GENERATE(weft::overlap::queue, weft::overlap::concurrent);
  run_on(1, [policy] {
    // A nanosecond is over before any call is: it is always late, and never catches up.
    std::atomic<std::uint64_t> calls{0};
    auto t = weft::every(1ns, [&] { ++calls; }, policy);
    while (calls < 1'000) weft::yield();
  });
}

TEST_CASE("a runtime that stops ends its timers, and loses none", "[timer][rule21]") {
  unhandled_log log;
  {
    weft::runtime rt{on(some_workers(), with_handler(log))};
    rt.run([] {
      for (auto const policy : {weft::overlap::skip, weft::overlap::queue, weft::overlap::concurrent}) {
        weft::every(10us, [] {}, policy).detach();
        weft::every(1ms, [] { weft::sleep_for(1h); }, policy).detach();
      }
      weft::after(1h, [] {}).detach();
      weft::sleep_for(100us);
    });
    rt.shutdown();
    expect_no_leaks(rt);
  }
  CHECK(log.lines().empty());
}

TEST_CASE("a runtime that refuses the calls of every reports none of them", "[timer][rule21][stress]") {
  unhandled_log log;
  for (std::size_t round = 0; round < scaled(200); ++round) {
    weft::runtime rt{on(2, with_handler(log))};
    std::atomic<int> calls{0};
    rt.run([&] {
      // Always late, so that each is about to spawn when admission stops, just before they are cancelled.
      for (int i = 0; i < 4; ++i) weft::every(1ns, [&] { ++calls; }, weft::overlap::concurrent).detach();
      while (calls < 10) weft::yield();
    });
    rt.shutdown();
    expect_no_leaks(rt);
  }
  CHECK(log.lines().empty());
}

TEST_CASE("timers are cancelled while they fire", "[timer][stress]") {
  run_on(some_workers(), [] {
    for (std::size_t round = 0; round < scaled(1'000); ++round) {
      std::atomic<int> made{0};
      auto t = weft::after(std::chrono::microseconds(round % 40), [&] { ++made; });
      auto e = weft::every(3us, [&] { ++made; }, static_cast<weft::overlap>(round % 3));
      weft::sleep_for(std::chrono::microseconds(round % 37));
      t.cancel();
      e.cancel();
      bool const called = !throws<weft::cancelled>([&] { t.get(); });
      verify(throws<weft::cancelled>([&] { e.get(); }));
      int const after_the_end = made;
      verify(!called || after_the_end >= 1);
      weft::yield();
      verify(made == after_the_end);
    }
  });
}
