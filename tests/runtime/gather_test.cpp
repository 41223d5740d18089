/// @file
/// gather and gather_settled: results in order, the first failure, cancellation from either side, and nothing left.

#include <weft/runtime/gather.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/race.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::simulation;

namespace {

/// Parks the caller for good: only cancellation ends it.
void park_forever() {
  weft::event never_set;
  never_set.wait();
}

/// What `f` throws, as text.
template <class F>
std::string thrown_by(F&& f) {
  try {
    f();
  } catch (std::exception const& e) {
    return e.what();
  } catch (weft::cancelled const& c) {
    return std::string("cancelled: ") + weft::to_string(c.reason());
  }
  return "nothing";
}

std::string text_of(std::exception_ptr const& error) {
  return thrown_by([&] { std::rethrow_exception(error); });
}

/// Cannot be moved: only borrowed.
struct immovable {
  explicit immovable(int v) : value(v) {}
  immovable(immovable const&) = delete;
  int operator()() { return value++; }
  int value;
};

static_assert(std::same_as<decltype(weft::gather(std::declval<int (*)()>(), std::declval<void (*)()>(),
                                                 std::declval<std::string& (*)()>())),
                           std::tuple<int, std::monostate, std::string&>>);
static_assert(std::same_as<decltype(weft::gather(std::declval<std::vector<std::function<int&()>>&>())),
                           std::vector<std::reference_wrapper<int>>>);
static_assert(
    std::same_as<decltype(weft::gather(std::declval<std::vector<weft::task<void>>>())), std::vector<std::monostate>>);
static_assert(std::same_as<decltype(weft::gather_settled(std::declval<int (*)()>(), std::declval<void (*)()>())),
                           std::tuple<weft::outcome<int>, weft::outcome<void>>>);

}  // namespace

TEST_CASE("rule 12: gather gives values, references, move-only values and monostate, in order", "[gather][rule12]") {
  run_on(some_workers(), [] {
    int target = 5;
    auto [number, pointer, nothing, reference] = weft::gather([] { return 3; }, [] { return std::make_unique<int>(4); },
                                                              [] { weft::yield(); }, [&]() -> int& { return target; });
    verify(number == 3);
    verify(*pointer == 4);
    static_assert(std::same_as<decltype(nothing), std::monostate>);
    verify(&reference == &target);
    verify(weft::gather() == std::tuple<>{});
  });
}

TEST_CASE("rule 12: gather borrows its callables", "[gather][rule12]") {
  run_on(some_workers(), [] {
    immovable counter{7};
    auto const constant = [&] { return 1; };
    verify(weft::gather(counter, constant) == std::tuple{7, 1});
    verify(counter.value == 8);
    std::vector<std::function<int()>> functions(3, [n = 0]() mutable { return ++n; });
    verify(weft::gather(functions) == std::vector{1, 1, 1});
    verify(weft::gather(functions) == std::vector{2, 2, 2});
  });
}

TEST_CASE("rule 12: a range of callables gives a vector, of references and void too", "[gather][rule12]") {
  run_on(some_workers(), [] {
    auto squares = std::views::iota(0, 100) | std::views::transform([](int i) {
                     return [i] {
                       if (i % 3 == 0) weft::yield();
                       return i * i;
                     };
                   });
    auto const results = weft::gather(squares);
    verify(results.size() == 100);
    for (std::size_t i = 0; i < results.size(); ++i) verify(results[i] == static_cast<int>(i * i));

    std::vector<std::string> words{"a", "b"};
    std::vector<std::function<std::string&()>> give;
    for (auto& word : words) give.emplace_back([&word]() -> std::string& { return word; });
    auto const references = weft::gather(give);
    verify(&references[0].get() == &words[0] && &references[1].get() == &words[1]);

    verify(weft::gather(std::vector<void (*)()>(4, [] {})).size() == 4);
    std::vector<int (*)()> const none;
    verify(weft::gather(none).empty());
  });
}

TEST_CASE("gather of 3, 1 and 2 s takes 3 s and keeps the order", "[gather]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    auto const after = [](std::chrono::seconds d) {
      return [d] {
        weft::sleep_for(d);
        return d.count();
      };
    };
    auto const [a, b, c] = weft::gather(after(3s), after(1s), after(2s));
    CHECK(std::vector<long>{a, b, c} == std::vector<long>{3, 1, 2});
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("rule 11: the first failure, by time, cancels the others and is rethrown", "[gather][rule11]") {
  unhandled_log log;
  sequence<std::string> steps;
  weft::testing::simulation_options options;
  options.runtime.on_unhandled_exception = log.handler();
  simulation sim{GENERATE(1U, 2U, 3U), options};
  sim.run([&] {
    std::string const what = thrown_by([&] {
      weft::gather(
          [&] {
            try {
              weft::sleep_for(10s);
            } catch (weft::cancelled const& c) {
              steps.add(weft::to_string(c.reason()));
              throw std::runtime_error("second");
            }
          },
          [] {
            weft::sleep_for(1s);
            throw std::runtime_error("first");
          },
          [] { weft::sleep_for(100s); });
    });
    CHECK(what == "first");
  });
  CHECK(sim.elapsed() == 1s);
  CHECK(steps.steps() == std::vector<std::string>{weft::to_string(weft::cancel_reason::sibling_failed)});
  CHECK(log.lines() == std::vector<std::string>{": second"});
}

TEST_CASE("rule 11: all have ended when gather throws", "[gather][rule11][bad-input]") {
  auto const failing = GENERATE(0U, 1U, 49U);
  run_on(some_workers(), [&] {
    std::atomic<int> inside{0};
    std::vector<std::function<void()>> calls;
    for (unsigned i = 0; i < 50; ++i) {
      calls.emplace_back([&, i] {
        struct count {
          std::atomic<int>& n;
          explicit count(std::atomic<int>& of) : n(of) { ++n; }
          ~count() {
            weft::yield();  // of a cancelled fiber, too
            --n;
          }
        };
        count const here{inside};
        if (i == failing) {
          weft::yield();
          throw std::out_of_range("this one");
        }
        try {
          park_forever();
        } catch (weft::cancelled const&) {
          throw;
        }
      });
    }
    verify(throws<std::out_of_range>([&] { weft::gather(calls); }));
    verify(inside == 0);
  });
}

TEST_CASE("rule 1: siblings that have not begun are never called", "[gather][rule1]") {
  // In order of first come, the first fails before any other takes its first step.
  run_with(weft::testing::fifo(), [] {
    int ran = 0;
    verify(throws<std::runtime_error>(
        [&] { weft::gather([] { throw std::runtime_error("at once"); }, [&] { ++ran; }, [&] { ++ran; }); }));
    verify(ran == 0);
  });
}

TEST_CASE("rule 2: a foreign cancelled is a failure", "[gather][rule2]") {
  run_on(some_workers(), [] {
    std::atomic<bool> sibling_cancelled = false;
    std::string const what = thrown_by([&] {
      weft::gather(
          [] {
            auto child = weft::spawn([] { park_forever(); });
            child.cancel();
            child.get();
          },
          [&] {
            try {
              park_forever();
            } catch (weft::cancelled const& c) {
              sibling_cancelled = c.reason() == weft::cancel_reason::sibling_failed;
              throw;
            }
          });
    });
    verify(what == "cancelled: user");
    // The second may not have begun when the first failed.
    verify(!weft::this_fiber::cancel_requested());
    weft::yield();
  });
}

TEST_CASE("a cancelled caller cancels what it gathers, and joins it", "[gather][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    std::atomic<int> ended{0};
    auto outer = weft::spawn([&] {
      auto const child = [&] {
        begun.set();
        struct at_end {
          std::atomic<int>& n;
          ~at_end() {
            weft::yield();
            ++n;
          }
        } const count{ended};
        park_forever();
      };
      auto const what = thrown_by([&] { weft::gather(child, child); });
      verify(what == "cancelled: user");
      verify(ended == 2 || ended == 1);  // the second may not have begun
      park_forever();
    });
    begun.wait();
    outer.cancel();
    outer.wait();
    verify(throws<weft::cancelled>([&] { outer.get(); }));
  });
}

TEST_CASE("a failure goes before the caller's own cancellation, which strikes at the next wait", "[gather][rule11]") {
  run_on(some_workers(), [] {
    weft::event begun;
    auto outer = weft::spawn([&] {
      auto const what = thrown_by([&] {
        weft::gather([&] {
          begun.set();
          try {
            park_forever();
          } catch (weft::cancelled const&) {
            throw std::runtime_error("in the cleaning up");
          }
        });
      });
      verify(what == "in the cleaning up");
      verify(throws<weft::cancelled>([] { weft::yield(); }));
      return 1;
    });
    begun.wait();
    outer.cancel();
    verify(outer.get() == 1);
  });
}

TEST_CASE("gather is a cancellation point, with and without callables", "[gather][cancel]") {
  run_on(some_workers(), [] {
    std::atomic<bool> ran = false;
    weft::event begun;
    auto t = weft::spawn([&] {
      begun.set();
      verify(throws<weft::cancelled>([] { park_forever(); }));
      verify(throws<weft::cancelled>([&] { weft::gather([&] { ran = true; }); }));
      verify(throws<weft::cancelled>([&] { weft::gather(); }));
      std::vector<weft::task<int>> none;
      verify(throws<weft::cancelled>([&] { weft::gather(none); }));
    });
    begun.wait();
    t.cancel();
    t.get();
    verify(!ran);
  });
}

TEST_CASE("gather_settled: one failure never spoils the batch", "[gather]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    std::vector<std::function<int()>> calls;
    for (int i = 0; i < 10; ++i) {
      calls.emplace_back([i] {
        weft::sleep_for(std::chrono::seconds(i));
        if (i == 3) throw std::runtime_error("three");
        return i;
      });
    }
    auto const outcomes = weft::gather_settled(calls);
    REQUIRE(outcomes.size() == 10);
    for (std::size_t i = 0; i < 10; ++i) {
      CHECK(outcomes[i].has_value() == (i != 3));
      if (i == 3) {
        CHECK(text_of(outcomes[i].exception()) == "three");
        CHECK(thrown_by([&] { (void)outcomes[i].value(); }) == "three");
      } else {
        CHECK(*outcomes[i] == static_cast<int>(i));
        CHECK(outcomes[i].exception() == nullptr);
      }
    }
  });
  CHECK(sim.elapsed() == 9s);
}

TEST_CASE("gather_settled of references, void and values that only move", "[gather][outcome]") {
  run_on(some_workers(), [] {
    int target = 1;
    auto [a, b, c] = weft::gather_settled([&]() -> int& { return target; }, [] { throw 5; },
                                          [] { return std::make_unique<int>(9); });
    verify(a && &*a == &target && &a.value() == &target);
    verify(!b && throws<int>([&] { b.value(); }));
    auto const moved = std::move(c).value();
    verify(*moved == 9);
  });
}

TEST_CASE("gather of tasks takes their results in order", "[gather]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto const in = [](std::chrono::seconds d) {
      return weft::spawn([d] {
        weft::sleep_for(d);
        return d.count();
      });
    };
    std::vector<weft::task<long>> tasks;
    for (auto const d : {3s, 1s, 2s}) tasks.push_back(in(d));
    CHECK(weft::gather(tasks) == std::vector<long>{3, 1, 2});
    CHECK(thrown_by([&] { weft::gather(tasks); }) == "weft::gather: the result of a task has been taken already");
    auto first = in(1s);
    CHECK(weft::gather(first, in(2s)) == std::tuple{1L, 2L});
    tasks.clear();
    for (auto const d : {2s, 1s}) tasks.push_back(in(d));
    CHECK(weft::gather(std::move(tasks)) == std::vector<long>{2, 1});
    auto const settled = weft::gather_settled(in(1s), weft::spawn([]() -> int { throw std::runtime_error("no"); }));
    CHECK(std::get<0>(settled).value() == 1);
    CHECK(text_of(std::get<1>(settled).exception()) == "no");
  });
  CHECK(sim.elapsed() == 3s + 2s + 2s + 1s);
}

TEST_CASE("gather of tasks takes no result if one has none to give", "[gather]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    auto one = weft::spawn([] { return 1; });
    auto never = weft::spawn([] {
      weft::sleep_for(1h);
      return 2;
    });
    never.cancel();
    CHECK(thrown_by([&] { weft::gather(one, never); }) == "cancelled: user");
    CHECK(one.get() == 1);
    std::vector<weft::task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(weft::spawn([i] { return i; }));
    CHECK(tasks[2].get() == 2);
    CHECK(thrown_by([&] { weft::gather(tasks); }) == "weft::gather: the result of a task has been taken already");
    CHECK(tasks[0].get() == 0);
    CHECK(thrown_by([&] { weft::gather_settled(tasks[1], tasks[0]); }) ==
          "weft::gather: the result of a task has been taken already");
    CHECK(thrown_by([&] { weft::gather_settled(tasks); }) ==
          "weft::gather: the result of a task has been taken already");
    CHECK(tasks[1].get() == 1);
  });
}

TEST_CASE("rule 11: of tasks, too, the first failure cancels the others", "[gather][rule11]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    std::vector<weft::task<void>> tasks;
    tasks.push_back(weft::spawn([] { weft::sleep_for(10s); }));
    tasks.push_back(weft::spawn([] {
      weft::sleep_for(1s);
      throw std::runtime_error("first");
    }));
    CHECK(thrown_by([&] { weft::gather(tasks); }) == "first");
    CHECK(tasks[0].ready());
    CHECK(text_of(tasks[0].exception()) == "cancelled: sibling_failed");
  });
  CHECK(sim.elapsed() == 1s);
}

TEST_CASE("a cancelled caller cancels the tasks that it gathers", "[gather][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    auto outer = weft::spawn([&] {
      std::vector<weft::task<void>> tasks;
      tasks.push_back(weft::spawn([&] {
        begun.set();
        park_forever();
      }));
      verify(throws<weft::cancelled>([&] { weft::gather(tasks); }));
      verify(tasks[0].ready() && text_of(tasks[0].exception()) == "cancelled: user");
    });
    begun.wait();
    outer.cancel();
    outer.get();
  });
}

TEST_CASE("gather of 10^6 functions", "[gather][bad-input][stress]") {
  auto const n = static_cast<int>(scaled(1'000'000));
  weft::runtime_options options;
  options.slow_callback_duration = 0s;  // spawning so many takes long, with a sanitizer or on a busy machine
  run_with(on(2, options), [n] {
    std::atomic<int> ran{0};
    auto const results = weft::gather(std::views::iota(0, n) | std::views::transform([&](int i) {
                                        return [&ran, i] {
                                          ran.fetch_add(1, std::memory_order_relaxed);
                                          return i;
                                        };
                                      }));
    verify(ran == n && results.size() == static_cast<std::size_t>(n) && results.back() == n - 1);
  });
}

TEST_CASE("rule 18: gather outside of a fiber says that it needs a runtime", "[gather][rule18][bad-input]") {
  CHECK_THROWS_AS(weft::gather([] { return 1; }), weft::no_runtime);
  CHECK_THROWS_AS(weft::gather(std::vector<void (*)()>{}), weft::no_runtime);
  CHECK_THROWS_AS(weft::gather_settled([] { return 1; }), weft::no_runtime);
  // Tasks run somewhere already.
  weft::runtime rt{on(1)};
  std::vector<weft::task<int>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(rt.spawn([i] { return i; }));
  CHECK(weft::gather(tasks) == std::vector{0, 1, 2});
}

TEST_CASE("gather refuses empty callables and tasks, after what it began has ended", "[gather][bad-input]") {
  run_on(some_workers(), [] {
    std::function<int()> const empty;
    std::atomic<int> inside{0};
    auto const child = [&inside]() -> int {
      ++inside;
      try {
        park_forever();
      } catch (weft::cancelled const&) {
        --inside;
        throw;
      }
      return 1;
    };
    verify(throws<std::invalid_argument>([&] { weft::gather(child, empty); }));
    verify(throws<std::invalid_argument>([&] { weft::gather(std::vector<std::function<int()>>{child, empty}); }));
    verify(inside == 0);
    std::vector<weft::task<int>> tasks(2);
    verify(throws<weft::error>([&] { weft::gather(tasks); }));
  });
}

TEST_CASE("rule 15: a task that gathers itself is refused", "[gather][rule15][bad-input]") {
  run_on(some_workers(), [] {
    weft::event go;
    weft::task<void> self;
    self = weft::spawn([&] {
      go.wait();
      verify(throws<std::system_error>([&] { weft::gather(self); }));
    });
    go.set();
    self.get();
  });
}

TEST_CASE("rule 15: one that joins who gathers it is refused", "[gather][rule15][bad-input]") {
  run_on(some_workers(), [] {
    weft::event go;
    weft::task<void> outer;
    outer = weft::spawn([&] {
      go.wait();
      verify(throws<std::system_error>([&] { weft::gather([&] { outer.wait(); }); }));
    });
    go.set();
    outer.get();
  });
}

TEST_CASE("gathers nest", "[gather]") {
  run_on(some_workers(), [] {
    auto const fib = [](auto& self, int n) -> int {
      if (n < 2) return n;
      auto const [a, b] = weft::gather([&] { return self(self, n - 1); }, [&] { return self(self, n - 2); });
      return a + b;
    };
    verify(fib(fib, under_sanitizer ? 8 : 14) == (under_sanitizer ? 21 : 377));
  });
}

TEST_CASE("a runtime that stops ends its gathers", "[gather][cancel]") {
  weft::runtime rt{on(some_workers())};
  weft::event begun;
  auto t = rt.spawn([&] {
    auto const child = [&] {
      begun.set();
      park_forever();
    };
    weft::gather(child, child, child);
  });
  begun.wait();
  rt.shutdown();
  CHECK(text_of(t.exception()) == "cancelled: shutdown");
  expect_no_leaks(rt);
}

TEST_CASE("gathers and races under random failures and cancellations leave nothing behind", "[gather][race][stress]") {
  watchdog dog{"gathers"};
  auto const seed = GENERATE(1U, 2U, 3U);
  auto const rounds = scaled(2'000);
  CAPTURE(seed);
  unhandled_log log;  // takes what is reported: others than the first
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [&] {
    std::atomic<int> inside{0};
    std::function<int(std::uint32_t, int)> const step = [&](std::uint32_t mine, int depth) -> int {
      struct visit {
        std::atomic<int>& n;
        explicit visit(std::atomic<int>& of) : n(of) { ++n; }
        ~visit() { --n; }
      } const here{inside};
      std::minstd_rand random{mine};
      auto const next = [&] {
        return [&step, s = static_cast<std::uint32_t>(random()), depth] { return step(s, depth - 1); };
      };
      dog.feed();
      for (auto n = random() % 3; n > 0; --n) weft::yield();
      if (random() % 12 == 0) throw std::runtime_error("fails");
      if (depth == 0) return 1;
      switch (random() % 4) {
        case 0: {
          auto const [a, b] = weft::gather(next(), next());
          return a + b;
        }
        case 1: {
          std::vector<std::function<int()>> calls;
          for (auto n = random() % 4; n > 0; --n) calls.emplace_back(next());
          int sum = 0;
          for (auto const& o : weft::gather_settled(calls)) sum += o.value_or(0);
          return sum;
        }
        case 2: return weft::race(next(), next(), next());
        default: {
          std::vector<weft::task<int>> tasks;
          for (auto n = random() % 4; n > 0; --n) tasks.push_back(weft::spawn(next()));
          int sum = 0;
          for (int const i : weft::gather(std::move(tasks))) sum += i;
          return sum;
        }
      }
    };
    std::minstd_rand random{seed};
    for (std::size_t i = 0; i < rounds; ++i) {
      auto t = weft::spawn(step, static_cast<std::uint32_t>(random()), 3);
      for (auto n = random() % 8; n > 0; --n) weft::yield();
      if (random() % 2 == 0) t.cancel();
      try {
        (void)t.get();
      } catch (std::runtime_error const&) {
      } catch (weft::cancelled const&) {
      }
      verify(inside == 0);
    }
  });
}
