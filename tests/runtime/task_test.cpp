/// @file
/// task<T>: every member, on every kind of result, on several numbers of workers. No test of time: what must come first
/// is awaited.

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/task.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

static_assert(!std::is_copy_constructible_v<weft::task<int>>);
static_assert(std::is_nothrow_move_constructible_v<weft::task<int>>);

namespace {

template <class F>
std::optional<weft::cancel_reason> cancellation_of(F&& f) {
  try {
    f();
  } catch (weft::cancelled const& c) {
    return c.reason();
  }
  return std::nullopt;
}

template <class F>
bool reports_deadlock(F&& f) {
  try {
    f();
  } catch (std::system_error const& e) {
    return e.code() == std::errc::resource_deadlock_would_occur;
  }
  return false;
}

/// Parks the caller for good: only cancellation ends it.
void park_forever() {
  weft::event never_set;
  never_set.wait();
}

}  // namespace

TEST_CASE("get returns values, references, move-only values and void", "[task]") {
  run_on(some_workers(), [] {
    verify(weft::spawn([] { return 42; }).get() == 42);
    verify(*weft::spawn([] { return std::make_unique<int>(7); }).get() == 7);
    int target = 1;
    auto reference = weft::spawn([&target]() -> int& { return target; });
    int& got = reference.get();
    verify(&got == &target);
    bool ran = false;
    weft::spawn([&ran] { ran = true; }).get();
    verify(ran);
    auto moved = weft::spawn([&target]() -> int&& { return std::move(target); });
    int&& rvalue = moved.get();
    verify(&rvalue == &target);
    verify(weft::spawn([] { return std::string(1000, 'x'); }).get().size() == 1000);
  });
}

TEST_CASE("rule 17: the bodies exception reaches get", "[task][spawn][rule17][bad-input]") {
  run_on(some_workers(), [] {
    auto t = weft::spawn([]() -> int { throw std::out_of_range("this one"); });
    try {
      (void)t.get();
      verify(false);
    } catch (std::out_of_range const& e) {
      verify(std::string(e.what()) == "this one");
    }
    auto number = weft::spawn([] { throw 17; });
    verify(throws<int>([&] { number.get(); }));
  });
}

TEST_CASE("rule 14: get once, wait any number of times", "[task][rule14][bad-input]") {
  run_on(some_workers(), [] {
    auto t = weft::spawn([] { return std::make_unique<int>(1); });
    t.wait();
    t.wait();
    verify(t.ready());
    verify(*t.get() == 1);
    t.wait();
    verify(throws<weft::error>([&] { (void)t.get(); }));
    verify(t.valid());
  });
}

TEST_CASE("rule 14: wait does not collect the exception", "[task][rule14]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    auto t = weft::spawn(weft::spawn_options{.name = "failing"}, [] { throw std::runtime_error("lost?"); });
    t.wait();
    (void)t.wait_for(0s);
  });
  CHECK(log.lines() == std::vector<std::string>{"failing: lost?"});
}

TEST_CASE("a collected exception is not reported", "[task]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    auto a = weft::spawn([] { throw std::runtime_error("by get"); });
    verify(throws<std::runtime_error>([&] { a.get(); }));
    auto b = weft::spawn([] { throw std::runtime_error("by exception()"); });
    b.wait();
    verify(b.exception() != nullptr);
    auto c = weft::spawn([] {});
    c.wait();
    verify(c.exception() == nullptr);
  });
  CHECK(log.lines().empty());
}

TEST_CASE("exception() of a task that has not ended is an error", "[task][bad-input]") {
  run_on(some_workers(), [] {
    weft::event gate;
    auto t = weft::spawn([&] { gate.wait(); });
    verify(throws<weft::error>([&] { (void)t.exception(); }));
    verify(!t.ready());
    gate.set();
    t.get();
    verify(t.ready());
  });
}

TEST_CASE("timed waits tell whether the task has ended, without taking time", "[task]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::event gate;
    auto t = weft::spawn([&] { gate.wait(); });
    auto const begin = weft::detail::deadline_after(0ns);
    verify(!t.wait_for(0s));
    verify(!t.wait_for(-1s));
    verify(!t.wait_for(1500ms));
    verify(weft::detail::deadline_after(0ns) == begin + 1500ms);
    verify(!t.wait_until(begin));
    verify(!t.wait_until(begin + 2s));
    verify(weft::detail::deadline_after(0ns) == begin + 2s);
    gate.set();
    verify(t.wait_for(std::chrono::hours::max()));
    verify(t.wait_for(0s));
    t.get();
  });
}

TEST_CASE("a task is joined from OS threads, in and out of time", "[task]") {
  weft::runtime rt{on(some_workers())};
  weft::event gate;
  auto t = rt.spawn([&] {
    gate.wait();
    return 5;
  });
  CHECK_FALSE(t.wait_for(1ms));
  std::thread other{[&] { t.wait(); }};
  gate.set();
  other.join();
  CHECK(t.get() == 5);
  expect_no_leaks(rt);
}

TEST_CASE("many fibers may wait for one task", "[task]") {
  run_on(some_workers(), [] {
    weft::event gate;
    auto t = weft::spawn([&] { gate.wait(); });
    std::vector<weft::task<void>> waiting;
    for (int i = 0; i < 20; ++i) waiting.push_back(weft::spawn([&] { t.wait(); }));
    weft::yield();
    gate.set();
    for (auto& w : waiting) w.get();
    verify(t.ready());
  });
}

TEST_CASE("rule 14: destruction cancels and joins", "[task][rule14][bad-input]") {
  run_on(some_workers(), [] {
    std::atomic<bool> ended{false};
    std::optional<weft::cancel_reason> seen;
    weft::event started;
    {
      auto t = weft::spawn([&] {
        started.set();
        seen = cancellation_of(park_forever);
        ended.store(true);
      });
      started.wait();
    }
    verify(ended.load());
    verify(seen == weft::cancel_reason::handle_dropped);
  });
}

TEST_CASE("rule 14: move-assignment cancels and joins what was there", "[task][rule14]") {
  run_on(some_workers(), [] {
    std::optional<weft::cancel_reason> seen;
    weft::event started;
    auto t = weft::spawn([&] {
      started.set();
      seen = cancellation_of(park_forever);
      return 1;
    });
    started.wait();
    t = weft::spawn([] { return 2; });
    verify(seen == weft::cancel_reason::handle_dropped);
    verify(t.get() == 2);
    auto& same = t;
    t = std::move(same);
    verify(t.valid());
  });
}

TEST_CASE("callbacks at the ends of tasks do not race, not even by what their threads see first", "[task]") {
  // ThreadSanitizer is the one to complain, for which tasks that nothing orders are threads of their own. A joiner goes
  // on before the callbacks, so it does not order them.
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> called{0};  // outlives the fiber that asks for it, which nothing orders after the callbacks
    run_on(2, [&called] {
      constexpr int count = 50;
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < count; ++i) {
        tasks.push_back(weft::spawn([] { weft::sleep_for(1h); }));
        tasks.back().on_done([&called] { called.fetch_add(1, std::memory_order_relaxed); });
      }
      weft::yield();
      for (auto const& t : tasks) {
        t.cancel();
        t.wait();
      }
      while (called.load(std::memory_order_relaxed) != count) weft::yield();
    });
  }
}

TEST_CASE("an empty handle answers with an error", "[task][bad-input]") {
  weft::task<int> t;
  CHECK_FALSE(t.valid());
  CHECK_THROWS_AS(t.get(), weft::error);
  CHECK_THROWS_AS(t.wait(), weft::error);
  CHECK_THROWS_AS(t.wait_for(1s), weft::error);
  CHECK_THROWS_AS(t.ready(), weft::error);
  CHECK_THROWS_AS(t.exception(), weft::error);
  CHECK_THROWS_AS(t.cancel(), weft::error);
  CHECK_THROWS_AS(t.on_done([] {}), weft::error);
  CHECK_THROWS_AS(t.name(), weft::error);
  CHECK_THROWS_AS(t.detach(), weft::error);
  run_on(some_workers(), [] {
    auto a = weft::spawn([] { return 1; });
    auto b = std::move(a);
    verify(!a.valid() && b.valid());  // NOLINT: the moved-from state is what is tested
    verify(throws<weft::error>([&] { (void)a.get(); }));
    verify(b.get() == 1);
    b.detach();
    verify(throws<weft::error>([&] { b.wait(); }));
  });
}

TEST_CASE("detached fibers go on by themselves", "[task]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  weft::event done;
  run_with(on(some_workers(), options), [&] {
    weft::event gate;
    auto t = weft::spawn(weft::spawn_options{.name = "loner"}, [&] {
      gate.wait();
      done.set();
      throw std::runtime_error("nobody listens");
    });
    t.detach();
    verify(!t.valid());
    gate.set();
    done.wait();
    auto finished = weft::spawn([] { throw std::runtime_error("already over"); });
    finished.wait();
    finished.detach();
    // Until all that was detached has ended.
    while (log.lines().size() < 2) weft::yield();
  });
  auto lines = log.lines();
  std::sort(lines.begin(), lines.end());
  CHECK(lines == std::vector<std::string>{": already over", "loner: nobody listens"});
}

TEST_CASE("rule 1: a task cancelled before it started never runs", "[task][bad-input]") {
  run_with(weft::testing::fifo(), [] {
    auto const alive = std::make_shared<int>();
    bool ran = false;
    auto t = weft::spawn([&ran, alive] { ran = true; });
    t.cancel();
    verify(cancellation_of([&] { t.get(); }) == weft::cancel_reason::user);
    verify(!ran);
    verify(alive.use_count() == 1);  // its callable has been destroyed
    {
      auto dropped = weft::spawn([&ran] { ran = true; });
    }
    verify(!ran);
  });
}

TEST_CASE("cancel ends a wait, and every later one", "[task]") {
  run_on(some_workers(), [] {
    weft::event started;
    auto t = weft::spawn([&] {
      started.set();
      int hits = 0;
      hits += cancellation_of(park_forever) == weft::cancel_reason::user;
      hits += cancellation_of([] { weft::yield(); }) == weft::cancel_reason::user;
      hits += cancellation_of([] { weft::sleep_for(1h); }) == weft::cancel_reason::user;
      hits += cancellation_of([] { weft::sleep_for(0s); }) == weft::cancel_reason::user;
      weft::event set;
      set.set();
      hits += cancellation_of([&] { set.wait(); }) == weft::cancel_reason::user;
      hits += cancellation_of([&] { (void)set.wait_for(0s); }) == weft::cancel_reason::user;
      verify(weft::this_fiber::cancel_requested());
      return hits;
    });
    started.wait();
    t.cancel();
    t.cancel(weft::cancel_reason::deadline);  // only the first reason counts
    verify(t.get() == 6);
    t.cancel();  // after its end: nothing
  });
}

TEST_CASE("a fiber may cancel itself", "[task][bad-input]") {
  run_on(some_workers(), [] {
    weft::task<void>* self = nullptr;
    weft::event gate;
    auto t = weft::spawn([&] {
      gate.wait();
      self->cancel();
      weft::yield();
    });
    self = &t;
    gate.set();
    verify(cancellation_of([&] { t.get(); }) == weft::cancel_reason::user);
  });
}

TEST_CASE("rule 2: a cancelled child is not mistaken for ones own cancellation", "[task]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    auto parent = weft::spawn(weft::spawn_options{.name = "parent"}, [] {
      auto child = weft::spawn([] { park_forever(); });
      child.cancel();
      child.get();
    });
    parent.wait();
    verify(!parent.exception() == false);
    auto uncollected = weft::spawn(weft::spawn_options{.name = "uncollected"}, [] {
      auto child = weft::spawn([] { park_forever(); });
      child.cancel();
      child.get();
    });
    uncollected.wait();
  });
  CHECK(log.lines() == std::vector<std::string>{"uncollected: not a std::exception"});
}

TEST_CASE("cancelling a task whose result is ready changes nothing", "[task][bad-input]") {
  run_on(some_workers(), [] {
    auto t = weft::spawn([] { return 9; });
    t.wait();
    t.cancel();
    verify(t.get() == 9);
  });
}

TEST_CASE("on_done runs when the task ends, or at once", "[task]") {
  run_on(some_workers(), [] {
    std::vector<int> order;  // written by the finishing fiber, then by us
    weft::event gate;
    auto t = weft::spawn([&] { gate.wait(); });
    auto owned = std::make_unique<int>(1);
    t.on_done([&order, owned = std::move(owned)] { order.push_back(*owned); });
    weft::event second;
    t.on_done([&] {
      order.push_back(2);
      second.set();
    });
    gate.set();
    t.get();
    second.wait();
    verify(order == std::vector<int>{1, 2});
    t.on_done([&] { order.push_back(3); });
    verify(order.size() == 3);
  });
}

TEST_CASE("what an on_done callback throws goes to the handler", "[task]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    auto t = weft::spawn([] {});
    t.wait();
    t.on_done([] { throw std::runtime_error("from the callback"); });
    weft::event called;
    weft::event gate;
    auto u = weft::spawn([&] { gate.wait(); });
    u.on_done([] { throw std::runtime_error("from the other"); });
    u.on_done([&] { called.set(); });
    gate.set();
    called.wait();
    u.get();
  });
  CHECK(log.lines() ==
        std::vector<std::string>{"on_done callback: from the callback", "on_done callback: from the other"});
}

TEST_CASE("a callback may own the tasks handle, or drop another", "[task]") {
  run_on(some_workers(), [] {
    weft::event done;
    auto first = weft::spawn([] {});
    first.wait();
    auto t = weft::spawn([] { weft::yield(); });
    t.on_done([f = std::move(first), &done]() mutable {
      {
        auto dropped = std::move(f);
      }  // it has ended: nothing to wait for
      done.set();
    });
    done.wait();
    t.get();
  });
}

TEST_CASE("rule 15: waiting for oneself throws", "[task][rule15][bad-input]") {
  run_on(some_workers(), [] {
    weft::task<void>* self = nullptr;
    weft::event gate;
    auto t = weft::spawn([&] {
      gate.wait();
      verify(reports_deadlock([&] { self->wait(); }));
      verify(reports_deadlock([&] { (void)self->wait_for(1h); }));
    });
    self = &t;
    gate.set();
    t.get();
  });
}

TEST_CASE("rule 15: a circle of joins is reported by the one who would close it", "[task][rule15][bad-input]") {
  std::size_t const length = GENERATE(std::size_t{2}, std::size_t{3}, std::size_t{10});
  run_on(some_workers(), [length] {
    std::vector<weft::task<bool>> ring(length);
    weft::event ready;
    for (std::size_t i = 0; i < length; ++i) {
      ring[i] = weft::spawn([&, i] {
        ready.wait();
        return reports_deadlock([&] { ring[(i + 1) % length].wait(); });
      });
    }
    ready.set();
    std::size_t reported = 0;
    for (auto& t : ring) reported += t.get() ? 1U : 0U;
    verify(reported >= 1);  // those that close it at the same moment may all be told
  });
}

TEST_CASE("rule 15: a circle is seen through one that stepped aside, also by who waits under a shield or a limit",
          "[task][rule15][bad-input]") {
  auto const limited = GENERATE(false, true);
  run_on(some_workers(), [limited] {
    weft::task<void>* outer = nullptr;
    bool reported = false;
    auto a = weft::spawn([&] {
      auto b = weft::spawn([&] {
        weft::cancel_shield const shield;
        reported = reports_deadlock([&] { limited ? (void)outer->wait_for(1h) : outer->wait(); });
      });
      b.wait();  // it runs b in its own place
    });
    outer = &a;
    a.wait();
    verify(reported);
  });
}

TEST_CASE("rule 15: a long chain of joins is no circle", "[task][rule15]") {
  run_on(some_workers(), [] {
    weft::event gate;
    std::vector<weft::task<int>> chain;
    chain.reserve(200);  // the fibers refer to its elements
    chain.push_back(weft::spawn([&] {
      gate.wait();
      return 0;
    }));
    for (std::size_t i = 1; i < 200; ++i) {
      chain.push_back(weft::spawn([&chain, i] { return chain[i - 1].get() + 1; }));
      if (i % 16 == 0) weft::yield();
    }
    gate.set();
    verify(chain.back().get() == 199);
  });
}

TEST_CASE("rule 15: a handle that dies on its own fiber is detached, and reported", "[task][rule15][bad-input]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [] {
    auto slot = std::make_shared<weft::task<void>>();
    weft::event gate;
    weft::event done;
    *slot = weft::spawn(weft::spawn_options{.name = "own"}, [&gate, &done, slot]() mutable {
      gate.wait();
      {
        auto mine = std::move(*slot);
      }
      done.set();
    });
    gate.set();
    done.wait();
    slot.reset();
  });
  REQUIRE(log.lines().size() == 1);
  CHECK(log.lines()[0].find("own: ") == 0);
  CHECK(log.lines()[0].find("detached") != std::string::npos);
}

TEST_CASE("rule 16: a finished task stays readable after its runtime is gone", "[task][rule16][bad-input]") {
  unhandled_log log;
  weft::task<std::string> value;
  weft::task<void> failure;
  weft::task<void> dropped;
  {
    weft::runtime_options options;
    options.on_unhandled_exception = log.handler();
    weft::runtime rt{on(some_workers(), options)};
    value = rt.spawn(weft::spawn_options{.name = "kept"}, [] { return std::string(100, 'y'); });
    failure = rt.spawn([] { throw std::runtime_error("kept too"); });
    dropped = rt.spawn([] { throw std::runtime_error("reported late"); });
    value.wait();
    failure.wait();
    dropped.wait();
  }
  CHECK(value.ready());
  CHECK(value.name() == "kept");
  value.wait();
  CHECK(value.wait_for(0s));
  value.cancel();
  bool called = false;
  value.on_done([&] { called = true; });
  CHECK(called);
  CHECK(value.get() == std::string(100, 'y'));
  CHECK_THROWS_AS(failure.get(), std::runtime_error);
  dropped.detach();
  CHECK(log.lines() == std::vector<std::string>{": reported late"});
}

TEST_CASE("rule 17: the callable is destroyed on its fiber before the task counts as finished", "[task][rule17]") {
  struct witness {
    weft::fiber_id* where;
    bool* live;
    witness(weft::fiber_id* w, bool* l) : where(w), live(l) { *live = true; }
    witness(witness&& o) noexcept : where(o.where), live(std::exchange(o.live, nullptr)) {}
    ~witness() {
      if (live == nullptr) return;
      *where = weft::this_fiber::get_id();
      *live = false;
    }
  };
  run_on(some_workers(), [] {
    weft::fiber_id destroyed_on;
    bool live = false;
    weft::fiber_id ran_on;
    auto t = weft::spawn([w = witness{&destroyed_on, &live}, &ran_on] { ran_on = weft::this_fiber::get_id(); });
    while (!t.ready()) weft::yield();
    verify(!live);
    verify(destroyed_on == ran_on);
    auto failing = weft::spawn([w = witness{&destroyed_on, &live}] { throw 1; });
    verify(throws<int>([&] { failing.get(); }));
    verify(!live);
    auto never_run = weft::spawn([w = witness{&destroyed_on, &live}] {});
    never_run.cancel();
    never_run.wait();
    verify(!live);
  });
}

TEST_CASE("tasks of another runtime are joined by parking the fiber alone", "[task][rule18]") {
  weft::runtime other{on(1)};
  run_on(1, [&] {
    weft::event gate;
    auto t = other.spawn([&] {
      gate.wait();
      return 3;
    });
    auto local = weft::spawn([&] { gate.set(); });  // runs only if the join does not hold our one worker
    verify(t.get() == 3);
    local.get();
  });
  expect_no_leaks(other);
}

TEST_CASE("a task that is cancelled while its joiner waits", "[task]") {
  run_on(some_workers(), [] {
    auto victim = weft::spawn([] { park_forever(); });
    auto joiner = weft::spawn([&] { return cancellation_of([&] { victim.get(); }) == weft::cancel_reason::deadline; });
    weft::yield();
    victim.cancel(weft::cancel_reason::deadline);
    verify(joiner.get());
  });
}

TEST_CASE("a joiner that is cancelled has taken nothing", "[task]") {
  run_on(some_workers(), [] {
    weft::event gate;
    auto t = weft::spawn([&] {
      gate.wait();
      return std::make_unique<int>(4);
    });
    weft::event waiting;
    auto joiner = weft::spawn([&] {
      waiting.set();
      (void)t.get();
    });
    waiting.wait();
    weft::yield();
    joiner.cancel();
    verify(cancellation_of([&] { joiner.get(); }).has_value());
    gate.set();
    verify(*t.get() == 4);
  });
}

TEST_CASE("rule 17: a result that waits when it is destroyed goes on its fiber, however late the task is detached",
          "[task][rule17]") {
  static weft::event* leaving = nullptr;
  static weft::event* detached = nullptr;
  struct lingering {
    ~lingering() {
      leaving->set();
      detached->wait();
    }
  };
  static weft::fiber_local<lingering> last_words;
  run_on(some_workers(), [] {
    weft::event left;
    weft::event let_go;
    leaving = &left;
    detached = &let_go;
    auto gone = std::make_shared<weft::event>();
    struct waits_on_exit {
      std::shared_ptr<weft::event> gone;
      ~waits_on_exit() {
        if (gone == nullptr) return;
        weft::yield();
        verify(weft::this_fiber::get_id() != weft::fiber_id{});
        gone->set();
      }
      explicit waits_on_exit(std::shared_ptr<weft::event> tells) : gone(std::move(tells)) {}
      waits_on_exit(waits_on_exit&&) = default;
    };
    auto t = weft::spawn([gone] {
      (void)*last_words;
      return waits_on_exit{gone};
    });
    left.wait();  // the callable has returned
    t.detach();
    let_go.set();
    gone->wait();
  });
}

TEST_CASE("rule 17: the result of a detached task goes before the fiber_locals that it refers to", "[task][rule17]") {
  static weft::fiber_local<std::shared_ptr<int>> local;
  run_on(some_workers(), [] {
    weft::event gone;
    struct refers {
      std::shared_ptr<int>* to;
      weft::event* gone;
      refers(std::shared_ptr<int>& what, weft::event& tells) : to(&what), gone(&tells) {}
      refers(refers&& other) noexcept : to(std::exchange(other.to, nullptr)), gone(other.gone) {}
      ~refers() {
        if (to == nullptr) return;
        verify(*to != nullptr && **to == 7);
        gone->set();
      }
    };
    weft::event detached;
    auto t = weft::spawn([&] {
      detached.wait();
      *local = std::make_shared<int>(7);
      return refers{*local, gone};
    });
    t.detach();
    detached.set();
    gone.wait();
  });
}

TEST_CASE("rule 17: tasks that own tasks are detached while they end", "[task][rule17][stress]") {
  std::atomic<std::size_t> live{0};
  struct counted {
    std::atomic<std::size_t>* live;
    explicit counted(std::atomic<std::size_t>& of) : live(&of) { ++of; }
    counted(counted&& other) noexcept : live(std::exchange(other.live, nullptr)) {}
    ~counted() {
      if (live != nullptr) --*live;
    }
  };
  weft::runtime rt{on(some_workers())};
  rt.run([&] {
    for (std::size_t i = scaled(20'000); i > 0; --i) {
      auto t = weft::spawn([&live] { return weft::spawn([c = counted{live}] { park_forever(); }); });
      for (auto n = i % 4; n > 0; --n) weft::yield();
      t.detach();
    }
    while (rt.live_fibers() > 1) weft::yield();
  });
  CHECK(live == 0);
  expect_no_leaks(rt);
}
