/// @file
/// Deadlocks, as debug mode reports them: circles of those who wait for each other, and runtimes that rest for good.

#include <weft/runtime/options.hpp>

#include "scheduler.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/compat/mutex.hpp>
#include <weft/runtime/detail/descriptor_wait.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/gather.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/race.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/task_group.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/latch.hpp>
#include <weft/sync/mutex.hpp>
#include <weft/sync/recursive_mutex.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

class reports {
public:
  [[nodiscard]] weft::runtime_options in_debug_mode(weft::runtime_options options) {
    options.debug = true;
    options.on_slow_callback = [](weft::slow_callback const&) {};
    options.on_deadlock = [this](std::string_view report) {
      {
        std::lock_guard const lock{mutex_};
        all_.emplace_back(report);
      }
      there_.set();
    };
    return options;
  }
  [[nodiscard]] std::vector<std::string> all() const {
    std::lock_guard const lock{mutex_};
    return all_;
  }
  void await() { there_.wait(); }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
  weft::event there_;
};

/// Locks `first`, waits until all of them have one, and then locks `second`.
auto greedy(weft::mutex& first, weft::mutex& second, weft::latch& all_have_one) {
  return [&] {
    std::lock_guard const one{first};
    all_have_one.arrive_and_wait();
    std::lock_guard const two{second};
  };
}

bool mentions_stack_of(std::string const& report, std::string const& who) {
  auto const at = report.find("'" + who + "' waits for ");
  if (at == std::string::npos) return false;
  auto const next_line = report.find('\n', at);
  return next_line != std::string::npos && report.compare(next_line, 5, "\n    ") == 0;
}

/// Where the runtime's insides are, as its fibers see them.
weft::detail::scheduler& insides_of(weft::runtime& rt) {
  return *rt.run([] { return &weft::detail::current_worker()->home; });
}

void await_rest(weft::runtime const& rt) {
  while (rt.stats().parked_workers != rt.workers()) std::this_thread::yield();
}

}  // namespace

TEST_CASE("fibers that lock in a circle are reported once, with their names and stacks", "[deadlock][mutex]") {
  auto const number = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{5});
  auto const workers = some_workers();
  reports told;
  run_with(told.in_debug_mode(on(workers)), [&] {
    std::vector<weft::mutex> locks(number);
    weft::latch all_have_one{static_cast<std::ptrdiff_t>(number)};
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < number; ++i) {
      tasks.push_back(weft::spawn({.name = "fiber number " + std::to_string(i)},
                                  greedy(locks[i], locks[(i + 1) % number], all_have_one)));
    }
    told.await();
    tasks[0].cancel();
    for (auto& t : tasks) t.wait();
    verify(throws<weft::cancelled>([&] { tasks[0].get(); }));
  });
  auto const all = told.all();
  REQUIRE(all.size() == 1);
  CHECK(contains(all[0], "weft: deadlock: "));
  for (std::size_t i = 0; i < number; ++i) {
    INFO(all[0]);
    CHECK(mentions_stack_of(all[0], "fiber number " + std::to_string(i)));
  }
  CHECK(contains(all[0], number == 1 ? "waits for a mutex that it holds itself" : "' holds; it is at\n"));
}

TEST_CASE("a circle of a mutex and a join is reported", "[deadlock][mutex]") {
  auto const workers = some_workers();
  reports told;
  run_with(told.in_debug_mode(on(workers)), [&] {
    weft::mutex m;
    weft::event held;
    auto child = weft::spawn({.name = "child"}, [&] {
      held.wait();
      std::lock_guard const lock{m};
    });
    auto parent = weft::spawn({.name = "parent"}, [&] {
      std::lock_guard const lock{m};
      held.set();
      child.wait();
    });
    told.await();
    parent.cancel();
    parent.wait();
    child.get();
  });
  auto const all = told.all();
  REQUIRE(all.size() == 1);
  CHECK(contains(all[0], "'parent' waits for the end of fiber "));
  CHECK(mentions_stack_of(all[0], "child"));
}

TEST_CASE("a circle through one of several that are waited for is reported", "[deadlock][mutex]") {
  bool const group = GENERATE(true, false);
  auto const workers = some_workers();
  reports told;
  run_with(told.in_debug_mode(on(workers)), [&] {
    weft::mutex m;
    weft::event never_set;
    auto const bystander = [&] { never_set.wait(); };
    auto const child = [&] { std::lock_guard const lock{m}; };
    auto parent = weft::spawn({.name = "parent"}, [&] {
      std::lock_guard const lock{m};
      if (group) {
        weft::task_group children;
        children.spawn(bystander);
        children.spawn({.name = "child"}, child);
        children.wait();
      } else {
        (void)weft::gather(bystander, child);
      }
    });
    told.await();
    parent.cancel();
    parent.wait();
  });
  auto const all = told.all();
  REQUIRE(all.size() == 1);
  INFO(all[0]);
  CHECK(contains(all[0], group ? "'parent' waits for the tasks of a group, of which one is fiber "
                               : "'parent' waits for several tasks, of which one is fiber "));
  CHECK(contains(all[0], " waits for a mutex that fiber "));
  if (group) CHECK(mentions_stack_of(all[0], "child"));
}

TEST_CASE("who waits for the first of several is in no deadlock", "[deadlock][mutex]") {
  reports told;
  run_with(told.in_debug_mode(weft::testing::in_virtual_time()), [] {
    weft::mutex m;
    std::lock_guard const lock{m};
    (void)weft::race([&] { std::lock_guard const wanted{m}; }, [] { weft::sleep_for(1h); });
  });
  CHECK(told.all().empty());
}

TEST_CASE("a circle of mutexes with the names of Boost.Fiber is reported", "[deadlock][compat]") {
  auto const workers = some_workers();
  reports told;
  run_with(told.in_debug_mode(on(workers)), [&] {
    weft::compat::fibers::mutex plain;
    weft::compat::fibers::recursive_mutex recursive;
    weft::latch both_have_one{2};
    auto one = weft::spawn({.name = "one"}, [&] {
      std::lock_guard const lock{plain};
      both_have_one.arrive_and_wait();
      std::lock_guard const wanted{recursive};
    });
    auto two = weft::spawn({.name = "two"}, [&] {
      std::lock_guard const lock{recursive};
      std::lock_guard const again{recursive};
      both_have_one.arrive_and_wait();
      std::lock_guard const wanted{plain};
    });
    told.await();
    one.cancel();
    one.wait();
    two.get();
    std::lock_guard const free_again{plain};
    std::lock_guard const this_too{recursive};
  });
  auto const all = told.all();
  REQUIRE(all.size() == 1);
  CHECK(mentions_stack_of(all[0], "one"));
  CHECK(mentions_stack_of(all[0], "two"));
}

TEST_CASE("a circle of a fiber and a thread is reported", "[deadlock][mutex]") {
  auto const workers = some_workers();
  reports told;
  weft::runtime rt{told.in_debug_mode(on(workers))};
  weft::mutex a;
  weft::mutex b;
  weft::latch both_have_one{2};
  auto fiber = rt.spawn({.name = "fiber"}, [&] {
    std::lock_guard const one{a};
    both_have_one.arrive_and_wait();
    // The fiber closes the circle, for a thread would tell it on stderr.
    while (weft::detail::wait_graph::waits() == 0) weft::yield();
    std::lock_guard const two{b};
  });
  std::thread thread{[&] {
    auto const lock_both = greedy(b, a, both_have_one);
    lock_both();
  }};
  told.await();
  fiber.cancel();
  thread.join();
  CHECK_THROWS_AS(fiber.get(), weft::cancelled);
  auto const all = told.all();
  REQUIRE(all.size() == 1);
  CHECK(contains(all[0], "a mutex that thread "));
  CHECK(contains(all[0], "\nthread "));
  CHECK(mentions_stack_of(all[0], "fiber"));
}

TEST_CASE("who waits for a limited time is in no deadlock", "[deadlock][mutex]") {
  reports told;
  run_with(told.in_debug_mode(weft::testing::in_virtual_time()), [] {
    weft::mutex a;
    weft::mutex b;
    weft::latch both_have_one{2};
    auto patient = weft::spawn(greedy(a, b, both_have_one));
    auto limited = weft::spawn([&] {
      std::lock_guard const one{b};
      both_have_one.arrive_and_wait();
      return a.try_lock_for(1h);
    });
    verify(!limited.get());
    patient.get();
  });
  CHECK(told.all().empty());
}

TEST_CASE("a wait that has been cancelled closes no circle, though its fiber has not gone on yet",
          "[deadlock][mutex]") {
  reports told;
  run_with(told.in_debug_mode({.workers = 1}), [&] {
    weft::mutex m;
    std::lock_guard const lock{m};
    std::atomic<bool> begun{false};
    auto child = weft::spawn([&] {
      begun = true;
      std::lock_guard const wanted{m};
    });
    while (!begun) weft::yield();  // there is but one worker: now it waits for the lock
    child.cancel();
    child.wait();
  });
  CHECK(told.all().empty());
}

TEST_CASE("locks that change hands, and those of who has ended, are in no deadlock", "[deadlock][mutex]") {
  auto const workers = some_workers();
  reports told;
  run_with(told.in_debug_mode(on(workers)), [] {
    std::array<weft::mutex, 4> locks;
    weft::recursive_mutex outer;
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < 16; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        for (std::size_t n = 0; n < scaled(100); ++n) {
          auto const first = (i + n) % 4;
          std::scoped_lock const two{locks[first], locks[(first + 1 + n % 3) % 4]};
          std::lock_guard const once{outer};
          std::lock_guard const twice{outer};
          if (n % 4 == 0) weft::yield();
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
  CHECK(told.all().empty());
}

TEST_CASE("a runtime that rests for good is reported, and ends its run if nothing else can wake it", "[deadlock]") {
  if (under_sanitizer) return;  // a sanitizer may have a thread of its own, of which nobody knows what it will do
  auto const workers = some_workers();
  reports told;
  auto options = told.in_debug_mode(on(workers));
  options.slow_callback_duration = 10ms;
  std::atomic<int> unwound{0};
  auto const stuck = [&] {
    struct on_exit {
      std::atomic<int>& count;
      ~on_exit() { ++count; }
    } const here{unwound};
    weft::event never_set;
    auto const reader = weft::spawn({.name = "reader"}, [&] { never_set.wait(); });
    reader.wait();
  };
  std::string what;
  try {
    weft::run(stuck, options);
  } catch (weft::deadlock const& e) {
    what = e.what();
  }
  CHECK(unwound.load() == 1);
  auto const all = told.all();
  REQUIRE(all.size() == 1);
  CHECK(all[0] == what);
  CHECK(contains(what, "nothing will wake them"));
  CHECK(contains(what, "'reader': parked for "));
  CHECK(contains(what, "waits for: event"));
  CHECK(contains(what, " waits for the end of fiber "));

  weft::runtime rt{options};
  CHECK_THROWS_AS(rt.run(stuck), weft::deadlock);
  CHECK(rt.run([] { return 1; }) == 1);
}

TEST_CASE("a runtime that only another thread can wake is reported, and goes on when it does", "[deadlock]") {
  auto const workers = some_workers();
  reports told;
  auto options = told.in_debug_mode(on(workers));
  options.slow_callback_duration = 10ms;
  weft::event gate;
  std::thread other{[&] {
    while (told.all().empty()) std::this_thread::yield();
    gate.set();
  }};
  weft::run([&] { gate.wait(); }, options);
  other.join();
  auto const all = told.all();
  REQUIRE_FALSE(all.empty());
  CHECK(contains(all[0], "only another thread could wake them"));
}

TEST_CASE("timers, descriptors and offloaded calls may wake a fiber: no deadlock", "[deadlock]") {
  auto const workers = some_workers();
  reports told;
  weft::runtime rt{told.in_debug_mode(on(workers, {.slow_callback_duration = 0s}))};
  auto& home = insides_of(rt);
  auto const nothing_to_tell = [&](auto&& f, auto&& then) {
    std::atomic<bool> begun{false};
    auto waiting = rt.spawn([&] {
      begun = true;
      f();
    });
    while (!begun.load()) std::this_thread::yield();
    for (int i = 0; i < 20; ++i) {
      await_rest(rt);
      home.look_for_deadlock();
    }
    CHECK(told.all().empty());
    then(waiting);
    waiting.wait();
  };
  nothing_to_tell([] { weft::sleep_for(24h); }, [](auto& t) { t.cancel(); });
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  nothing_to_tell([&] { (void)weft::detail::wait_descriptor(ends[0], weft::detail::readiness::readable); },
                  [&](auto&) { CHECK(::write(ends[1], "x", 1) == 1); });
  ::close(ends[0]);
  ::close(ends[1]);
  std::latch running{1};
  std::latch release{1};
  nothing_to_tell(
      [&] {
        weft::offload([&] {
          running.count_down();
          release.wait();
        });
      },
      [&](auto&) {
        running.wait();
        await_rest(rt);
        home.look_for_deadlock();
        CHECK(told.all().empty());
        release.count_down();
      });
  // And the same with nothing of the kind.
  weft::event gate;
  auto waiting = rt.spawn([&] { gate.wait(); });
  while (told.all().empty()) {
    await_rest(rt);
    home.look_for_deadlock();
  }
  gate.set();
  waiting.wait();
}

TEST_CASE("without debug nothing is noted or told", "[deadlock]") {
  std::atomic<bool> told{false};
  auto options = on(2);
  options.on_deadlock = [&](std::string_view) { told = true; };
  weft::runtime rt{options};
  CHECK_FALSE(weft::detail::wait_graph::is_kept());
  rt.run([] {
    weft::mutex a;
    weft::mutex b;
    weft::latch both_have_one{2};
    auto one = weft::spawn(greedy(a, b, both_have_one));
    auto two = weft::spawn(greedy(b, a, both_have_one));
    both_have_one.wait();
    for (int i = 0; i < 100; ++i) weft::yield();
    one.cancel();
    one.wait();
    two.get();
  });
  CHECK_FALSE(told.load());
}
