/// @file
/// The timed forms of all that waits: their names, what they answer, and what a limit of 0 means.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/barrier.hpp>
#include <weft/sync/condition_variable.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/latch.hpp>
#include <weft/sync/mutex.hpp>
#include <weft/sync/once.hpp>
#include <weft/sync/queue.hpp>
#include <weft/sync/rate_limiter.hpp>
#include <weft/sync/recursive_mutex.hpp>
#include <weft/sync/semaphore.hpp>
#include <weft/sync/shared_mutex.hpp>
#include <weft/sync/wait_group.hpp>
#include <weft/sync/watch.hpp>

#include <chrono>
#include <mutex>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

weft::time_point now() { return weft::detail::deadline_after(0ns); }

/// @param wait_for    waits for what is not there
/// @param wait_until  the same
template <class For, class Until>
void answers_false_exactly_at_the_limit(For wait_for, Until wait_until) {
  auto const begin = now();
  verify(!wait_for(0s));
  verify(!wait_for(-1s));
  verify(!wait_until(begin));
  verify(now() == begin);
  verify(!wait_for(1ms));
  verify(now() == begin + 1ms);
  verify(!wait_until(begin + 3ms));
  verify(now() == begin + 3ms);
}

}  // namespace

TEST_CASE("rule 13: timed forms answer false exactly at their limit; with 0 they try once", "[rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::mutex m;
    m.lock();
    answers_false_exactly_at_the_limit([&](auto limit) { return m.try_lock_for(limit); },
                                       [&](auto at) { return m.try_lock_until(at); });
    m.unlock();
    verify(m.try_lock_for(0s));
    m.unlock();

    weft::recursive_mutex r;
    auto holder = weft::spawn([&] {
      std::lock_guard const lock{r};
      weft::sleep_for(1s);
    });
    weft::yield();
    answers_false_exactly_at_the_limit([&](auto limit) { return r.try_lock_for(limit); },
                                       [&](auto at) { return r.try_lock_until(at); });
    holder.get();
    verify(r.try_lock_for(0s) && r.try_lock_for(0s));
    r.unlock();
    r.unlock();

    weft::shared_mutex s;
    s.lock();
    answers_false_exactly_at_the_limit([&](auto limit) { return s.try_lock_for(limit); },
                                       [&](auto at) { return s.try_lock_until(at); });
    answers_false_exactly_at_the_limit([&](auto limit) { return s.try_lock_shared_for(limit); },
                                       [&](auto at) { return s.try_lock_shared_until(at); });
    s.unlock();
    verify(s.try_lock_shared_for(0s) && s.try_lock_shared_for(0s));
    s.unlock_shared();
    s.unlock_shared();

    weft::semaphore permits{0};
    answers_false_exactly_at_the_limit([&](auto limit) { return permits.try_acquire_for(limit); },
                                       [&](auto at) { return permits.try_acquire_until(at); });
    permits.release();
    verify(permits.try_acquire_for(0s));
    answers_false_exactly_at_the_limit([&](auto limit) { return permits.try_acquire_scoped_for(limit).has_value(); },
                                       [&](auto at) { return permits.try_acquire_scoped_until(at).has_value(); });
    verify(!permits.try_acquire_scoped());
    permits.release();
    for (int i = 0; i < 2; ++i) {
      verify(permits.try_acquire_scoped().has_value());
      verify(permits.try_acquire_scoped_for(1s).has_value());
      auto const permit = permits.try_acquire_scoped_until(now());
      verify(permit && permits.value() == 0);
    }
    verify(permits.value() == 1);

    weft::rate_limiter rate{1, 1h};
    verify(rate.try_acquire_for(0s));
    answers_false_exactly_at_the_limit(
        [&](auto limit) {  // it does not begin to wait for what will not come in time
          bool const may = rate.try_acquire_for(limit);
          if (limit > 0s) weft::sleep_for(limit);
          return may;
        },
        [&](auto at) {
          bool const may = rate.try_acquire_until(at);
          weft::sleep_until(at);
          return may;
        });

    weft::once_flag flag;
    auto slow = weft::spawn([&] { weft::call_once(flag, [] { weft::sleep_for(1s); }); });
    weft::yield();
    auto const not_called = [] { verify(false); };
    answers_false_exactly_at_the_limit([&](auto limit) { return weft::call_once_for(flag, limit, not_called); },
                                       [&](auto at) { return weft::call_once_until(flag, at, not_called); });
    verify(!weft::try_call_once(flag, not_called));
    verify(weft::call_once_for(flag, 1s, not_called));
    slow.get();
    verify(weft::try_call_once(flag, not_called) && weft::call_once_until(flag, now(), not_called));
    weft::once_flag fresh;
    int calls = 0;
    verify(weft::try_call_once(fresh, [&](int by) { calls += by; }, 2) && calls == 2);

    weft::event e;
    answers_false_exactly_at_the_limit([&](auto limit) { return e.wait_for(limit); },
                                       [&](auto at) { return e.wait_until(at); });
    e.set();
    verify(e.wait_for(0s));

    weft::auto_reset_event a;
    answers_false_exactly_at_the_limit([&](auto limit) { return a.wait_for(limit); },
                                       [&](auto at) { return a.wait_until(at); });
    a.set();
    verify(a.wait_for(0s) && !a.wait_for(0s));

    weft::latch l{1};
    answers_false_exactly_at_the_limit([&](auto limit) { return l.wait_for(limit); },
                                       [&](auto at) { return l.wait_until(at); });
    l.count_down();
    verify(l.wait_for(0s));
    weft::latch of_many{5};
    answers_false_exactly_at_the_limit(
        [&](auto limit) { return of_many.arrive_and_wait_for(limit, limit == 1ms ? 1 : 0); },
        [&](auto at) { return of_many.arrive_and_wait_until(at); });
    verify(of_many.arrive_and_wait_for(0s, 2));

    weft::wait_group g;
    g.add(1);
    answers_false_exactly_at_the_limit([&](auto limit) { return g.wait_for(limit); },
                                       [&](auto at) { return g.wait_until(at); });
    g.done();
    verify(g.wait_for(0s));

    weft::mutex guard;
    weft::condition_variable changed;
    std::unique_lock lock{guard};
    answers_false_exactly_at_the_limit([&](auto limit) { return changed.wait_for(lock, limit, [] { return false; }); },
                                       [&](auto at) { return changed.wait_until(lock, at, [] { return false; }); });
    verify(changed.wait_for(lock, 0s, [] { return true; }));
  });
}

TEST_CASE("a try_ form looks once, waits for nobody, and is no cancellation point", "[rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::event e;
    verify(!e.try_wait());
    e.set();
    verify(e.try_wait() && e.try_wait());

    weft::wait_group g;
    verify(g.try_wait());
    g.add(1);
    verify(!g.try_wait());
    g.done();
    verify(g.try_wait());

    weft::watch<int> value{1};
    auto seen = value.subscribe();
    verify(!seen.try_wait());
    value.send(2);
    verify(seen.try_wait() && seen.try_wait());
    verify(seen.get() == 2 && !seen.try_wait());
    value.close();
    verify(!seen.try_wait());

    weft::queue<int> q;
    verify(q.try_join());
    q.put(1);
    verify(!q.try_join());
    verify(q.get() == 1 && !q.try_join());
    q.task_done();
    verify(q.try_join());

    bool looked = false;
    {
      auto cancelled = weft::spawn([&] {
        verify(throws<weft::cancelled>([] { weft::sleep_for(1h); }));
        weft::barrier alone{1};
        weft::once_flag once;
        verify(weft::try_call_once(once, [&] { verify(!weft::try_call_once(once, [] { verify(false); })); }));
        looked = e.try_wait() && g.try_wait() && q.try_join() && !seen.try_wait() && alone.try_wait() == 0;
      });
      weft::yield();
    }
    verify(looked);
  });
}

TEST_CASE("barrier::try_wait comes only as the last", "[barrier]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::barrier b{2};
    verify(!b.try_wait() && b.waiting() == 0);  // it has not come
    for (int round = 0; round < 2; ++round) {
      auto first = weft::spawn([&] { return b.wait(); });
      weft::yield();
      verify(b.try_wait() == 1);
      verify(b.waiting() == 0 && first.get() == 0);
    }
    b.abort();
    verify(throws<weft::broken_barrier>([&] { (void)b.try_wait(); }));
    b.reset();
    verify(!b.try_wait());
  });
}

TEST_CASE("rule 13: a timed wait that returns a value throws at its limit", "[barrier][rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::barrier b{2};
    answers_false_exactly_at_the_limit(
        [&](auto limit) { return !throws<weft::timeout_error>([&] { (void)b.wait_for(limit); }); },
        [&](auto at) { return !throws<weft::timeout_error>([&] { (void)b.wait_until(at); }); });
    auto first = weft::spawn([&] { return b.wait(); });
    weft::yield();
    verify(b.wait_for(0s) == 1);
    verify(first.get() == 0);
    answers_false_exactly_at_the_limit(
        [&](auto limit) { return !throws<weft::timeout_error>([&] { b.arrive_and_wait_for(limit); }); },
        [&](auto at) { return !throws<weft::timeout_error>([&] { b.arrive_and_wait_until(at); }); });
  });
}
