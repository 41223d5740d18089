/// @file
/// Bodies of generators that wait: whoever iterates parks, wherever the body stands, and may go on on another worker.
/// And generators that pass from fiber to fiber, to threads and to other runtimes.

#include <weft/runtime/generator.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/blocking.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/collect.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

using numbers = std::vector<int>;

struct named {
  int number;
};

/// Runs `f` where every resumption is on another worker.
template <class F>
void migrating(F&& f) {
  run_with(weft::testing::forced_migration({.workers = 2}), std::forward<F>(f));
}

/// 0, 1, 2, ... each after it has let others go first.
weft::generator<int> slow_numbers() {
  return weft::generator<int>([](auto& yield) {
    for (int i = 0;; ++i) {
      weft::yield();
      yield(i);
      weft::yield();
    }
  });
}

/// Counts itself, on whatever thread.
struct counted {
  explicit counted(std::atomic<int>& of) : alive(of) { ++alive; }
  counted(counted const&) = delete;
  ~counted() { --alive; }
  std::atomic<int>& alive;
};

}  // namespace

TEST_CASE("a body that sleeps takes exactly its time, and others run meanwhile", "[generator]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const start = weft::testing::now();
    auto const elapsed = [start] { return weft::testing::now() - start; };
    sequence<std::string> log;
    auto ticker = weft::spawn([&] {
      for (int i = 0; i < 3; ++i) {
        weft::sleep_for(600ms);
        log.add("tick");
      }
    });
    weft::generator<int> g([](auto& yield) {
      for (int i = 1; i <= 2; ++i) {
        weft::sleep_for(1s);
        yield(i);
      }
    });
    for (int const v : g) {
      verify(elapsed() == v * 1s);
      log.add(std::to_string(v));
    }
    ticker.get();
    verify(log.steps() == std::vector<std::string>{"tick", "1", "tick", "tick", "2"});
  });
}

TEST_CASE("a body waits for an event, and for a task", "[generator]") {
  run_on(some_workers(), [] {
    weft::event asked;
    weft::event answered;
    auto other = weft::spawn([&] {
      asked.wait();
      answered.set();
      return 2;
    });
    weft::generator<int> g([&](auto& yield) {
      asked.set();
      answered.wait();
      yield(1);
      yield(other.get());
      yield(weft::spawn([] {
              weft::yield();
              return 3;
            }).get());
      yield(weft::spawn({.start = weft::start::eager}, [] {
              weft::yield();
              return 4;
            }).get());
    });
    verify(weft::collect(g) == numbers{1, 2, 3, 4});
  });
}

TEST_CASE("a pipeline of generators that all wait", "[generator]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const start = weft::testing::now();
    weft::generator<int> source([](auto& yield) {
      for (int i = 0; i < 10; ++i) {
        weft::sleep_for(1s);
        yield(i);
      }
    });
    weft::generator<int> pairs([&](auto& yield) {
      int sum = 0;
      bool second = false;
      for (int const v : source | std::views::transform([](int i) { return i * 10; })) {
        sum += v;
        if (second) {
          weft::sleep_for(500ms);
          yield(std::exchange(sum, 0));
        }
        second = !second;
      }
    });
    verify(weft::collect(pairs | std::views::take(5)) == numbers{10, 50, 90, 130, 170});
    verify(weft::testing::now() - start == 10s + 5 * 500ms);
  });
}

TEST_CASE("a body is the fiber that iterates it: id, name, values", "[generator]") {
  weft::fiber_local<int> value;
  run_on(some_workers(), [&] {
    weft::generator<int> g([&](auto& yield) {
      for (;;) {
        weft::yield();
        yield(*value + static_cast<int>(weft::this_fiber::name().size()));
      }
    });
    auto const take = [&](std::string_view name, int number) {
      return weft::spawn({.name = name},
                         [&, number] {
                           *value = number;
                           auto it = g.begin();
                           ++it;
                           return *it;
                         })
          .get();
    };
    verify(take("a", 100) == 101);
    verify(take("bbb", 200) == 203);
    verify(take("", 300) == 300);
    weft::generator<weft::fiber_id> id([](auto& yield) { yield(weft::this_fiber::get_id()); });
    verify(*id.begin() == weft::this_fiber::get_id());
  });
}

TEST_CASE("rule 25: a body goes on on another worker, and so does who iterates it", "[generator][rule25][hazard][H2]") {
  migrating([] {
    int in_body = 0;
    int outside = 0;
    weft::generator<int> g([&](auto& yield) {
      for (int i = 0; i < 100; ++i) {
        auto const before = weft::this_fiber::worker();
        weft::yield();
        in_body += weft::this_fiber::worker() != before ? 1 : 0;
        yield(i);
      }
    });
    auto before = weft::this_fiber::worker();
    int next = 0;
    for (int const v : g) {
      outside += weft::this_fiber::worker() != before ? 1 : 0;
      verify(v == next++);
      before = weft::this_fiber::worker();
    }
    verify(in_body == 100);
    verify(outside == 100);
  });
}

TEST_CASE("rule 24: exceptions are each side's own over waits and migration", "[generator][rule24][hazard][H4]") {
  auto const body = [] {
    weft::generator<int> g([](auto& yield) {
      weft::yield();
      verify(std::current_exception() == nullptr && std::uncaught_exceptions() == 0);
      try {
        throw named{1};
      } catch (named const&) {
        weft::yield();
        yield(1);
        weft::yield();
        try {
          throw named{2};
        } catch (named const&) {
          weft::yield();
          yield(2);
          weft::yield();
          try {
            throw;
          } catch (named const& n) {
            verify(n.number == 2);
          }
        }
        weft::yield();
        yield(3);
        try {
          throw;
        } catch (named const& n) {
          verify(n.number == 1);
        }
      }
      weft::yield();
      throw named{4};
    });
    for (int i = 0; i < 3; ++i) {
      try {
        throw named{100 + i};
      } catch (named const&) {
        auto it = g.begin();
        verify(*it == i + 1);
        verify(std::uncaught_exceptions() == 0);
        if (i < 2) ++it;
        weft::yield();
        try {
          throw;
        } catch (named const& n) {
          verify(n.number == 100 + i);
        }
      }
      verify(std::current_exception() == nullptr);
    }
    auto it = g.begin();
    try {
      ++it;
      verify(false);
    } catch (named const& n) {
      weft::yield();
      verify(n.number == 4);
    }
    verify(std::current_exception() == nullptr && std::uncaught_exceptions() == 0);
  };
  run_on(some_workers(), body);
  migrating(body);
}

TEST_CASE("generators within generators wait, deep", "[generator]") {
  struct nest {
    static weft::generator<int> of(int depth) {
      return weft::generator<int>([depth](auto& yield) {
        weft::yield();
        if (depth > 0) yield.from(of(depth - 1));
        weft::yield();
        yield(depth);
      });
    }
  };
  auto const body = [] {
    int next = 0;
    for (int const v : nest::of(30)) verify(v == next++);
    verify(next == 31);
  };
  run_on(some_workers(), body);
  migrating(body);
}

TEST_CASE("a body offloads, and blocks", "[generator]") {
  run_on(some_workers(), [] {
    weft::generator<int> g([](auto& yield) {
      for (int i = 0; i < 20; ++i) {
        yield(weft::offload([i] { return i; }));
        yield(weft::offload_blocking([i] { return i; }));
        yield(weft::blocking([i] { return i; }));
      }
    });
    int seen = 0;
    for (int const v : g) verify(v == seen++ / 3);
    verify(seen == 60);
  });
}

TEST_CASE("a body that yields in weft::blocking may end it on another fiber, and not outside of its runtime",
          "[generator][bad-input]") {
  auto const make = [] {
    return weft::generator<int>([](auto& yield) {
      weft::blocking([&] {
        yield(1);
        yield(2);
      });
    });
  };
  run_on(some_workers(), [&] {
    auto g = make();
    verify(*g.begin() == 1);
    weft::spawn([&] { g = {}; }).get();
  });
  CHECK(aborts_with("a call of weft::blocking ends outside of its runtime", [&] {
    auto g = make();
    weft::run([&] { verify(*g.begin() == 1); });
    g = {};
  }));
}

TEST_CASE("rule 25: one fiber after another iterates", "[generator][rule25]") {
  auto const body = [] {
    std::atomic<int> alive{0};
    weft::generator<int> g([&](auto& yield) {
      counted const c{alive};
      for (int i = 0;; ++i) {
        weft::yield();
        yield(i);
      }
    });
    for (int i = 0; i < 50; ++i) {
      auto const taken = weft::spawn([&] {
                           auto it = g.begin();
                           int const v = *it;
                           weft::yield();
                           ++it;
                           return v;
                         }).get();
      verify(taken == i);
    }
    weft::spawn([mine = std::move(g)] {}).get();  // and another destroys it
    verify(alive == 0);
  };
  run_on(some_workers(), body);
  migrating(body);
}

TEST_CASE("rule 25: fibers, threads and other runtimes iterate the same generator", "[generator][rule25]") {
  std::atomic<int> alive{0};
  std::optional<weft::generator<int>> g;
  g.emplace([&](auto& yield) {
    counted const c{alive};
    for (int i = 0;; ++i) {
      weft::sleep_for(1us);
      yield(i);
      weft::yield();
    }
  });
  int taken = 0;
  auto const take_three = [&] {
    for (int n = 0; n < 3; ++n) {
      auto it = g->begin();
      verify(*it == taken++);
      ++it;
    }
  };
  auto const begins_on_fiber = GENERATE(true, false);
  if (begins_on_fiber) run_on(1, take_three);
  take_three();
  run_on(2, take_three);  // its own runtime, which ends before the generator does
  std::thread{take_three}.join();
  {
    weft::runtime a{on(2)};
    weft::runtime b{on(1)};
    a.run(take_three);
    b.run([&] { a.run(take_three); });
    b.run(take_three);
  }
  take_three();
  CHECK(alive == 1);
  auto const ends_on_fiber = GENERATE(true, false);
  if (ends_on_fiber) {
    run_on(1, [&] { g.reset(); });
  } else {
    g.reset();
  }
  CHECK(alive == 0);
}

TEST_CASE("a generator outlives the runtime in which its body began and waited", "[generator]") {
  std::atomic<int> alive{0};
  std::vector<weft::generator<int>> left;
  auto const workers = some_workers();
  run_on(workers, [&] {
    for (int i = 0; i < 10; ++i) {
      left.push_back(weft::spawn([&alive, i] {
                       weft::generator<int> g([&alive, i](auto& yield) {
                         counted const c{alive};
                         weft::yield();
                         yield(i);
                         weft::yield();  // of the thread, by then
                         yield(i + 100);
                       });
                       (void)g.begin();
                       return g;
                     }).get());
    }
  });
  CHECK(alive == 10);
  for (int i = 0; i < 10; i += 2) {
    auto& g = left[static_cast<std::size_t>(i)];
    CHECK(weft::collect(g) == numbers{i, i + 100});
  }
  CHECK(alive == 5);
  left.clear();
  CHECK(alive == 0);
}

TEST_CASE("rule 25: a fiber that resumes a body which waits for another is refused", "[generator][rule25][bad-input]") {
  run_on(some_workers(), [] {
    weft::event go;
    weft::event begun;
    weft::generator<int> g([&](auto& yield) {
      begun.set();
      go.wait();
      yield(1);
    });
    auto first = weft::spawn([&] { return *g.begin(); });
    begun.wait();
    verify(throws<weft::error>([&] { (void)g.begin(); }));
    go.set();
    verify(first.get() == 1);
    verify(*g.begin() == 1);
  });
}

TEST_CASE("rule 25: a cancellation strikes where the body waits, and leaves the increment", "[generator][rule25]") {
  auto const body = [] {
    weft::event begun;
    std::atomic<int> met{0};
    std::atomic<bool> ended{false};
    auto t = weft::spawn([&] {
      weft::generator<int> g([&](auto& yield) {
        yield(1);
        begun.set();
        try {
          weft::sleep_for(24h);
        } catch (weft::cancelled const& c) {
          met += c.reason() == weft::cancel_reason::user ? 1 : 0;
          throw;
        }
      });
      auto it = g.begin();
      try {
        ++it;
      } catch (weft::cancelled const&) {
        ended = it == g.end();
        ++met;
        throw;
      }
    });
    begun.wait();
    t.cancel();
    t.wait();
    verify(met == 2);
    verify(ended);
  };
  run_on(some_workers(), body);
  migrating(body);
}

TEST_CASE("a runtime that stops unwinds generators on its fibers, and fibers within bodies",
          "[generator][hazard][H20]") {
  std::atomic<int> alive{0};
  weft::runtime rt{on(some_workers())};
  rt.run([&] {
    weft::event ready;
    std::atomic<int> parked{0};
    constexpr int fibers = static_cast<int>(scaled(320));
    for (int i = 0; i < 2 * fibers; ++i) {
      (void)weft::spawn({.detached = true}, [&alive, &ready, &parked, i] {
        counted const outside{alive};
        weft::generator<int> g([&, in_body = i % 2 == 0](auto& yield) {
          counted const inside{alive};
          weft::yield();
          yield(1);
          if (++parked == 2 * fibers) ready.set();
          if (in_body) weft::sleep_for(24h);
          yield(2);
        });
        auto it = g.begin();
        ++it;
        weft::sleep_for(24h);
      });
    }
    ready.wait();
  });
  rt.shutdown();
  CHECK(alive == 0);
  expect_no_leaks(rt);
}

TEST_CASE("bodies wait on a thread outside of any runtime", "[generator]") {
  weft::event asked;
  weft::event answered;
  std::thread other{[&] {
    asked.wait();
    answered.set();
  }};
  weft::generator<int> g([&](auto& yield) {
    weft::sleep_for(1us);
    asked.set();
    yield(1);
    answered.wait();
    weft::yield();
    yield(2);
  });
  CHECK(weft::collect(g) == numbers{1, 2});
  other.join();
}

TEST_CASE("generators run in a guest", "[generator][guest]") {
  weft::runtime_options options;
  options.guest = true;
  weft::runtime rt{options};
  auto t = rt.spawn([] {
    weft::generator<int> g([](auto& yield) {
      for (int i = 0; i < 3; ++i) {
        weft::sleep_for(1us);
        yield(i);
      }
    });
    return weft::collect(g);
  });
  weft::generator<int> outside([](auto& yield) {
    yield(1);
    yield(2);
  });
  auto it = outside.begin();
  CHECK(t.get() == numbers{0, 1, 2});  // which drives it
  ++it;
  CHECK(*it == 2);
}

TEST_CASE("a simulation with generators repeats from its seed", "[generator]") {
  auto const program = [] {
    std::vector<weft::task<int>> tasks;
    for (int i = 0; i < 5; ++i) {
      tasks.push_back(weft::spawn([i] {
        weft::generator<int> g([i](auto& yield) {
          for (int n = 0; n < 5; ++n) {
            weft::sleep_for((i + n) * 1ms);
            yield(n);
          }
        });
        int sum = 0;
        for (int const v : g | std::views::filter([](int n) { return n != 3; })) {
          weft::yield();
          sum += v;
        }
        return sum;
      }));
    }
    for (auto& t : tasks) verify(t.get() == 7);
  };
  weft::testing::simulation first{7};
  first.run(program);
  weft::testing::simulation second{7};
  second.run(program);
  CHECK(first.trace_hash() == second.trace_hash());
}

TEST_CASE("many fibers share the workers with many generators", "[generator]") {
  auto const body = [] {
    std::vector<weft::task<void>> tasks;
    for (int f = 0; f < 20; ++f) {
      tasks.push_back(weft::spawn([] {
        auto a = slow_numbers();
        auto b = slow_numbers();
        auto ia = a.begin();
        auto ib = b.begin();
        for (int i = 0; i < 50; ++i) {
          verify(*ia == i);
          verify(*ib == i);
          ++ia;
          weft::yield();
          ++ib;
        }
      }));
    }
    for (auto& t : tasks) t.get();
  };
  run_on(some_workers(), body);
  migrating(body);
}

// --- cancel scopes ---

TEST_CASE("rule 25: an expiry while the body is suspended strikes at its next wait", "[generator][rule25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    bool timed_out = false;
    weft::generator<int> g([&](auto& yield) {
      try {
        weft::with_timeout(1s, [&] {
          yield(1);
          yield(2);  // no cancellation point
          weft::yield();
          yield(3);
        });
      } catch (weft::timeout_error const&) {
        timed_out = true;
      }
      weft::sleep_for(1s);
      yield(4);
    });
    auto it = g.begin();
    weft::sleep_for(2s);  // the body's scope does not count here
    ++it;
    verify(*it == 2);
    verify(!timed_out);
    ++it;
    verify(timed_out);
    verify(*it == 4);
  });
}

TEST_CASE("rule 25: a body's deadline ends a wait that it makes for another fiber", "[generator][rule25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const start = weft::testing::now();
    weft::generator<int> g([](auto& yield) {
      yield(1);
      yield(weft::move_on_after(3s,
                                [&] {
                                  yield(2);
                                  weft::sleep_for(1h);
                                })
                ? 3
                : 4);
    });
    auto it = g.begin();
    weft::spawn([&] {
      ++it;
      verify(*it == 2);
      weft::sleep_for(1s);
    }).get();
    verify(weft::testing::now() - start == 1s);
    ++it;
    verify(*it == 4);
    verify(weft::testing::now() - start == 3s);
  });
}

TEST_CASE("rule 25: the scope of who resumes counts for a body while it runs, and for no longer",
          "[generator][rule25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const start = weft::testing::now();
    weft::generator<int> g([](auto& yield) {
      yield(1);
      try {
        weft::sleep_for(1h);
      } catch (weft::cancelled const&) {
        yield(2);  // of a scope that is not the body's own, and may be over by now
        weft::sleep_for(10s);
        yield(3);
      }
    });
    auto it = g.begin();
    weft::cancel_scope scope{5s};
    bool const done = scope.run([&] {
      ++it;
      verify(*it == 2);
      verify(weft::testing::now() - start == 5s);
    });
    verify(done);
    ++it;
    verify(*it == 3);
    verify(weft::testing::now() - start == 15s);
  });
}

TEST_CASE("rule 25: scopes in a body, and around it, are cancelled wherever it stands", "[generator][rule25]") {
  auto const body = [] {
    for (int round = 0; round < 20; ++round) {
      weft::cancel_scope* inside = nullptr;
      weft::event begun;
      weft::generator<int> g([&](auto& yield) {
        weft::cancel_scope scope;
        inside = &scope;
        bool const done = scope.run([&] {
          yield(1);
          begun.set();
          weft::sleep_for(24h);
        });
        yield(done ? 2 : 3);
      });
      auto it = g.begin();
      if (round % 2 == 0) inside->cancel();  // while it is suspended
      auto other = weft::spawn([&] {
        begun.wait();
        if (round % 2 != 0) inside->cancel();  // while it waits
      });
      ++it;
      verify(*it == 3);
      other.get();
    }
  };
  run_on(some_workers(), body);
  migrating(body);
}

TEST_CASE("rule 7: a dying generator's waits are shielded, on a fiber that has been cancelled",
          "[generator][rule7][rule25]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const start = weft::testing::now();
    bool waited = false;
    bool own_deadline = false;
    weft::event begun;
    auto t = weft::spawn([&] {
      weft::generator<int> g([&](auto& yield) {
        try {
          yield(1);
        } catch (weft::cancelled const&) {
          weft::sleep_for(1s);  // in a handler: no exception is in flight
          own_deadline = !weft::move_on_after(1s, [] { weft::sleep_for(1h); });
          waited = true;
        }
      });
      (void)g.begin();
      begun.set();
      weft::sleep_for(24h);
    });
    begun.wait();
    t.cancel();
    t.wait();
    verify(waited);
    verify(own_deadline);
    verify(weft::testing::now() - start == 2s);
  });
}

TEST_CASE("rule 6: a destructor may iterate a generator that waits, while an exception unwinds",
          "[generator][rule6][hazard][H20]") {
  struct iterates_at_end {
    numbers& seen;
    ~iterates_at_end() {
      weft::generator<int> g([](auto& yield) {
        verify(std::uncaught_exceptions() == 0);
        weft::sleep_for(1s);
        yield(1);
        // A scope of its own counts.
        yield(weft::move_on_after(1s, [] { weft::sleep_for(1h); }) ? 2 : 3);
      });
      for (int const v : g) seen.push_back(v);
    }
  };
  run_with(weft::testing::in_virtual_time(), [] {
    numbers seen;
    auto t = weft::spawn([&] {
      iterates_at_end const guard{seen};
      weft::sleep_for(24h);
    });
    weft::yield();
    t.cancel();
    t.wait();
    verify(seen == numbers{1, 3});
  });
}

TEST_CASE("on a thread, too, scopes around a body and in it end its waits", "[generator]") {
  weft::generator<int> g([](auto& yield) {
    for (;;) yield(weft::move_on_after(1ms, [] { weft::sleep_for(24h); }) ? 1 : 2);
  });
  CHECK(*g.begin() == 2);
  weft::generator<int> endless([](auto& yield) {
    weft::sleep_for(24h);
    yield(1);
  });
  CHECK_FALSE(weft::move_on_after(1ms, [&] { (void)endless.begin(); }));
  CHECK(endless.begin() == endless.end());
}
