/// @file
/// Which worker's loop watches a descriptor: the one that watches most, unless nobody looks into that.

#include "scheduler.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/socket_pair.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/detail/polled_descriptor.hpp>
#include <weft/runtime/pin.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <chrono>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

using weft::detail::current_worker;
using weft::detail::descriptor_outcome;
using weft::detail::polled_descriptor;
using weft::detail::readiness;
using weft::detail::worker;
using weft::test::run_with;
using weft::test::verify;
using weft::test::watchdog;

/// A descriptor that can be read as soon as the test says so.
class input {
public:
  void wait() {
    auto const polled = polled_descriptor::make(ends_.end(0));
    polled->exhausted(readiness::readable);
    polled_descriptor::use in_use{*polled};
    verify(in_use.wait(readiness::readable) == descriptor_outcome::ready);
  }
  void come() { ends_.send(1); }

private:
  weft::test::socket_pair ends_;
};

/// A worker for each of several fibers: all have begun before one goes on.
class separate_workers {
public:
  explicit separate_workers(int fibers) : missing_(fibers) {}
  void arrive() {
    --missing_;
    while (missing_ != 0) {
    }
  }

private:
  std::atomic<int> missing_;
};

/// By the loops of all other workers.
int watched_beside(worker const& one) {
  int sum = 0;
  for (auto const& w : one.home.workers) {
    if (w.get() != &one) sum += w->loop.watches();
  }
  return sum;
}

int watched_in_all(worker const& any) { return watched_beside(any) + any.loop.watches(); }

template <class F>
void spin_until(F&& holds) {
  while (!holds()) {
  }
}

}  // namespace

TEST_CASE("descriptors gather in a loop in which its worker sleeps", "[io][poller]") {
  run_with({.workers = 3}, [] {
    input first;
    input second;
    separate_workers all{3};
    std::atomic<worker*> crowded{nullptr};
    auto waits_first = weft::spawn([&] {
      weft::pin_guard const here;
      all.arrive();
      crowded = current_worker();
      first.wait();
    });
    auto waits_second = weft::spawn([&] {
      weft::pin_guard const here;
      all.arrive();
      spin_until([&] { return crowded != nullptr && crowded.load()->loop.watches() == 1 && crowded.load()->asleep; });
      second.wait();
    });
    auto looks = weft::spawn([&] {
      weft::pin_guard const here;
      all.arrive();
      auto* const own = current_worker();
      spin_until([own] { return watched_in_all(*own) == 2; });
      verify(watched_beside(*crowded) == 0);
      first.come();
      second.come();
    });
    looks.get();
    waits_first.get();
    waits_second.get();
  });
}

TEST_CASE("a descriptor stays away from a loop that nobody looks into", "[io][poller]") {
  run_with({.workers = 2}, [] {
    input first;
    input second;
    separate_workers all{2};
    std::atomic<worker*> unattended{nullptr};
    auto computes = weft::spawn([&] {
      weft::pin_guard const here;
      all.arrive();
      auto* const own = current_worker();
      weft::spawn_options eager;
      eager.start = weft::start::eager;
      auto waits_first = weft::spawn(eager, [&] { first.wait(); });
      spin_until([own] { return own->loop.watches() == 1; });
      unattended = own;
      spin_until([own] { return watched_in_all(*own) == 2; });
      verify(watched_beside(*own) == 1);
      first.come();
      second.come();
      waits_first.get();
    });
    auto waits_second = weft::spawn([&] {
      weft::pin_guard const here;
      all.arrive();
      spin_until([&] { return unattended != nullptr && !unattended.load()->attends_loop(); });
      second.wait();
    });
    waits_second.get();
    computes.get();
  });
}

TEST_CASE("a busy worker's loop and timers are served by one that never sleeps", "[crowded_loop]") {
  if (weft::test::migration_forced()) return;  // who was left by the other worker may go on on the busy one alone
  watchdog dog{"all workers are awake"};
  run_with({.workers = 2}, [] {
    input in;
    separate_workers both{2};
    std::atomic<int> served{0};
    auto const all_served = [&] { return served == 2; };
    auto yields = weft::spawn([&] {
      both.arrive();
      while (!all_served()) weft::yield();
    });
    auto computes = weft::spawn([&] {
      both.arrive();
      weft::pin_guard const here;
      auto waits = weft::spawn([&] {
        in.wait();
        ++served;
      });
      auto sleeps = weft::spawn([&] {
        weft::sleep_for(1ms);
        ++served;
      });
      while (watched_in_all(*current_worker()) == 0) weft::yield();
      in.come();
      spin_until(all_served);
    });
    yields.get();
    computes.get();
  });
}
