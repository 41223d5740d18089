/// @file
/// Many seeds: of a program that does everything at once, none may fail; of programs with a planted flaw in how they
/// wake, some seed must, and of the same programs without it none. With -DWEFT_SOAK=ON once more with 100,000 seeds.

#include <weft/runtime/simulation.hpp>

#include "support/catch.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::simulation;

namespace {

#if defined(WEFT_SOAK_FULL)
constexpr std::uint64_t seeds = 100'000;
#else
constexpr std::uint64_t seeds = scaled(4'000);
#endif
constexpr std::uint64_t seeds_to_find_a_flaw = 10'000;

// --- everything at once ---

/// What the program counts: each task ends once, by its value or by its cancellation.
struct tally {
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::atomic<int> offloaded{0};
  std::atomic<int> returned{0};
};

void work(tally& count, weft::event& e, std::uint32_t seed, int depth) {
  struct at_end {
    tally& count;
    ~at_end() { count.ended.fetch_add(1); }
  } const end{count};
  count.begun.fetch_add(1);
  std::minstd_rand random{seed};
  std::vector<weft::task<void>> children;
  for (auto steps = 2 + random() % 4; steps > 0; --steps) {
    switch (random() % 9) {
      case 0: weft::sleep_for(std::chrono::microseconds(random() % 50)); break;
      case 1: (void)e.wait_for(std::chrono::microseconds(random() % 50)); break;
      case 2: e.set(); break;
      case 3: e.reset(); break;
      case 4: {
        int const value = static_cast<int>(random() % 100);
        verify(weft::offload([&] {
                 count.offloaded.fetch_add(1);
                 return value;
               }) == value);
        count.returned.fetch_add(1);
        break;
      }
      case 5:
        if (depth > 0) {
          auto const how = random() % 2 == 0 ? weft::start::eager : weft::start::queued;
          children.push_back(weft::spawn({.start = how}, [&count, &e, depth, s = random()] {
            work(count, e, static_cast<std::uint32_t>(s), depth - 1);
          }));
        }
        break;
      case 6:
        if (!children.empty()) children[random() % children.size()].cancel();
        break;
      case 7:
        if (!children.empty()) children.pop_back();
        break;
      default: weft::yield();
    }
  }
  for (auto& child : children) {
    if (random() % 4 == 0) (void)child.wait_for(std::chrono::microseconds(random() % 30));
    child.wait();
    try {
      child.get();
    } catch (weft::cancelled const&) {  // NOLINT: the child's own
    }
  }
}

void everything_at_once(std::uint64_t seed) {
  tally count;
  weft::event e;
  {
    std::vector<weft::task<void>> tasks;
    for (std::uint32_t i = 0; i < 4; ++i) {
      tasks.push_back(weft::spawn([&, i] { work(count, e, static_cast<std::uint32_t>(seed * 4 + i + 1), 2); }));
    }
    weft::sleep_for(20us);
    tasks[seed % 4].cancel();
    for (auto& t : tasks) {
      try {
        t.get();
      } catch (weft::cancelled const&) {  // NOLINT: as above
      }
    }
  }
  verify(count.begun.load() == count.ended.load());
  verify(count.offloaded.load() >= count.returned.load());
  weft::testing::expect_no_leaks();
}

// --- planted flaws ---

enum class flaw { none, lost_wake, double_wake };

/// A lock that is handed from its holder to who has waited longest. The flaws are two mistakes about a waiter that time
/// or cancellation has ended, and that has not yet had its turn to leave the queue.
template <flaw Flaw>
class handed_lock {
public:
  bool lock_until(weft::time_point deadline) {
    weft::waiter self{"handed lock"};
    {
      std::lock_guard const lock{mutex_};
      if (!held_) {
        held_ = true;
        return true;
      }
      queue_.push_back(&self);
    }
    auto const cause = self.wait(deadline);
    if (cause == weft::wake_cause::notified) return true;
    bool chosen = false;
    {
      std::lock_guard const lock{mutex_};
      auto const at = std::find(queue_.begin(), queue_.end(), &self);
      chosen = at == queue_.end();
      if (!chosen) queue_.erase(at);
    }
    // The mistake: who is out of the queue may have been passed over, and has nothing to pass on.
    if (Flaw == flaw::double_wake && chosen) unlock();
    self.rethrow(cause);
    return false;
  }

  void unlock() {
    std::unique_lock lock{mutex_};
    while (!queue_.empty()) {
      weft::waiter* const next = queue_.front();
      queue_.pop_front();
      if (Flaw == flaw::lost_wake) {
        (void)next->notify();  // the mistake: whether the wake has reached anyone
        return;
      }
      if (!next->claim()) continue;
      lock.unlock();
      next->wake();
      return;
    }
    held_ = false;
  }

private:
  std::mutex mutex_;
  bool held_ = false;
  std::deque<weft::waiter*> queue_;
};

/// Fibers that lock, with and without a limit, hold the lock for a while, and are cancelled.
template <flaw Flaw>
void contend() {
  handed_lock<Flaw> lock;
  std::atomic<int> inside{0};
  auto const hold = [&](std::chrono::microseconds time) {
    verify(inside.fetch_add(1) == 0);
    {
      struct leave {
        handed_lock<Flaw>& lock;
        std::atomic<int>& inside;
        ~leave() {
          inside.fetch_sub(1);
          lock.unlock();
        }
      } const at_end{lock, inside};
      time.count() == 0 ? weft::yield() : weft::sleep_for(time);
    }
  };
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(weft::spawn([&, i] {
      for (int n = 0; n < 3; ++n) {
        auto const deadline = i % 2 == 0 ? weft::never : weft::testing::now() + 10us;
        if (lock.lock_until(deadline)) hold(std::chrono::microseconds((i + n) % 3 * 5));
      }
    }));
  }
  weft::sleep_for(10us);
  tasks[2].cancel();
  for (auto& t : tasks) {
    try {
      t.get();
    } catch (weft::cancelled const&) {  // NOLINT: one of them is
    }
  }
}

struct found {
  std::uint64_t seed;
  std::uint64_t hash;
  std::string what;
};

/// Failures are what is looked for: none is told on stderr.
simulation quiet(std::uint64_t seed) {
  weft::testing::simulation_options options{.report_failure = false};
  options.runtime.on_unhandled_exception = [](std::exception_ptr const&, std::string_view) {};
  return simulation{seed, std::move(options)};
}

/// The first seed with which `program` fails.
template <class F>
std::optional<found> sweep(std::uint64_t most, F program) {
  for (std::uint64_t seed = 0; seed < most; ++seed) {
    simulation sim = quiet(seed);
    try {
      sim.run(program);
    } catch (std::exception const& e) {
      return found{seed, sim.trace_hash(), e.what()};
    }
  }
  return std::nullopt;
}

/// Whether the failure comes again from its seed.
template <class F>
bool replays(found const& failure, F program) {
  simulation sim = quiet(failure.seed);
  try {
    sim.run(program);
  } catch (std::exception const& e) {
    return e.what() == failure.what && sim.trace_hash() == failure.hash;
  }
  return false;
}

}  // namespace

TEST_CASE("sweep: a program that spawns, sleeps, cancels, offloads and waits holds for every seed",
          "[simulation][stress][soak][rule3][H6]") {
  std::unordered_set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    simulation sim{seed};
    INFO("seed " << seed);
    REQUIRE_NOTHROW(sim.run([seed] { everything_at_once(seed); }));
    hashes.insert(sim.trace_hash());
    if (seed % 64 == 0) {
      auto const hash = sim.trace_hash();
      sim.run([seed] { everything_at_once(seed); });
      REQUIRE(sim.trace_hash() == hash);
    }
  }
  CHECK(hashes.size() > seeds - seeds / 100);  // the seeds lead to different runs
}

TEST_CASE("sweep: a planted lost wake-up is found, and comes again from its seed", "[simulation][hazard][H7]") {
  auto const failure = sweep(seeds_to_find_a_flaw, contend<flaw::lost_wake>);
  REQUIRE(failure.has_value());
  CHECK_THAT(failure->what, Catch::Matchers::Contains("deadlock") && Catch::Matchers::Contains("'handed lock'"));
  for (int i = 0; i < 10; ++i) CHECK(replays(*failure, contend<flaw::lost_wake>));
}

TEST_CASE("sweep: a planted double wake is found, and comes again from its seed", "[simulation][hazard][H6]") {
  auto const failure = sweep(seeds_to_find_a_flaw, contend<flaw::double_wake>);
  REQUIRE(failure.has_value());
  CHECK_THAT(failure->what, Catch::Matchers::Contains("verify() failed"));
  for (int i = 0; i < 10; ++i) CHECK(replays(*failure, contend<flaw::double_wake>));
}

TEST_CASE("sweep: without the flaw no seed fails", "[simulation]") {
  auto const failure = sweep(std::max<std::uint64_t>(seeds, scaled(10'000)), contend<flaw::none>);
  INFO("seed " << (failure ? failure->seed : 0) << ": " << (failure ? failure->what : ""));
  CHECK_FALSE(failure.has_value());
}
