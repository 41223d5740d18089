/// @file
/// Simulation: one seed, one run; a closed world; and an end with a name for programs that would hang.

#include <weft/runtime/simulation.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"

#include <weft/runtime/detail/descriptor_wait.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::deadlock;
using weft::testing::simulation;

namespace {

simulation quiet(std::uint64_t seed) { return simulation{seed, {.report_failure = false}}; }

/// Fibers that yield, sleep, wait, time out, offload, spawn and are cancelled.
void mixed_program() {
  weft::event e;
  std::vector<weft::task<int>> tasks;
  for (int f = 0; f < 6; ++f) {
    tasks.push_back(weft::spawn({.start = f % 2 == 0 ? weft::start::queued : weft::start::eager}, [&e, f] {
      int sum = 0;
      for (int n = 0; n < 5; ++n) {
        switch ((f + n) % 6) {
          case 0: weft::sleep_for(std::chrono::microseconds(10 * f)); break;
          case 1: (void)e.wait_for(15us); break;
          case 2: e.set(); break;
          case 3: sum += weft::offload([n] { return n; }); break;
          case 4: {
            e.reset();
            auto dropped = weft::spawn([] { weft::sleep_for(1s); });
            weft::yield();
            break;
          }
          default: weft::yield();
        }
      }
      return sum;
    }));
  }
  tasks[3].cancel();
  for (auto& t : tasks) t.wait();
  (void)tasks[3].exception();
}

std::uint64_t hash_of(std::uint64_t seed) {
  simulation sim{seed};
  sim.run(mixed_program);
  return sim.trace_hash();
}

std::string trace_of(std::uint64_t seed) {
  simulation sim{seed, {.keep_trace = true}};
  sim.run(mixed_program);
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  sim.print_trace(file);
  std::string text(static_cast<std::size_t>(std::ftell(file)), ' ');
  std::rewind(file);
  REQUIRE(std::fread(text.data(), 1, text.size(), file) == text.size());
  std::fclose(file);
  return text;
}

/// Holds what it was given for its fiber, and waits for good, cancelled or not.
void wait_stubbornly() {
  weft::waiter self{"nothing at all", weft::cancellation::ignored};
  (void)self.wait();
}

}  // namespace

TEST_CASE("the same seed gives the same trace, 1000 times, whatever ran before in the process", "[simulation]") {
  auto const expected = hash_of(7);
  for (std::size_t i = 0; i < scaled(1000); ++i) {
    if (i % 16 == 3) run_on(2, [] { (void)weft::spawn([] {}).get(); });  // takes ids, and not only one block
    if (i % 16 == 5) (void)hash_of(i);
    if (i % 16 == 9) run_with(weft::testing::in_virtual_time(), mixed_program);
    REQUIRE(hash_of(7) == expected);
  }
}

TEST_CASE("other seeds give other runs", "[simulation]") {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 50; ++seed) hashes.insert(hash_of(seed));
  CHECK(hashes.size() == 50);
}

TEST_CASE("ids are counted from the first fiber of the run, also past a block of the process's ids", "[simulation]") {
  auto const storm = [](std::uint64_t seed) {
    simulation sim{seed};
    sim.run([] {
      for (int i = 0; i < 70'000; ++i) weft::spawn([] {}).wait();
      auto const t = weft::spawn([] { weft::sleep_for(1ms); });
      t.wait();
    });
    return sim.trace_hash();
  };
  auto const first = storm(1);
  run_on(1, [] { weft::spawn([] {}).wait(); });
  CHECK(storm(1) == first);
}

TEST_CASE("a trace can be printed, and is the same to the letter", "[simulation]") {
  auto const trace = trace_of(3);
  CHECK(trace.find("fiber 0 goes on\n") == 0);
  CHECK(trace.find("fiber 1 goes on") != std::string::npos);
  CHECK(trace.find("cancelled after a wait for sleep") != std::string::npos);
  CHECK(trace.find("timed out after a wait for event") != std::string::npos);
  CHECK(trace.find("one of ") != std::string::npos);
  CHECK(trace.find("time: ") != std::string::npos);
  run_on(1, mixed_program);
  CHECK(trace_of(3) == trace);
  CHECK(trace_of(4) != trace);
}

TEST_CASE("each run of a simulation begins anew", "[simulation]") {
  simulation sim{11};
  sim.run(mixed_program);
  auto const hash = sim.trace_hash();
  auto const steps = sim.steps();
  auto const elapsed = sim.elapsed();
  CHECK(steps > 30);
  CHECK(elapsed > 0ns);
  sim.run(mixed_program);
  CHECK(sim.trace_hash() == hash);
  CHECK(sim.steps() == steps);
  CHECK(sim.elapsed() == elapsed);
}

TEST_CASE("a simulation returns what its function returns, be it moved, a reference or nothing", "[simulation]") {
  simulation sim{1};
  int here = 5;
  CHECK(sim.run([] { return 3; }) == 3);
  CHECK(*sim.run([p = std::make_unique<int>(4)]() mutable { return std::move(p); }) == 4);
  CHECK(&sim.run([&]() -> int& { return here; }) == &here);
  sim.run([] {});
  int (*none)() = nullptr;
  CHECK_THROWS_AS(sim.run(none), std::invalid_argument);
  CHECK(sim.run([] { return 3; }) == 3);
}

TEST_CASE("time is virtual: a day passes at once, and to the nanosecond", "[simulation]") {
  simulation sim{2};
  auto const slept = sim.run([] {
    auto const before = weft::testing::now();
    weft::sleep_for(24h + 1ns);
    return weft::testing::now() - before;
  });
  CHECK(slept == 24h + 1ns);
  CHECK(sim.elapsed() == 24h + 1ns);
}

TEST_CASE("any of the ready fibers may be next, and each is at times", "[simulation]") {
  std::set<int> firsts;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    simulation sim{seed};
    firsts.insert(sim.run([] {
      std::atomic<int> first{-1};
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 8; ++i) {
        tasks.push_back(weft::spawn([&first, i] {
          int none = -1;
          first.compare_exchange_strong(none, i);
        }));
      }
      for (auto& t : tasks) t.get();
      return first.load();
    }));
  }
  CHECK(firsts.size() == 8);
}

// --- a closed world ---

TEST_CASE("an offloaded call runs in place, in no time, after some turns for others", "[simulation][offload]") {
  simulation sim{1};
  bool const in_place = sim.run([] {
    std::atomic<int> turns{0};
    auto const other = weft::spawn([&] { turns.store(1); });
    auto const here = std::this_thread::get_id();
    auto const before = weft::testing::now();
    bool const same = weft::offload([&] { return std::this_thread::get_id() == here; });
    while (turns.load() == 0) weft::offload([] {});
    bool nested = false;
    weft::offload([&] { nested = weft::offload([] { return true; }); });
    try {
      weft::offload([] { throw std::runtime_error("from the job"); });
      return false;
    } catch (std::runtime_error const& e) {
      verify(e.what() == std::string("from the job"));
    }
    return same && nested && weft::testing::now() == before;
  });
  CHECK(in_place);
}

TEST_CASE("an offloaded call may be cancelled before it starts, for some seed, and runs for another", "[simulation]") {
  bool ran = false;
  bool never_ran = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    simulation sim{seed};
    sim.run([&] {
      std::atomic<bool> called{false};
      auto t = weft::spawn([&] { weft::offload([&] { called.store(true); }); });
      weft::yield();
      t.cancel();
      t.wait();
      (void)t.exception();
      (called.load() ? ran : never_ran) = true;
    });
  }
  CHECK(ran);
  CHECK(never_ran);
}

TEST_CASE("a job that cancels its caller is heeded when it has ended", "[simulation][rule20]") {
  simulation sim{1};
  sim.run([] {
    bool ended = false;
    weft::task<void> t;
    t = weft::spawn([&] {
      weft::offload([&] {
        t.cancel();
        ended = true;
      });
      verify(false);
    });
    t.wait();
    verify(ended);
    bool was_cancelled = false;
    try {
      t.get();
    } catch (weft::cancelled const&) {
      was_cancelled = true;
    }
    verify(was_cancelled);
  });
}

TEST_CASE("descriptors are refused", "[simulation]") {
  simulation sim = quiet(1);
  CHECK_THROWS_WITH(sim.run([] { weft::detail::wait_descriptor(0, weft::detail::readiness::readable); }),
                    Catch::Matchers::Contains("simulation"));
}

TEST_CASE("a wake from another thread aborts with a message", "[simulation][death]") {
  CHECK(aborts_with("a fiber of a simulation has been woken from another thread", [] {
    simulation sim{1};
    sim.run([] {
      weft::event e;
      auto const waiting = weft::spawn([&] { e.wait(); });
      weft::testing::run_until_blocked();
      std::thread{[&] { e.set(); }}.join();
      waiting.wait();
    });
  }));
}

TEST_CASE("a simulation inside a fiber is an error", "[simulation][rule18]") {
  run_on(1, [] {
    bool refused = false;
    try {
      simulation{1}.run([] {});
    } catch (weft::error const&) {
      refused = true;
    }
    verify(refused);
  });
}

// --- failures ---

TEST_CASE("an exception leaves run, and seed and hash are told on stderr", "[simulation]") {
  std::uint64_t hash = 0;
  {
    auto sim = quiet(4711);
    CHECK_THROWS_WITH(sim.run([] { throw std::runtime_error("planted"); }), "planted");
    hash = sim.trace_hash();
  }
  auto const d = run_in_child([] {
    simulation sim{4711};
    try {
      sim.run([] { throw std::runtime_error("planted"); });
    } catch (std::runtime_error const&) {
    }
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
  char expected[64];
  std::snprintf(expected, sizeof expected, "trace %016llx: planted", static_cast<unsigned long long>(hash));
  CHECK(d.output.find("simulation with seed 4711 failed") != std::string::npos);
  CHECK(d.output.find(expected) != std::string::npos);
}

TEST_CASE("a deadlock ends the run, and names who waits for what", "[simulation][hazard][H26]") {
  auto const seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  auto sim = quiet(seed);
  std::atomic<int> unwound{0};
  struct on_exit {
    std::atomic<int>& count;
    ~on_exit() { count.fetch_add(1); }
  };
  std::string what;
  try {
    sim.run([&] {
      weft::event never_set;
      on_exit const root{unwound};
      auto const a = weft::spawn({.name = "reader"}, [&] {
        on_exit const here{unwound};
        never_set.wait();
      });
      auto const b = weft::spawn([&] {
        on_exit const here{unwound};
        a.wait();
      });
      weft::sleep_for(1s);
      b.wait();
    });
  } catch (deadlock const& e) {
    what = e.what();
  }
  CHECK(what ==
        "weft: simulation with seed " + std::to_string(seed) +
            ": deadlock: all fibers wait, and nothing will wake them: fiber 0 waits for the end of fiber 2, fiber 1 "
            "'reader' waits for 'event', fiber 2 waits for the end of fiber 1.");
  CHECK(unwound.load() == 3);
  CHECK(sim.run([] { return 1; }) == 1);
}

TEST_CASE("a deadlock is told whatever the function makes of its cancellation", "[simulation]") {
  auto sim = quiet(1);
  CHECK_THROWS_AS(sim.run([] {
    try {
      weft::event{}.wait();
    } catch (weft::cancelled const&) {
      return 1;
    }
    return 2;
  }),
                  deadlock);
  CHECK_THROWS_AS(sim.run([] {
    try {
      weft::event{}.wait();
    } catch (weft::cancelled const&) {
      throw std::runtime_error("another");
    }
  }),
                  deadlock);
}

TEST_CASE("a deadlock of fibers that ignore cancellation aborts with the message", "[simulation][death]") {
  auto const d = run_in_child([] {
    simulation sim{12};
    sim.run([] {
      auto const stubborn = weft::spawn({.name = "mule"}, wait_stubbornly);
      weft::event{}.wait();
    });
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGABRT);
  CHECK(d.output.find("simulation with seed 12") != std::string::npos);
  CHECK(d.output.find("'mule' waits for 'nothing at all'") != std::string::npos);
}

TEST_CASE("a wait with a deadline is no deadlock", "[simulation]") {
  simulation sim{1};
  CHECK_FALSE(sim.run([] { return weft::event{}.wait_for(100h); }));
}

TEST_CASE("what is left behind is cancelled and joined, the same way each time", "[simulation]") {
  auto const run = [](std::uint64_t seed, std::atomic<int>& ended) {
    simulation sim{seed};
    sim.run([&] {
      for (int i = 0; i < 10; ++i) {
        auto t = weft::spawn([&ended, i] {
          struct slow_end {
            std::atomic<int>& ended;
            int i;
            ~slow_end() {
              if (i % 3 == 0) {
                weft::waiter self{"a slow end", weft::cancellation::ignored};
                (void)self.wait(weft::testing::now() + std::chrono::milliseconds(i));
              }
              ended.fetch_add(1);
            }
          } const at_end{ended, i};
          for (;;) weft::sleep_for(std::chrono::milliseconds(i + 1));
        });
        t.detach();
      }
      weft::sleep_for(5ms);
    });
    return sim.trace_hash();
  };
  std::atomic<int> ended{0};
  auto const hash = run(5, ended);
  CHECK(ended.load() == 10);
  for (int i = 0; i < 50; ++i) REQUIRE(run(5, ended) == hash);
}

TEST_CASE("what is left behind can spawn no more", "[simulation]") {
  simulation sim{1};
  std::atomic<bool> refused{false};
  sim.run([&] {
    (void)weft::spawn({.detached = true}, [&] {
      try {
        weft::event{}.wait();
      } catch (weft::cancelled const&) {
        try {
          weft::spawn([] {}).wait();
        } catch (weft::runtime_stopped const&) {
          refused.store(true);
        }
      }
    });
    weft::yield();
    weft::testing::run_until_blocked();
  });
  CHECK(refused.load());
}
