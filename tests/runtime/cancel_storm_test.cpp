/// @file
/// Cancellations, time limits and completions at random moments. Each attempt ends in one way, which is one that it had
/// a right to; each task ends once; and nothing is left. With -DWEFT_SOAK=ON once more with 10^6 attempts.

#include <weft/runtime/cancel_scope.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::cancel_scope;

namespace {

constexpr std::size_t attempts_in_all = full_length ? 1'000'000 : scaled(20'000);
constexpr std::size_t attempts_of_a_task = 10;

struct tally {
  std::atomic<std::size_t> done{0};       // attempts that came to their end
  std::atomic<std::size_t> cut_short{0};  // that their scope's cancellation ended
  std::atomic<std::size_t> given_up{0};   // that the end of their task interrupted
  std::atomic<std::size_t> expiries{0};   // of limits further in
  std::atomic<std::size_t> tasks_done{0};
  std::atomic<std::size_t> tasks_cancelled{0};
};

using random_source = std::minstd_rand;

/// A moment, by turns or by time.
void pass(std::uint32_t choice) {
  if (choice % 4 == 0) return;
  if (choice % 4 == 1) return weft::sleep_for(std::chrono::nanoseconds{choice % 30'000});
  for (auto turns = choice % 8; turns != 0; --turns) weft::yield();
}

/// Waits in one of many ways until `completion` is set.
void wait_for(weft::event& completion, weft::task<void> const& completer, random_source& random, tally& count) {
  switch (random() % 7) {
    case 0: return completion.wait();
    case 1:
      while (!completion.wait_for(std::chrono::nanoseconds{random() % 20'000})) {
      }
      return;
    case 2: return completer.wait();
    case 3:
      for (;;) {
        try {
          return weft::with_timeout(std::chrono::nanoseconds{random() % 20'000}, [&] { completion.wait(); });
        } catch (weft::timeout_error const&) {
          ++count.expiries;
        }
      }
    case 4: weft::shield([&] { completion.wait(); }); return weft::yield();
    case 5: {
      cancel_scope nested;
      return verify(nested.run([&] {
        cancel_scope innermost{1h};
        verify(innermost.run([&] { weft::spawn([&] { completion.wait(); }).get(); }));
      }));
    }
    default:
      // Not for ever: as long as anyone is ready, no virtual time passes.
      for (int turn = 0; turn < 10 && !completion.is_set(); ++turn) weft::yield();
      return completion.wait();
  }
}

/// A completion, a cancellation and perhaps a deadline, all at random, and a wait for the first.
void attempt(random_source& random, tally& count) {
  weft::event completion;
  auto const limit = random() % 3 == 0 ? std::chrono::nanoseconds{random() % 40'000} : std::chrono::nanoseconds{1h};
  cancel_scope scope{limit};
  auto const completer = weft::spawn([&, choice = random()] {
    // Cancelled, too: somebody may wait for it shielded.
    weft::cancel_shield const shielded;
    pass(static_cast<std::uint32_t>(choice));
    completion.set();
  });
  auto const canceller = weft::spawn([&, choice = random()] {
    pass(static_cast<std::uint32_t>(choice));
    scope.cancel();
  });
  auto const mover = weft::spawn([&, choice = random()] {
    if (choice % 2 == 0) return;
    pass(static_cast<std::uint32_t>(choice));
    scope.reschedule(std::chrono::nanoseconds{choice % 40'000});
  });
  struct interrupted {
    std::atomic<std::size_t>* counter;
    ~interrupted() {
      if (counter != nullptr) ++*counter;
    }
  } unless_it_ends{&count.given_up};
  bool const done = scope.run([&] { wait_for(completion, completer, random, count); });
  unless_it_ends.counter = nullptr;
  // What ended it is what it claims to be.
  verify(done || scope.cancel_requested());
  ++(done ? count.done : count.cut_short);
}

void storm(std::uint32_t seed, std::size_t attempts, tally& count, watchdog& dog) {
  random_source random{seed};
  std::size_t const tasks = attempts / attempts_of_a_task;
  constexpr std::size_t at_once = 20;
  for (std::size_t begun = 0; begun < tasks; begun += at_once) {
    std::vector<weft::task<std::size_t>> running;
    std::vector<weft::task<void>> cancellers;
    for (std::size_t i = 0; i < at_once; ++i) {
      running.push_back(weft::spawn([&count, own = static_cast<std::uint32_t>(random())] {
        random_source choices{own};
        std::size_t made = 0;
        for (; made < attempts_of_a_task; ++made) attempt(choices, count);
        return made;
      }));
    }
    // A third of them is cancelled.
    for (std::size_t i = 0; i < at_once; i += 3) {
      cancellers.push_back(weft::spawn([&t = running[i], choice = static_cast<std::uint32_t>(random())] {
        for (auto n = choice % 5; n != 0; --n) pass(choice / n);
        t.cancel();
      }));
    }
    for (auto& c : cancellers) c.get();
    for (auto& t : running) {
      try {
        verify(t.get() == attempts_of_a_task);
        ++count.tasks_done;
      } catch (weft::cancelled const& c) {
        verify(c.reason() == weft::cancel_reason::user);
        ++count.tasks_cancelled;
      }
      dog.feed();
    }
  }
}

void check(tally const& count, std::size_t tasks) {
  CHECK(count.tasks_done + count.tasks_cancelled == tasks);
  // One for each attempt that was begun, and in a task that was cancelled at most one was given up.
  CHECK(count.given_up <= count.tasks_cancelled);
  CHECK(count.done + count.cut_short >= count.tasks_done * attempts_of_a_task);
  // It was a storm.
  CHECK(count.done > 0);
  CHECK(count.cut_short > 0);
  CHECK(count.tasks_cancelled > 0);
  CHECK(count.expiries > 0);
}

}  // namespace

TEST_CASE("soak: random cancellations against time limits and completions, in simulation",
          "[stress][soak][cancel_scope][rule3][hazard][H6]") {
  watchdog dog{"simulated cancellations"};
  constexpr std::uint32_t seeds = 20;
  auto const each = attempts_in_all / seeds / 200 * 200 + 200;
  tally count;
  std::size_t tasks = 0;
  for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
    weft::testing::simulation world{seed};
    auto const program = [&] {
      storm(seed, each, count, dog);
      weft::testing::expect_no_leaks();
    };
    world.run(program);
    tasks += each / attempts_of_a_task;
    if (seed > 2) continue;
    auto const hash = world.trace_hash();
    world.run(program);
    tasks += each / attempts_of_a_task;
    CHECK(world.trace_hash() == hash);
  }
  check(count, tasks);
}

TEST_CASE("soak: random cancellations against time limits and completions, on threads",
          "[stress][soak][cancel_scope][rule3][hazard][H6]") {
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{4});
  INFO("workers " << workers);
  watchdog dog{"cancellations"};
  auto const attempts = attempts_in_all / 200 * 200 + 200;
  tally count;
  run_on(workers, [&] { storm(std::uint32_t{4'711} + static_cast<std::uint32_t>(workers), attempts, count, dog); });
  check(count, attempts / attempts_of_a_task);
}

TEST_CASE("soak: a task that has stepped aside is cancelled from elsewhere, and who joins it is told of its end",
          "[stress][soak][task][hazard][H6]") {
  constexpr std::size_t rounds = full_length ? 3'000'000 : scaled(200'000);
  watchdog dog{"cancellations of who has stepped aside"};
  run_on(2, [&] {
    std::atomic<weft::task<void>*> victim{nullptr};
    std::atomic<bool> struck{false};
    std::atomic<bool> stop{false};
    // Busy on the other worker, so that it is there at the moment when the innermost task waits.
    auto canceller = weft::spawn([&] {
      for (unsigned delay = 0; !stop; delay = (delay * 7 + 13) % 97) {
        weft::task<void>* const task = victim.exchange(nullptr);
        if (task == nullptr) {
          weft::yield();
          continue;
        }
        for (std::atomic<unsigned> i{0}; i < delay;) ++i;
        task->cancel();
        struck = true;
      }
    });
    std::size_t begun = 0;  // where `inner` is quicker, a task is cancelled before
    std::size_t cancelled = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      weft::event over;
      std::atomic<weft::task<void>*> middle{nullptr};
      auto inner = weft::spawn([&] {
        while (middle == nullptr) weft::yield();
        victim = middle.load();
        over.wait();
      });
      auto task = weft::spawn([&] {
        ++begun;
        try {
          inner.wait();
        } catch (weft::cancelled const&) {
          ++cancelled;
        }
      });
      middle = &task;
      task.wait();
      while (!struck) weft::yield();
      struck = false;
      over.set();
      dog.feed();
    }
    stop = true;
    CHECK(begun > 0);
    CHECK(cancelled == begun);
  });
}
