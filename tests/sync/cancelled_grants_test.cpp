/// @file
/// A grant and a cancellation, or a time limit, for the same wait: in either order, one of the two wins, and what was
/// granted is taken by somebody.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/barrier.hpp>
#include <weft/sync/condition_variable.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/latch.hpp>
#include <weft/sync/mutex.hpp>
#include <weft/sync/semaphore.hpp>
#include <weft/sync/shared_mutex.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// Two wait for grants, one of which comes together with the first one's cancellation.
/// @param wait   ends with one grant, and leaves nothing behind if it throws
/// @param grant  ends one wait
template <class Wait, class Grant>
void neither_order_loses_a_grant(Wait wait, Grant grant) {
  for (bool const granted_first : {true, false}) {
    std::atomic<int> got{0};
    auto const taker = [&] {
      wait();
      ++got;
    };
    auto first = weft::spawn(taker);
    auto second = weft::spawn(taker);
    weft::yield();  // strict order: both wait
    if (granted_first) {
      grant();
      first.cancel();
      first.wait();
      verify(got == 1 && first.exception() == nullptr);  // the grant came first, and counts
      verify(!second.ready());
      grant();
    } else {
      first.cancel();
      grant();
      first.wait();
      verify(throws<weft::cancelled>([&] { first.get(); }));
    }
    second.get();  // or it would wait for good
    verify(got == (granted_first ? 2 : 1));
  }
}

}  // namespace

TEST_CASE("H7: a permit that is released beside a cancellation is not lost", "[semaphore][hazard][H7][rule3]") {
  run_with(weft::testing::fifo(), [] {
    weft::semaphore s{0};
    neither_order_loses_a_grant([&] { s.acquire(); }, [&] { s.release(); });
    verify(s.value() == 0);
  });
}

TEST_CASE("H7: a signal that is set beside a cancellation is not lost", "[auto_reset_event][hazard][H7][rule3]") {
  run_with(weft::testing::fifo(), [] {
    weft::auto_reset_event e;
    neither_order_loses_a_grant([&] { e.wait(); }, [&] { e.set(); });
    verify(!e.try_wait());
  });
}

TEST_CASE("CPython #112202: a notification beside a cancellation is not lost",
          "[condition_variable][hazard][H7][rule3]") {
  run_with(weft::testing::fifo(), [] {
    weft::mutex m;
    weft::condition_variable changed;
    neither_order_loses_a_grant(
        [&] {
          std::unique_lock lock{m};
          changed.wait(lock);
        },
        [&] { changed.notify_one(); });
  });
}

TEST_CASE("H7: a mutex that is unlocked beside a cancellation goes to somebody", "[mutex][hazard][H7][rule3]") {
  auto const held_for = GENERATE(0ms, 2ms);  // the first is called, or handed the lock
  run_with(weft::testing::in_virtual_time(), [held_for] {
    weft::mutex m;
    for (bool const unlocked_first : {true, false}) {
      std::atomic<int> got{0};
      auto const taker = [&] {
        std::lock_guard const lock{m};
        ++got;
      };
      m.lock();
      auto first = weft::spawn(taker);
      auto second = weft::spawn(taker);
      weft::sleep_for(held_for);
      weft::yield();
      if (unlocked_first) m.unlock();
      first.cancel();
      if (!unlocked_first) m.unlock();
      first.wait();
      second.get();
      verify(throws<weft::cancelled>([&] { first.get(); }) == !unlocked_first);
      verify(got == (unlocked_first ? 2 : 1));
      verify(m.try_lock());
      m.unlock();
    }
  });
}

TEST_CASE("H7: a shared mutex that is unlocked beside a cancellation goes to somebody",
          "[shared_mutex][hazard][H7][rule3]") {
  run_with(weft::testing::fifo(), [] {
    weft::shared_mutex m;
    for (bool const unlocked_first : {true, false}) {
      std::atomic<int> got{0};
      m.lock();
      auto writer = weft::spawn([&] {
        std::unique_lock const lock{m};
        ++got;
      });
      auto reader = weft::spawn([&] {
        std::shared_lock const lock{m};
        ++got;
      });
      weft::yield();
      if (unlocked_first) m.unlock();
      writer.cancel();
      if (!unlocked_first) m.unlock();
      writer.wait();
      reader.get();
      verify(got == (unlocked_first ? 2 : 1));
      verify(m.try_lock());
      m.unlock();
    }
  });
}

TEST_CASE("H7: a barrier's last party beside a cancellation ends the round for all, or for none",
          "[barrier][hazard][H7][rule3]") {
  run_with(weft::testing::fifo(), [] {
    weft::barrier b{2};
    auto first = weft::spawn([&] { return b.wait(); });
    weft::yield();
    verify(b.wait() == 1);
    first.cancel();  // too late: it has passed
    verify(first.get() == 0);
    first = weft::spawn([&] { return b.wait(); });
    weft::yield();
    first.cancel();
    auto last = weft::spawn([&] { return b.wait(); });
    first.wait();
    verify(throws<weft::cancelled>([&] { (void)first.get(); }));
    // The first had not left when the last came, or it had: the last passes, or is the first of the next round.
    while (!last.ready() && b.waiting() == 0) weft::yield();
    if (!last.ready()) (void)b.wait();
    last.wait();
    verify(b.waiting() == 0);
  });
}

TEST_CASE("H6: set, time and cancellation for one wait: it ends once, in one way, for every seed",
          "[event][latch][hazard][H6]") {
  for (std::uint64_t seed = 0; seed < scaled(500); ++seed) {
    INFO("seed " << seed);
    weft::testing::simulation world{seed};
    REQUIRE_NOTHROW(world.run([] {
      weft::event e;
      weft::latch l{1};
      weft::semaphore s{0};
      weft::auto_reset_event a;
      std::atomic<int> ends{0};
      std::atomic<int> permits{0};
      std::atomic<int> signals{0};
      struct at_end {
        std::atomic<int>& count;
        ~at_end() { ++count; }
      };
      auto one = weft::spawn([&] {
        at_end const end{ends};
        (void)e.wait_for(10us);
      });
      auto two = weft::spawn([&] {
        at_end const end{ends};
        (void)l.wait_for(10us);
      });
      auto three = weft::spawn([&] {
        at_end const end{ends};
        if (s.try_acquire_for(10us)) ++permits;
      });
      auto four = weft::spawn([&] {
        at_end const end{ends};
        if (a.wait_for(10us)) ++signals;
      });
      auto setter = weft::spawn([&] {
        weft::sleep_for(10us);
        e.set();
        l.count_down();
        s.release();
        a.set();
      });
      auto canceller = weft::spawn([&] {
        weft::sleep_for(10us);
        for (auto* t : {&one, &two, &three, &four}) t->cancel();
      });
      for (auto* t : {&one, &two, &three, &four, &setter, &canceller}) t->wait();
      // One that was cancelled before it began has no end to count.
      verify(ends <= 4);
      verify(permits + s.value() == 1);
      verify(signals + (a.try_wait() ? 1 : 0) == 1);
    }));
  }
}
