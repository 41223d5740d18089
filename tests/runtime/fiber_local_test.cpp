/// @file
/// fiber_local: one value a fiber, wherever it goes, destroyed on the fiber when it ends; and the thread's outside.

#include <weft/runtime/fiber_local.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/context_var.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

static_assert(!std::is_copy_constructible_v<weft::fiber_local<int>>);

namespace {

struct no_default {
  explicit no_default(int v) : value(v) {}
  no_default(no_default&&) = delete;
  int value;
};

/// Calls something when it dies.
template <class F>
struct at_end {
  F f;
  ~at_end() { f(); }
};

}  // namespace

TEST_CASE("each fiber has its own value, made when it first asks", "[fiber_local]") {
  weft::fiber_local<int> counter;
  run_on(some_workers(), [&] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        verify(!counter.has_value());
        verify(*counter == 0);
        int const* const where = &counter.get();
        for (int n = 1; n <= 10 + i; ++n) {
          *counter += 1;
          weft::yield();
          verify(*counter == n);
          verify(&counter.get() == where);
        }
        verify(counter.has_value());
      }));
    }
    for (auto& t : tasks) t.get();
    verify(!counter.has_value());
  });
}

TEST_CASE("values are made by a callable, which may wait, move nothing and fail", "[fiber_local][bad-input]") {
  run_on(some_workers(), [] {
    std::atomic<int> made{0};
    weft::fiber_local<no_default> numbered{[&, owned = std::make_unique<int>(100)] {
      weft::yield();
      if (++made == 1) throw std::runtime_error("not the first");
      return no_default{*owned + made};
    }};
    verify(throws<std::runtime_error>([&] { (void)numbered.get(); }));
    verify(!numbered.has_value());
    verify(numbered->value == 102);
    verify(weft::spawn([&] { return numbered->value; }).get() == 103);
    verify(numbered->value == 102);
  });
}

TEST_CASE("values are destroyed on their fiber, newest first, before it has ended", "[fiber_local]") {
  run_on(some_workers(), [] {
    sequence<std::string> steps;
    weft::task<void>* self = nullptr;
    weft::event handed_over;
    auto const note = [&](std::string const& what) {
      return [&, what] {
        verify(weft::this_fiber::get_id() != weft::fiber_id{} && !self->ready());
        weft::sleep_for(1us);  // it may wait
        verify(!self->ready());
        steps.add(what);
      };
    };
    auto const first_note = note("first");
    auto const second_note = note("second");
    weft::fiber_local<at_end<decltype(first_note)>> first{[&] { return at_end<decltype(first_note)>{first_note}; }};
    weft::fiber_local<at_end<decltype(second_note)>> second{[&] { return at_end<decltype(second_note)>{second_note}; }};
    auto const captured_note = [&] {
      verify(first.has_value() && second.has_value());  // the callable goes before its fiber's values
      steps.add("callable");
    };
    auto t = weft::spawn([&, captured = std::make_unique<at_end<decltype(captured_note)>>(captured_note)] {
      handed_over.wait();
      (void)first.get();
      (void)second.get();
      steps.add("body");
    });
    self = &t;
    handed_over.set();
    t.get();
    verify(steps.steps() == std::vector<std::string>{"body", "callable", "second", "first"});
  });
}

TEST_CASE("rule 7: a value's destructor waits on a fiber that is cancelled, or gets cancelled meanwhile",
          "[fiber_local][rule7]") {
  run_on(some_workers(), [] {
    weft::event gate;
    weft::event waiting;
    std::atomic<int> finished{0};
    auto const wait_for_gate = [&] {
      waiting.set();
      gate.wait();
      ++finished;
    };
    weft::fiber_local<at_end<decltype(wait_for_gate)>> local{
        [&] { return at_end<decltype(wait_for_gate)>{wait_for_gate}; }};
    weft::event parked;
    auto before = weft::spawn([&] {
      (void)local.get();
      weft::event never_set;
      parked.set();
      never_set.wait();
    });
    parked.wait();
    before.cancel();
    waiting.wait();
    verify(!before.ready());
    gate.set();
    verify(throws<weft::cancelled>([&] { before.get(); }));
    verify(finished == 1);

    gate.reset();
    waiting.reset();
    auto during = weft::spawn([&] { (void)local.get(); });
    waiting.wait();
    during.cancel();
    for (int i = 0; i < 10; ++i) weft::yield();
    verify(!during.ready());
    gate.set();
    during.get();
    verify(finished == 2);
    verify(std::uncaught_exceptions() == 0);
  });
}

TEST_CASE("a stack that is handed on brings no values along", "[fiber_local]") {
  run_on(1, [] {
    weft::fiber_local<int> local;
    for (int i = 0; i < 1'000; ++i) {
      weft::spawn([&] {
        verify(!local.has_value());
        *local = 1;
      }).get();
    }
  });
}

TEST_CASE("a destructor may ask for values: its own, others, and ones that are gone", "[fiber_local][bad-input]") {
  run_on(some_workers(), [] {
    std::atomic<int> made{0};
    std::atomic<int> destroyed{0};
    weft::fiber_local<at_end<std::function<void()>>>* other = nullptr;
    weft::fiber_local<at_end<std::function<void()>>> greedy{[&] {
      ++made;
      return at_end<std::function<void()>>{[&] {
        ++destroyed;
        (void)greedy.get();  // itself: nothing new
        greedy.reset();      // which does nothing
        (void)other->get();
      }};
    }};
    weft::fiber_local<at_end<std::function<void()>>> plain{[&] {
      ++made;
      return at_end<std::function<void()>>{[&] { ++destroyed; }};
    }};
    other = &plain;
    weft::spawn([&] {
      (void)greedy.get();
      (void)plain.get();  // newest: destroyed first, and made again by the other's destructor
    }).get();
    verify(made == 3 && destroyed == 3);
  });
}

TEST_CASE("reset destroys the callers value, and get makes another", "[fiber_local]") {
  run_on(some_workers(), [] {
    std::atomic<int> alive{0};
    auto const leave = [&] { --alive; };
    weft::fiber_local<at_end<decltype(leave)>> local{[&] {
      ++alive;
      return at_end<decltype(leave)>{leave};
    }};
    local.reset();
    (void)local.get();
    weft::spawn([&] {
      (void)local.get();
      verify(alive == 2);
      local.reset();
      verify(alive == 1 && !local.has_value());
      (void)local.get();
      verify(alive == 2);
    }).get();
    verify(alive == 1 && local.has_value());
    local.reset();
    local.reset();
    verify(alive == 0);
  });
}

TEST_CASE("values outlive the object they belong to, and are never taken for another ones",
          "[fiber_local][bad-input]") {
  run_on(some_workers(), [] {
    std::atomic<int> destroyed{0};
    auto const count = [&] { ++destroyed; };
    using local = weft::fiber_local<at_end<decltype(count)>>;
    weft::spawn([&] {
      auto const make = [&] { return at_end<decltype(count)>{count}; };
      auto first = std::make_unique<local>(make);
      (void)first->get();
      first.reset();
      verify(destroyed == 0);
      first = std::make_unique<local>(make);  // mostly at the same address
      verify(!first->has_value());
      (void)first->get();
    }).get();
    verify(destroyed == 2);
  });
}

TEST_CASE("outside of a fiber a value is the threads, and a fiber never sees it", "[fiber_local][rule18]") {
  std::atomic<int> destroyed{0};
  auto const count = [&] { ++destroyed; };
  weft::fiber_local<at_end<decltype(count)>> local{[&] { return at_end<decltype(count)>{count}; }};
  weft::fiber_local<int> number;
  *number = 5;
  int seen = -1;
  std::thread other{[&] {
    seen = *number;
    *number = 6;
    (void)local.get();
  }};
  other.join();
  CHECK(seen == 0);
  CHECK(destroyed == 1);
  run_on(some_workers(), [&] {
    verify(*number == 0);
    *number = 7;
  });
  CHECK(*number == 5);
  number.reset();
  CHECK_FALSE(number.has_value());
}

TEST_CASE("a fiber that never starts, and a callable that dies unstarted, leave no value behind", "[fiber_local]") {
  run_on(some_workers(), [] {
    std::atomic<int> alive{0};
    auto const leave = [&] { --alive; };
    weft::fiber_local<at_end<decltype(leave)>> local{[&] {
      ++alive;
      return at_end<decltype(leave)>{leave};
    }};
    auto const use = [&] { (void)local.get(); };
    auto t = weft::spawn([captured = std::make_unique<at_end<decltype(use)>>(use)] {});
    t.cancel();
    t.wait();
    verify(alive == 0);
  });
}

TEST_CASE("fibers with and without values come and go", "[fiber_local][stress]") {
  run_on(some_workers(), [] {
    std::atomic<int> alive{0};
    auto const leave = [&] {
      weft::yield();
      --alive;
    };
    weft::fiber_local<at_end<decltype(leave)>> local{[&] {
      ++alive;
      return at_end<decltype(leave)>{leave};
    }};
    weft::fiber_local<int> number;
    for (std::size_t round = 0; round < scaled(1'000); ++round) {
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 16; ++i) {
        tasks.push_back(weft::spawn([&, i] {
          if (i % 2 == 0) (void)local.get();
          if (i % 3 == 0) *number = i;
          weft::yield();
          verify(local.has_value() == (i % 2 == 0) && (i % 3 != 0 || *number == i));
        }));
      }
      if (round % 4 == 0) tasks.clear();  // cancels
      for (auto& t : tasks) t.get();
    }
    verify(alive == 0);
  });
}

TEST_CASE("a context_var that the last fiber_local sets as it goes is gone before the task has ended",
          "[fiber_local][context_var]") {
  static std::shared_ptr<int> const value = std::make_shared<int>(1);
  static weft::context_var<std::shared_ptr<int>> variable{nullptr};
  struct sets_it {
    ~sets_it() { (void)variable.set(value); }
  };
  static weft::fiber_local<sets_it> local;
  struct asks_for_it {
    asks_for_it() = default;
    asks_for_it(asks_for_it const&) = default;
    ~asks_for_it() { (void)*local; }
  };
  static weft::context_var<std::shared_ptr<asks_for_it>> asking{nullptr};
  run_on(some_workers(), [] {
    auto t = weft::spawn([] { (void)asking.set(std::make_shared<asks_for_it>()); });
    t.wait();
    verify(value.use_count() == 1);
  });
}
