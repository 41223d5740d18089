/// @file
/// exit_stack and defer: in reverse order, shielded, each gets its turn, and nothing terminates.

#include <weft/runtime/exit_stack.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::defer;
using weft::exit_stack;

static_assert(!std::is_copy_constructible_v<exit_stack>);
static_assert(std::is_nothrow_move_constructible_v<exit_stack>);

namespace {

using strings = std::vector<std::string>;

struct noted {
  noted(strings& to, std::string name) : steps(&to), what(std::move(name)) {}
  noted(noted&& other) noexcept : steps(std::exchange(other.steps, nullptr)), what(std::move(other.what)) {}
  ~noted() {
    if (steps != nullptr) steps->push_back("~" + what);
  }
  strings* steps;
  std::string what;
};

/// Throws when it is moved a second time: into the stack.
struct throws_when_moved {
  explicit throws_when_moved(strings& to) : steps(&to) {}
  throws_when_moved(throws_when_moved&& other) : steps(other.steps), moves(other.moves + 1) {
    if (moves == 2) throw std::runtime_error("cannot be moved");
  }
  void operator()() const { steps->push_back("called"); }
  strings* steps;
  int moves = 0;
};

}  // namespace

TEST_CASE("callables and objects go in the reverse order, whichever way the scope is left", "[exit_stack]") {
  run_on(some_workers(), [] {
    strings steps;
    {
      exit_stack stack;
      stack.push([&] { steps.push_back("first"); });
      auto& kept = stack.enter(noted{steps, "kept"});
      stack.push([&, p = std::make_unique<int>(3)] { steps.push_back("third: " + kept.what); });
      verify(stack.size() == 3 && !stack.empty());
      steps.push_back("body");
    }
    verify(steps == strings{"body", "third: kept", "~kept", "first"});
    steps.clear();
    verify(throws<int>([&] {
      exit_stack stack;
      stack.push([&] { steps.push_back("on the way out"); });
      throw 1;
    }));
    verify(steps == strings{"on the way out"});
    {
      exit_stack stack;
      stack.push([&] {
        steps.push_back("pushes one more");
        stack.push([&] { steps.push_back("pushed meanwhile"); });
      });
      stack.push([&] { steps.push_back("newest"); });
    }
    verify(steps == strings{"on the way out", "newest", "pushes one more", "pushed meanwhile"});
  });
}

TEST_CASE("close calls all now and throws the first failure; the others are reported", "[exit_stack]") {
  unhandled_log log;
  run_with(on(some_workers(), {.on_unhandled_exception = log.handler()}), [] {
    weft::spawn({.name = "closer"}, [] {
      strings steps;
      exit_stack stack;
      stack.push([&] {
        steps.push_back("1");
        throw std::runtime_error("third failure");
      });
      stack.push([&] {
        steps.push_back("2");
        throw std::runtime_error("second failure");
      });
      stack.push([&] { steps.push_back("3"); });
      stack.push([&] {
        steps.push_back("4");
        throw std::logic_error("first failure");
      });
      std::string what;
      try {
        stack.close();
      } catch (std::logic_error const& e) {
        what = e.what();
      }
      verify(what == "first failure");
      verify(steps == strings{"4", "3", "2", "1"});
      verify(stack.empty());
      stack.close();  // nothing is left to do
      verify(steps.size() == 4);
      stack.push([&] { steps.push_back("again"); });  // and it may be used again
      stack.close();
      verify(steps.back() == "again");
    }).get();
  });
  CHECK(log.lines() == strings{"closer: second failure", "closer: third failure"});
}

TEST_CASE("what was collected can be handed on, or forgotten", "[exit_stack]") {
  run_on(some_workers(), [] {
    strings steps;
    auto const collect = [&] {
      exit_stack stack;
      stack.push([&] { steps.push_back("a"); });
      stack.push([&] { steps.push_back("b"); });
      return stack;
    };
    {
      exit_stack stack = collect();
      exit_stack mine{std::move(stack)};
      verify(stack.empty() && mine.size() == 2);  // NOLINT: documented
      verify(steps.empty());
    }
    verify(steps == strings{"b", "a"});
    steps.clear();
    {
      exit_stack stack;
      stack.push([&] { steps.push_back("before"); });
      stack = collect();
      verify(steps == strings{"before"});
      exit_stack& self = stack;
      stack = std::move(self);
      verify(stack.size() == 2);
    }
    verify(steps == strings{"before", "b", "a"});
    steps.clear();
    {
      exit_stack stack = collect();
      auto& object = stack.enter(noted{steps, "object"});
      verify(object.what == "object");
      stack.release();
      verify(stack.empty());
      verify(steps == strings{"~object"});  // it is the stack's, and not kept for good
    }
    verify(steps == strings{"~object"});
  });
}

TEST_CASE("rule 7: callables wait at the end of a cancelled fiber, or get cancelled meanwhile", "[exit_stack][rule7]") {
  run_on(some_workers(), [] {
    int ended = 0;
    weft::event started;
    auto t = weft::spawn([&] {
      defer const last{[&] {
        weft::sleep_for(1us);
        weft::yield();
        ++ended;
      }};
      exit_stack stack;
      stack.push([&] {
        weft::sleep_for(1us);
        weft::spawn([] { weft::sleep_for(1us); }).get();
        ++ended;
      });
      started.set();
      weft::sleep_for(24h);
    });
    started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(ended == 2);

    // Left in the ordinary way, and cancelled while the callables wait.
    weft::event waits;
    weft::event go_on;
    bool next_wait_throws = false;
    auto normal = weft::spawn([&] {
      {
        exit_stack stack;
        stack.push([&] { ++ended; });
        stack.push([&] {
          waits.set();
          go_on.wait();
          weft::sleep_for(1us);
          ++ended;
        });
        defer const first{[] { weft::yield(); }};
      }
      next_wait_throws = throws<weft::cancelled>([] { weft::yield(); });
    });
    waits.wait();
    normal.cancel();
    go_on.set();
    normal.get();
    verify(ended == 4 && next_wait_throws);
  });
}

TEST_CASE("waits in close heed cancellation, and all get their turn", "[exit_stack][cancel]") {
  run_on(some_workers(), [] {
    int called = 0;
    weft::event closing;
    auto t = weft::spawn([&] {
      exit_stack stack;
      stack.push([&] { ++called; });
      stack.push([&] {
        ++called;
        closing.set();
        weft::sleep_for(24h);
      });
      stack.close();
    });
    closing.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(called == 2);
  });
}

TEST_CASE("what is thrown at the end of a scope is reported, also while the stack is unwound",
          "[exit_stack][bad-input]") {
  unhandled_log log;
  run_with(on(some_workers(), {.on_unhandled_exception = log.handler()}), [] {
    weft::spawn({.name = "unlucky"}, [] {
      int called = 0;
      verify(throws<std::logic_error>([&] {
        defer const outer{[] { throw std::runtime_error("by defer"); }};
        exit_stack stack;
        stack.push([&] { ++called; });
        stack.push([] { throw std::runtime_error("by a callable"); });
        stack.push([] { throw 5; });
        throw std::logic_error("the reason");
      }));
      verify(called == 1);
      verify(std::uncaught_exceptions() == 0);
      {
        defer const normal{[] { throw std::runtime_error("on a normal end"); }};
      }
      {
        defer const cancels{[] { throw weft::cancelled{weft::cancel_reason::user}; }};
      }
      weft::yield();
    }).get();
  });
  CHECK(log.lines() == strings{"unlucky: not a std::exception", "unlucky: by a callable", "unlucky: by defer",
                               "unlucky: on a normal end", "unlucky: not a std::exception"});
}

TEST_CASE("defer calls once at the end of its scope, unless it is released", "[defer]") {
  run_on(some_workers(), [] {
    strings steps;
    {
      auto const a = defer([&] { steps.push_back("a"); });
      defer b{[&, p = std::make_unique<int>(1)] { steps.push_back("b"); }};
      defer c{[&] { steps.push_back("c"); }};
      c.release();
    }
    verify(steps == strings{"b", "a"});
  });
}

TEST_CASE("a callable that cannot be kept is called at once", "[exit_stack][bad-input]") {
  run_on(some_workers(), [] {
    strings steps;
    {
      exit_stack stack;
      throws_when_moved f{steps};
      verify(throws<std::runtime_error>([&] { stack.push(std::move(f)); }));
      verify(steps == strings{"called"} && stack.empty());
    }
    verify(steps == strings{"called"});
  });
}

TEST_CASE("on a thread, too; what is thrown there goes to stderr", "[exit_stack]") {
  strings steps;
  {
    exit_stack stack;
    stack.push([&] { steps.push_back("a"); });
    stack.push([] { throw std::runtime_error("on a thread; this line belongs to the test"); });
    defer const d{[&] {
      weft::sleep_for(1us);
      steps.push_back("d");
    }};
  }
  CHECK(steps == strings{"d", "a"});
}

TEST_CASE("ten thousand callables take no more stack than one", "[exit_stack]") {
  run_on(some_workers(), [] {
    std::size_t called = 0;
    weft::spawn({.stack_size = 16 * 1024}, [&] {
      exit_stack stack;
      for (int i = 0; i < 10'000; ++i) stack.push([&] { ++called; });
    }).get();
    verify(called == 10'000);
  });
}
