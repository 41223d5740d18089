/// @file
/// The names of Boost.Fiber where Boost has nothing like it: on the fibers of weft's runtimes, with several workers and
/// with cancellation; and how programs end that leave fibers behind. No case here makes fibers on the main thread,
/// which so can fork.

#include <weft/compat/boost_fiber.hpp>

#include "compat/run_to_the_end.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace fibers = weft::compat::fibers;
namespace this_fiber = weft::compat::this_fiber;
using namespace std::chrono_literals;
using namespace weft::test;
using status = fibers::channel_op_status;

namespace {

/// Cancels what `f` waits for, once it has come that far.  @returns whether `f` was cancelled
template <class F>
bool cancelled_while_waiting(F&& f) {
  bool cancelled = false;
  weft::event about_to_wait;
  auto waits = weft::spawn([&] {
    try {
      about_to_wait.set();
      f();
    } catch (weft::cancelled const&) {
      cancelled = true;
      throw;
    }
  });
  about_to_wait.wait();
  for (int i = 0; i < 3; ++i) weft::yield();
  waits.cancel();
  waits.wait();
  return cancelled;
}

}  // namespace

TEST_CASE("fibers, mutexes, channels and futures work on any number of workers", "[compat]") {
  watchdog dog{"compat"};
  run_to_the_end_on(some_workers(), [&] {
    fibers::mutex m;
    fibers::buffered_channel<int> buffered(8);
    fibers::unbuffered_channel<int> unbuffered;
    long sum = 0;
    std::vector<fibers::fiber> producers;
    std::vector<fibers::fiber> consumers;
    for (int p = 0; p < 4; ++p) {
      producers.emplace_back(p % 2 == 0 ? fibers::launch::post : fibers::launch::dispatch, [&] {
        for (int i = 1; i <= 200; ++i) {
          verify((i % 2 == 0 ? buffered.push(i) : unbuffered.push(i)) == status::success);
          dog.feed();
        }
      });
    }
    for (int c = 0; c < 6; ++c) {
      consumers.emplace_back([&, c] {
        auto const add = [&](int value) {
          std::lock_guard<fibers::mutex> const lock(m);
          sum += value;
        };
        if (c % 2 == 0) {
          for (int const value : buffered) add(value);
        } else {
          for (int const value : unbuffered) add(value);
        }
      });
    }
    auto const doubled = fibers::async([](int x) { return 2 * x; }, 4).get();
    verify(doubled == 8);
    for (auto& f : producers) f.join();
    buffered.close();
    unbuffered.close();
    for (auto& f : consumers) f.join();
    verify(sum == 4L * 200 * 201 / 2);
  });
}

TEST_CASE("every kind of mutex keeps fibers of several workers and threads apart", "[compat][mutex]") {
  watchdog dog{"compat mutex"};
  weft::runtime rt{on(some_workers())};
  fibers::recursive_timed_mutex recursive;
  fibers::timed_mutex timed;
  int in_recursive = 0;
  int in_timed = 0;
  std::size_t const rounds = scaled(1000);
  auto const work = [&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      {
        std::lock_guard<fibers::recursive_timed_mutex> const outer(recursive);
        std::lock_guard<fibers::recursive_timed_mutex> const inner(recursive);
        ++in_recursive;
      }
      bool const tried = timed.try_lock();
      if (!tried) timed.lock();
      ++in_timed;
      timed.unlock();
      dog.feed();
    }
  };
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(rt.spawn(work));
  std::thread other([&] {  // has fibers of its own
    fibers::fiber a(work);
    fibers::fiber b(work);
    a.join();
    b.join();
  });
  std::thread plain(work);
  for (auto& t : tasks) t.get();
  other.join();
  plain.join();
  CHECK(in_recursive == static_cast<int>(7 * rounds));
  CHECK(in_timed == static_cast<int>(7 * rounds));
}

TEST_CASE("rule 3: who is cancelled while it waits for a mutex does not get it, and others do", "[compat][mutex]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::mutex m;
    m.lock();
    verify(cancelled_while_waiting([&m] { m.lock(); }));
    fibers::fiber next([&m] {
      m.lock();
      m.unlock();
    });
    weft::yield();
    m.unlock();
    next.join();
    verify(m.try_lock());
    m.unlock();
  });
}

TEST_CASE("H7: a mutex that is released while its waiters are cancelled goes to one of the others", "[compat][mutex]") {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  watchdog dog{"compat mutex, cancelled"};
  std::minstd_rand random{seed};
  run_to_the_end_on(some_workers(), [&] {
    for (std::size_t i = scaled(300); i > 0; --i) {
      fibers::mutex m;
      m.lock();
      std::atomic<int> got{0};
      std::vector<weft::task<void>> waiting;
      for (int n = 0; n < 5; ++n) {
        waiting.push_back(weft::spawn([&] {
          std::lock_guard<fibers::mutex> const lock(m);
          ++got;
        }));
      }
      weft::yield();
      auto cancels = weft::spawn([&, doomed = random() % 4] { waiting[doomed].cancel(); });
      m.unlock();
      cancels.get();
      for (auto const& t : waiting) t.wait();
      verify(got >= 4);
      dog.feed();
    }
  });
}

TEST_CASE("rule 26: a cancelled wait for a condition has the lock again", "[compat][condition_variable]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::mutex m;
    fibers::condition_variable c;
    bool owned = false;
    verify(cancelled_while_waiting([&] {
      std::unique_lock<fibers::mutex> lock(m);
      try {
        c.wait(lock);
      } catch (weft::cancelled const&) {
        owned = lock.owns_lock();
        throw;
      }
    }));
    verify(owned);
    verify(m.try_lock());
    m.unlock();
  });
}

TEST_CASE("a cancelled push or pop leaves a channel as it was", "[compat][channel]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::unbuffered_channel<int> unbuffered;
    verify(cancelled_while_waiting([&] { (void)unbuffered.push(1); }));
    verify(cancelled_while_waiting([&] { (void)unbuffered.value_pop(); }));
    fibers::fiber pushes([&] { verify(unbuffered.push(2) == status::success); });
    verify(unbuffered.value_pop() == 2);
    pushes.join();

    fibers::buffered_channel<int> buffered(2);
    verify(cancelled_while_waiting([&] { (void)buffered.value_pop(); }));
    verify(buffered.push(3) == status::success);
    verify(cancelled_while_waiting([&] { (void)buffered.push(4); }));
    verify(buffered.value_pop() == 3);
    int value = 0;
    verify(buffered.try_pop(value) == status::empty);
  });
}

TEST_CASE("a producer that is cancelled lets the next one in line offer", "[compat][channel]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::unbuffered_channel<int> c;
    fibers::fiber next;
    verify(cancelled_while_waiting([&] {
      next = fibers::fiber([&] {
        weft::yield();
        weft::yield();
        verify(c.push(2) == status::success);
      });
      (void)c.push(1);
    }));
    verify(c.value_pop() == 2);
    next.join();
  });
}

TEST_CASE("values are neither lost nor doubled while producers and consumers are cancelled",
          "[compat][channel][stress]") {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  watchdog dog{"compat channels, cancelled"};
  run_to_the_end_on(some_workers(), [&] {
    std::minstd_rand random{seed};
    fibers::unbuffered_channel<int> unbuffered;
    fibers::buffered_channel<int> buffered(4);
    std::atomic<long> pushed{0};
    std::atomic<long> popped{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 8; ++i) {
      tasks.push_back(weft::spawn([&, i, own = std::minstd_rand{seed + static_cast<unsigned>(i)}]() mutable {
        for (std::size_t n = 0; n < scaled(400); ++n) {
          bool const to_buffered = own() % 2 == 0;
          auto const limit = std::chrono::microseconds{own() % 30};
          bool done = false;
          (void)weft::move_on_after(limit, [&] {
            if (i % 2 == 0) {
              done = (to_buffered ? buffered.push(1) : unbuffered.push(1)) == status::success;
              if (done) ++pushed;
            } else {
              int value = 0;
              done = (to_buffered ? buffered.pop(value) : unbuffered.pop(value)) == status::success;
              if (done) ++popped;
            }
          });
          dog.feed();
        }
      }));
    }
    for (auto& t : tasks) t.get();
    long left = 0;
    for (int value = 0; buffered.try_pop(value) == status::success;) ++left;
    verify(pushed == popped + left);
  });
}

TEST_CASE("who is cancelled at a barrier is not counted", "[compat][barrier]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::barrier b(2);
    verify(cancelled_while_waiting([&b] { (void)b.wait(); }));
    fibers::fiber other([&b] { (void)b.wait(); });
    (void)b.wait();
    other.join();
  });
}

TEST_CASE("a cancelled wait for a future leaves the result to be got", "[compat][future]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::promise<int> p;
    auto f = p.get_future();
    verify(cancelled_while_waiting([&f] { (void)f.get(); }));
    verify(f.valid());
    p.set_value(3);
    verify(f.get() == 3);
  });
}

TEST_CASE("a promise is not given a null exception pointer", "[compat][future][bad-input]") {
  fibers::promise<int> p;
  auto f = p.get_future();
  CHECK_THROWS_AS(p.set_exception(nullptr), fibers::fiber_error);
  CHECK(f.wait_for(0s) == fibers::future_status::timeout);
  p.set_value(1);
  CHECK(f.get() == 1);
}

TEST_CASE("a future that gets its value as the time is up is ready", "[compat][future]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const until = weft::clock::time_point{weft::detail::deadline_after(1ms)};
    fibers::promise<int> p;
    auto const f = p.get_future();
    auto sets = weft::spawn([&] {
      weft::sleep_until(until);  // its timer is the older one
      p.set_value(1);
    });
    weft::yield();
    verify(f.wait_until(until) == fibers::future_status::ready);
    sets.get();
  });
}

TEST_CASE("a cancelled join leaves the fiber joinable", "[compat][fiber]") {
  run_to_the_end_on(some_workers(), [] {
    weft::event leave;
    fibers::fiber f([&leave] { leave.wait(); });
    verify(cancelled_while_waiting([&f] { f.join(); }));
    verify(f.joinable());
    leave.set();
    f.join();
  });
}

TEST_CASE("every wait is a cancellation point, also where it need not wait", "[compat]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::buffered_channel<int> c(4);
    fibers::promise<int> p;
    auto f = p.get_future();
    p.set_value(1);
    fibers::barrier b(1);
    fibers::fiber ended([] {});
    for (int i = 0; i < 5; ++i) weft::yield();
    weft::cancel_scope scope;
    scope.cancel();
    verify(throws<weft::cancelled>([&] { (void)c.push(1); }));
    verify(throws<weft::cancelled>([&] { (void)c.value_pop(); }));
    verify(throws<weft::cancelled>([&] { f.wait(); }));
    verify(throws<weft::cancelled>([&] { (void)b.wait(); }));
    verify(throws<weft::cancelled>([&] { ended.join(); }));
    verify(throws<weft::cancelled>([] { this_fiber::yield(); }));
    verify(throws<weft::cancelled>([] { this_fiber::sleep_for(1ms); }));
    weft::cancel_shield const shielded;
    ended.join();
  });
}

TEST_CASE("a failed try_lock in a cancelled scope is no cancellation point", "[compat][mutex]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::mutex m;
    fibers::recursive_mutex r;
    weft::event held;
    std::atomic<bool> leave{false};
    fibers::fiber holds([&] {
      std::scoped_lock const both(m, r);
      held.set();
      while (!leave) weft::yield();
    });
    held.wait();
    weft::cancel_scope scope;
    scope.cancel();
    verify(!m.try_lock());
    verify(!r.try_lock());
    leave = true;
    weft::cancel_shield const shielded;
    holds.join();
  });
}

TEST_CASE("a packaged task does not take weft's own cancellation for a result", "[compat][packaged_task]") {
  run_to_the_end_on(some_workers(), [] {
    weft::event never_set;
    fibers::packaged_task<void()> work([&] { never_set.wait(); });
    auto f = work.get_future();
    verify(cancelled_while_waiting([w = std::move(work)]() mutable { w(); }));
    verify(throws<fibers::broken_promise>([&f] { f.get(); }));
  });
}

TEST_CASE("fibers that a runtime's end cancels count as ended", "[compat][fiber]") {
  auto const workers = some_workers();
  fibers::fiber waits;
  fibers::fiber never_started;
  {
    weft::runtime rt{on(workers)};
    rt.run([&] {
      waits = fibers::fiber(fibers::launch::dispatch, [] { this_fiber::sleep_for(24h); });
      never_started = fibers::fiber([] { this_fiber::sleep_for(24h); });
    });
  }
  waits.join();
  never_started.join();
}

TEST_CASE("any fiber and thread has a context and values of its own", "[compat][context]") {
  std::atomic<int> cleaned{0};
  static std::atomic<int>* counter = nullptr;
  counter = &cleaned;
  fibers::fiber_specific_ptr<int> p([](int* value) {
    ++*counter;
    delete value;
  });
  run_to_the_end_on(some_workers(), [&] {
    std::mutex guard;
    std::unordered_set<fibers::fiber::id> ids;
    weft::event leave;
    auto const use = [&] {
      auto const id = this_fiber::get_id();
      p.reset(new int(1));
      {
        std::lock_guard const lock{guard};
        ids.insert(id);
      }
      leave.wait();
      verify(this_fiber::get_id() == id && *p == 1 && fibers::context::active()->get_id() == id);
    };
    auto a = weft::spawn(use);
    auto b = weft::spawn(use);
    fibers::fiber c(use);
    for (int i = 0; i < 3; ++i) weft::yield();
    leave.set();
    a.get();
    b.get();
    c.join();
    verify(ids.size() == 3);
  });
  CHECK(cleaned == 3);
}
