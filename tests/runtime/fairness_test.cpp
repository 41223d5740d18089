/// @file
/// Nobody starves: timers and descriptors are served whatever the run queues do (H26, rule 28), and what a busy worker
/// has queued is finished by another (rule 27).

#include <weft/runtime/detail/descriptor_wait.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/inspect.hpp>
#include <weft/runtime/pin.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fcntl.h>
#include <limits>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using std::chrono::nanoseconds;

namespace {

class pipe_ends {
public:
  pipe_ends() { verify(::pipe2(ends_.data(), O_NONBLOCK | O_CLOEXEC) == 0); }
  pipe_ends(pipe_ends const&) = delete;
  ~pipe_ends() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  [[nodiscard]] int out() const { return ends_[0]; }
  void put() const {
    char const byte = 'x';
    verify(::write(ends_[1], &byte, 1) == 1);
  }
  void take() const {
    char byte = 0;
    verify(::read(ends_[0], &byte, 1) == 1);
  }

private:
  std::array<int, 2> ends_{};
};

void compute(nanoseconds time) {
  auto const end = weft::clock::now() + time;
  while (weft::clock::now() < end) {
  }
}

/// How long a service took, counted in turns of the yielders beside it: the machine may hold up the whole process, and
/// then nothing has been starved.
struct service {
  std::uint64_t timer = 0;  ///< the most turns from a deadline's passing to the sleeper's going on
  std::uint64_t pipe = 0;   ///< the most turns from a byte's writing to its reading
};

/// Sleeps and reads a pipe beside `fibers` fibers that do nothing but compute for `slice` and yield, and end only when
/// both have been served `rounds` times.
service serve_beside(std::size_t fibers, nanoseconds slice, int rounds) {
  constexpr std::uint64_t not_yet = ~std::uint64_t{0};
  service worst;
  watchdog dog{"timers and descriptors beside a yield loop"};
  run_on(1, [&] {
    pipe_ends const pipe;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> turns{0};
    std::atomic<std::int64_t> deadline{std::numeric_limits<std::int64_t>::max()};
    std::atomic<std::uint64_t> turns_when_due{not_yet};
    std::vector<weft::task<void>> yielders;
    for (std::size_t f = 0; f < fibers; ++f) {
      yielders.push_back(weft::spawn([&] {
        while (!stop.load()) {
          if (slice.count() > 0) compute(slice);
          auto const turn = turns.fetch_add(1);
          bool const due = weft::clock::now().time_since_epoch().count() >= deadline.load();
          if (due && turns_when_due.load() == not_yet) turns_when_due.store(turn);
          weft::yield();
        }
      }));
    }
    std::atomic<std::uint64_t> written{0};
    auto sleeper = weft::spawn([&] {
      for (int i = 0; i < rounds; ++i) {
        auto const at = weft::clock::now() + 2ms;
        turns_when_due.store(not_yet);
        deadline.store(at.time_since_epoch().count());
        weft::sleep_until(weft::time_point{at});
        deadline.store(std::numeric_limits<std::int64_t>::max());
        auto const since = turns_when_due.load();
        if (since != not_yet) worst.timer = std::max(worst.timer, turns.load() - since);
        written.store(turns.load());
        pipe.put();
        dog.feed();
      }
    });
    auto reader = weft::spawn([&] {
      for (int i = 0; i < rounds; ++i) {
        verify(weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable));
        worst.pipe = std::max(worst.pipe, turns.load() - written.load());
        pipe.take();
        dog.feed();
      }
    });
    sleeper.get();
    reader.get();
    verify(turns.load() > 0);  // they were there all the time: nothing but `stop` ends them
    stop.store(true);
    for (auto& y : yielders) y.get();
  });
  return worst;
}

}  // namespace

TEST_CASE("H26: a yield loop on one worker starves neither a timer nor a pipe", "[hazard][H26]") {
  auto const worst = serve_beside(4, 0ns, 5);
  if (migration_forced()) return;  // each fiber then goes through a mailbox, behind all that is in it
  CHECK(worst.timer <= 500);
  CHECK(worst.pipe <= 50'000);  // the loop is looked at every 0.1 ms at most, and a yield takes no less than 2 ns
}

TEST_CASE("H26: timers that come faster than they are served starve no descriptor", "[hazard][H26]") {
  watchdog dog{"a descriptor beside timers"};
  constexpr int rounds = 5;
  std::atomic<bool> stop{false};
  run_on(1, [&] {
    pipe_ends const pipe;
    std::vector<weft::task<void>> sleepers;
    for (int i = 0; i < 1000; ++i) {
      sleepers.push_back(weft::spawn([&] {
        while (!stop.load()) weft::sleep_for(1us);
      }));
    }
    std::thread writer{[&] {
      for (int i = 0; i < rounds; ++i) pipe.put();
    }};
    for (int i = 0; i < rounds; ++i) {
      verify(weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable));
      pipe.take();
      for (int turn = 0; turn < 3; ++turn) weft::sleep_for(1us);  // among the others
      dog.feed();
    }
    stop.store(true);
    for (auto& s : sleepers) s.get();
    writer.join();
  });
}

TEST_CASE("rule 28: timers and descriptors are served within 10 ms, though each round of the run queue takes 40 ms",
          "[rule28][hazard][H26]") {
  auto const worst = serve_beside(200, 200us, 5);
  if (migration_forced()) return;  // as above
  CHECK(worst.timer <= 50);        // of 200 us each
  CHECK(worst.pipe <= 50);
}

TEST_CASE("a descriptor's wait ends at its deadline, and at cancellation", "[hazard][H26]") {
  run_with(weft::testing::in_virtual_time(), [] {
    pipe_ends const pipe;
    verify(!weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable,
                                          weft::detail::deadline_after(1h)));
    auto waits = weft::spawn(
        [&] { (void)weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable); });
    weft::yield();
    weft::yield();
    waits.cancel();
    waits.wait();
    verify(waits.exception() != nullptr);
    pipe.put();
    verify(weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable));
  });
}

TEST_CASE("rule 27: while one fiber of a batch computes, another worker finishes the rest", "[rule27]") {
  auto const batch = GENERATE(32, 33, 64, 500);
  auto const computes = GENERATE(0, 1, 7);  // which fiber to start it is
  auto const ticks = GENERATE(false, true);
  INFO("batch " << batch << ", computing " << computes << ", ticks " << ticks);
  run_with({.workers = 2}, [&] {
    // So that the other worker never sleeps for as long as who looks after others does.
    auto const ticker = ticks ? weft::every(1ms, [] {}) : weft::task<void>{};
    std::atomic<int> started{0};
    std::atomic<int> done{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < batch; ++i) {
      tasks.push_back(weft::spawn([&] {
        if (started.fetch_add(1) == computes) {
          // It never gives way: its worker does nothing else until all others are done.
          auto const begin = weft::clock::now();
          while (done.load() < batch - 1 && weft::clock::now() - begin < 10s) {
          }
          verify(done.load() == batch - 1);
          return;
        }
        done.fetch_add(1);
      }));
    }
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("rule 28: a timer of a worker that computes is served, though who watched it has gone to work, too",
          "[rule27][rule28]") {
  if (migration_forced()) return;  // nobody serves another's timers then
  watchdog dog{"a timer that nobody looks after"};
  auto options = on(3);
  options.slow_callback_duration = 0s;  // no monitor, which would notice it in the end
  options.stack_release.after = nanoseconds::max();
  weft::runtime rt{options};
  for (int round = 0; round < 8; ++round) {
    std::atomic<int> pinned{0};
    std::atomic<bool> served{false};
    weft::event goes_last;
    weft::event over;
    auto const begin = weft::time_point{weft::clock::now() + 50ms};
    auto const pin_on_a_thread_of_its_own = [&] {
      ++pinned;
      while (pinned.load() < 3) {
      }
    };
    auto const compute_until_served = [&] {
      while (!served.load()) {
      }
    };
    auto first = rt.spawn([&] {
      weft::pin_guard const here;
      pin_on_a_thread_of_its_own();
      auto late = weft::spawn({.start = weft::start::eager}, [&] {
        weft::sleep_until(begin + 4ms);
        served = true;
      });
      weft::sleep_until(begin);  // then its worker calls for the one that fell asleep last, to watch
      compute_until_served();
      late.get();
    });
    auto watcher = rt.spawn([&] {
      weft::pin_guard const here;
      pin_on_a_thread_of_its_own();
      goes_last.wait();
      weft::sleep_until(begin + 1500us);
      compute_until_served();
    });
    auto sleeper = rt.spawn([&] {
      weft::pin_guard const here;
      pin_on_a_thread_of_its_own();
      over.wait();
    });
    std::this_thread::sleep_until(begin - 15ms);
    goes_last.set();
    first.get();
    watcher.get();
    over.set();
    sleeper.get();
    dog.feed();
  }
}

TEST_CASE("a fiber that another worker took, and that waits again, is woken again by who has not switched since",
          "[runtime][wake]") {
  if (migration_forced()) return;  // it may not go on where it left, and every other time that is the other worker
  watchdog dog{"woken by a fiber that computes"};
  run_on(2, [&] {
    constexpr int rounds = 100;
    std::atomic<int> woken{0};
    weft::auto_reset_event call;
    auto sleeper = weft::spawn({.name = "sleeper"}, [&] {
      while (woken.load() != rounds) {
        call.wait();
        woken.fetch_add(1);
      }
    });
    auto const sleeps = [] {
      for (auto const& task : weft::all_tasks()) {
        if (task.name == "sleeper") return task.state == weft::task_state::parked;
      }
      return false;
    };
    while (!sleeps()) weft::yield();
    for (int n = 1; n <= rounds; ++n) {  // without a switch: so the other worker has to take what is next in line here
      call.set();
      while (woken.load() != n) {
      }
      while (n != rounds && !sleeps()) {
      }
      dog.feed();
    }
    sleeper.get();
  });
}

TEST_CASE("who joins one task after another goes on when several that lead the queue have run", "[task][join]") {
  run_with({.workers = 1}, [] {
    // Not parked and woken for each of them. How many it waits for is a question of time.
    constexpr int batches = 1000;
    bool several_at_once = false;
    for (int batch = 0; batch < batches && !several_at_once; ++batch) {
      std::atomic<int> ran{0};
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 10; ++i) tasks.push_back(weft::spawn([&ran] { ++ran; }));
      tasks.front().get();
      several_at_once = ran > 1;
      for (std::size_t i = 1; i < tasks.size(); ++i) tasks[i].get();
      verify(ran == 10);
    }
    verify(several_at_once);
  });
}

TEST_CASE("a joiner does not wait for what others have queued", "[task][join]") {
  run_with({.workers = 1}, [] {
    std::atomic<bool> stop{false};
    std::atomic<int> turns{0};
    auto const other = weft::spawn([&] {
      while (!stop) {
        weft::yield();
        ++turns;
      }
    });
    weft::yield();  // so that it has begun, and is no new task of ours
    std::atomic<int> others_ran{0};
    auto const nested = weft::spawn([&others_ran] {
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 10; ++i) tasks.push_back(weft::spawn([&others_ran] { ++others_ran; }));
      for (auto& task : tasks) task.detach();
    });
    auto first = weft::spawn([] {});
    auto second = weft::spawn([] {});
    int const before = turns;
    first.get();
    verify(turns - before <= 2);
    verify(others_ran == 0);
    second.get();
    stop = true;
    other.wait();
    nested.wait();
    while (others_ran < 10) weft::yield();
  });
}

TEST_CASE("a joiner whose tasks compute is not held up until all have", "[task][join]") {
  run_with({.workers = 1}, [] {
    std::atomic<int> ran{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&ran] {
        compute(2ms);
        ++ran;
      }));
    }
    tasks.front().get();
    verify(ran < 5);
    for (std::size_t i = 1; i < tasks.size(); ++i) tasks[i].get();
    verify(ran == 20);
  });
}

TEST_CASE("rule 27: a joiner held behind a task that computes goes on elsewhere", "[rule27][join]") {
  watchdog const dog{"a joiner behind its computing task"};
  run_with({.workers = 2}, [] {
    std::atomic<bool> joined{false};
    auto first = weft::spawn([] {});
    auto second = weft::spawn([&joined] {
      auto const begin = weft::clock::now();
      while (!joined.load() && weft::clock::now() - begin < 10s) {
      }
      verify(joined.load());
    });
    first.get();
    joined = true;
    second.get();
  });
}

TEST_CASE("H26: a loop of spawns and joins starves neither a timer nor another fiber", "[hazard][H26][join]") {
  watchdog const dog{"beside a loop of joins"};
  auto const in_batches_of = GENERATE(1, 3);
  run_with({.workers = 1}, [&] {
    std::atomic<bool> slept{false};
    auto const sleeper = weft::spawn([&slept] {
      weft::sleep_for(1ms);
      slept = true;
    });
    weft::yield();  // so that it sleeps
    while (!slept) {
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < in_batches_of; ++i) tasks.push_back(weft::spawn([] {}));
      for (auto& task : tasks) task.get();
    }
  });
}

TEST_CASE("H26: a loop of joins beside a descriptor lets others have their turns", "[runtime][hazard][H26]") {
  watchdog dog{"others beside a loop of joins"};
  bool const eager = GENERATE(false, true);
  std::uint64_t most = 0;  // ends between two turns of another
  run_on(1, [&] {
    pipe_ends const pipe;
    auto reader = weft::spawn(
        [&] { verify(weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable)); });
    constexpr int rounds = 50;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> ended{0};
    auto joiner = weft::spawn([&] {
      while (!stop.load()) {
        weft::spawn_options options;
        if (eager) options.start = weft::start::eager;
        weft::spawn(options, [&] {
          compute(50us);
          ended.fetch_add(1);
        }).get();
      }
    });
    // Others have a turn every 0.5 to 2 ms, looked for with every eighth end; a machine that is slow only makes it
    // fewer ends.
    for (int i = 0; i < rounds; ++i) {
      auto const before = ended.load();
      weft::yield();
      most = std::max(most, ended.load() - before);
      dog.feed();
    }
    stop.store(true);
    joiner.get();
    pipe.put();
    reader.get();
  });
  CHECK(most <= 150);
}

TEST_CASE("with strict order what came from outside goes before a fiber that yields later, beside a descriptor too",
          "[runtime][fifo]") {
  bool const armed = GENERATE(false, true);
  weft::runtime rt{{.workers = 1, .order = weft::scheduling::fifo}};
  rt.run([&] {
    pipe_ends const pipe;
    auto reader = weft::spawn([&] {
      if (armed) verify(weft::detail::wait_descriptor(pipe.out(), weft::detail::readiness::readable));
    });
    weft::yield();
    std::atomic<bool> has_run{false};
    std::thread{[&] { rt.post([&] { has_run.store(true); }); }}.join();
    weft::yield();
    verify(has_run.load());
    pipe.put();
    reader.get();
  });
}
