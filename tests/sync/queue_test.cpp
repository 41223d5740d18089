/// @file
/// queue, lifo_queue, priority_queue: what they answer, and in which order.

#include <weft/sync/lifo_queue.hpp>
#include <weft/sync/priority_queue.hpp>
#include <weft/sync/queue.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

using shut_down = weft::queue_shutdown;

template <class Queue>
std::vector<int> drain(Queue& q) {
  std::vector<int> all;
  while (auto item = q.try_get()) all.push_back(*item);
  return all;
}

template <class Queue>
void put_all(Queue& q, std::vector<int> const& items) {
  for (int const i : items) q.put(i);
}

}  // namespace

// --- the order ---

TEST_CASE("a queue gives its items in the order in which they came", "[queue]") {
  weft::queue<int> q;
  put_all(q, {3, 1, 2});
  CHECK(drain(q) == std::vector{3, 1, 2});
  put_all(q, {5, 4});
  CHECK(q.get() == 5);
  q.put(6);
  CHECK(drain(q) == std::vector{4, 6});
}

TEST_CASE("a lifo queue gives the newest first", "[queue]") {
  weft::lifo_queue<int> q;
  put_all(q, {3, 1, 2});
  CHECK(q.get() == 2);
  q.put(7);
  CHECK(drain(q) == std::vector{7, 1, 3});
}

TEST_CASE("a priority queue gives the least first, and of equals the oldest", "[queue]") {
  weft::priority_queue<int> q;
  put_all(q, {3, 1, 4, 1, 5, 9, 2, 6});
  CHECK(drain(q) == std::vector{1, 1, 2, 3, 4, 5, 6, 9});

  weft::priority_queue<int, std::greater<>> other_way;
  put_all(other_way, {3, 1, 4});
  CHECK(drain(other_way) == std::vector{4, 3, 1});

  auto const tens = [](int a, int b) { return a / 10 < b / 10; };
  weft::priority_queue<int, decltype(tens)> by_tens{0, tens};
  put_all(by_tens, {25, 13, 21, 11, 29, 12});
  CHECK(drain(by_tens) == std::vector{13, 11, 12, 25, 21, 29});
}

TEST_CASE("an item from somebody who had to wait takes its place in the order of priority", "[queue]") {
  run_with(weft::testing::fifo(), [] {
    weft::priority_queue<int> q{2};
    put_all(q, {5, 7});
    std::vector<weft::task<void>> tasks;
    for (int const i : {9, 1, 6}) tasks.push_back(weft::spawn([&q, i] { q.put(i); }));
    weft::yield();
    verify(q.get() == 5);  // 9 comes in: 7 9
    verify(q.get() == 7);  // 1 comes in: 1 9
    verify(q.get() == 1);  // 6 comes in: 6 9
    verify(drain(q) == std::vector{6, 9});
    for (auto& t : tasks) t.get();
  });
}

// --- waiting ---

TEMPLATE_TEST_CASE("a queue holds as many as its capacity says", "[queue]", weft::queue<int>, weft::lifo_queue<int>,
                   weft::priority_queue<int>) {
  TestType q{2};
  CHECK(q.capacity() == 2);
  CHECK((q.empty() && !q.full() && q.size() == 0));
  q.put(1);
  CHECK((!q.empty() && !q.full() && q.size() == 1));
  CHECK(q.try_put(2));
  CHECK((q.full() && q.size() == 2));
  int third = 3;
  CHECK_FALSE(q.try_put(third));
  CHECK_FALSE(q.put_for(third, 0s));
  CHECK_FALSE(q.put_for(third, 1us));
  CHECK_FALSE(q.put_until(third, std::chrono::steady_clock::now()));
  CHECK(q.get() != third);
  CHECK(q.put_until(third, std::chrono::steady_clock::now()));
  CHECK(q.size() == 2);
  (void)q.get_for(0s);
  (void)q.get_until(std::chrono::steady_clock::now());
  CHECK_FALSE(q.try_get());
  CHECK_THROWS_AS(q.get_for(0s), weft::timeout_error);
  CHECK_THROWS_AS(q.get_for(1us), weft::timeout_error);
}

TEST_CASE("a capacity of 0 means none, and the largest there is takes no memory", "[queue][bad-input]") {
  weft::queue<int> unbounded;
  CHECK(unbounded.capacity() == 0);
  for (int i = 0; i < 10000; ++i) CHECK(unbounded.try_put(i));
  CHECK_FALSE(unbounded.full());
  weft::queue<int> large{std::numeric_limits<std::size_t>::max() / 2 + 1};
  large.put(1);
  CHECK(large.capacity() == std::numeric_limits<std::size_t>::max() / 2 + 1);
  CHECK_FALSE(large.full());
}

TEMPLATE_TEST_CASE("items go to those who wait in the order in which they came, and nobody passes", "[queue]",
                   weft::queue<int>, weft::lifo_queue<int>, weft::priority_queue<int>) {
  run_with(weft::testing::fifo(), [] {
    TestType q;
    sequence<std::pair<int, int>> got;
    std::vector<weft::task<void>> getters;
    for (int i = 0; i < 20; ++i) {
      getters.push_back(weft::spawn([&, i] { got.add({i, q.get()}); }));
    }
    weft::yield();
    for (int i = 0; i < 20; ++i) {
      q.put(100 - i);
      verify(q.empty() && !q.try_get());  // it is the first one's already
    }
    for (auto& t : getters) t.get();
    std::vector<std::pair<int, int>> expected;
    for (int i = 0; i < 20; ++i) expected.emplace_back(i, 100 - i);
    auto steps = got.steps();
    std::sort(steps.begin(), steps.end());
    verify(steps == expected);
  });
}

TEST_CASE("those who wait to put come in in the order in which they came", "[queue]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<int> q{1};
    q.put(0);
    std::vector<weft::task<void>> putters;
    for (int i = 1; i <= 20; ++i) putters.push_back(weft::spawn([&q, i] { q.put(i); }));
    weft::yield();
    for (int i = 0; i < 20; ++i) {
      verify(q.get() == i);
      verify(q.full() && !q.try_put(99));  // the first one's item is in its place already
    }
    verify(q.get() == 20 && q.empty());
    for (auto& t : putters) t.get();
  });
}

TEST_CASE("rule 13: timed waits end exactly at their deadlines; a value that was not put stays where it was",
          "[queue][rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    weft::queue<std::string> q{1};
    verify(throws<weft::timeout_error>([&] { (void)q.get_for(5ms); }));
    verify(weft::testing::now() == begin + 5ms);
    verify(throws<weft::timeout_error>([&] { (void)q.get_until(begin + 7ms); }));
    verify(weft::testing::now() == begin + 7ms);
    q.put("first");
    std::string value(100, 'x');
    verify(!q.put_for(value, 3ms) && value.size() == 100);
    verify(!q.put_for(std::move(value), 3ms) && value.size() == 100);
    verify(!q.try_put(std::move(value)) && value.size() == 100);
    verify(weft::testing::now() == begin + 13ms);
    auto getter = weft::spawn([&] {
      weft::sleep_for(1ms);
      verify(q.get() == "first");
    });
    verify(q.put_for(value, 1h) && value.empty());
    verify(weft::testing::now() == begin + 14ms);
    getter.get();
    auto putter = weft::spawn([&] {
      weft::sleep_for(1ms);
      q.put("last");
    });
    verify(q.get_for(1h).size() == 100 && q.get_for(1h) == "last");
    verify(weft::testing::now() == begin + 15ms);
    putter.get();
  });
}

TEST_CASE("plain threads and fibers use a queue from both ends", "[queue]") {
  auto const workers = some_workers();
  bool const threads_put = GENERATE(true, false);
  weft::runtime rt{on(workers)};
  weft::queue<int> q{3};
  constexpr int items = 300;
  auto const put = [&] {
    for (int i = 1; i <= items; ++i) q.put(i);
  };
  auto const get = [&] {
    for (int i = 1; i <= items; ++i) verify(q.get() == i);
  };
  auto fiber = threads_put ? rt.spawn(get) : rt.spawn(put);
  std::exception_ptr failure;
  std::thread thread{[&] {
    try {
      threads_put ? put() : get();
    } catch (...) {
      failure = std::current_exception();
    }
  }};
  thread.join();
  fiber.get();
  CHECK(failure == nullptr);
  CHECK(q.empty());
  expect_no_leaks(rt);
}

// --- cancellation ---

TEMPLATE_TEST_CASE("each call that takes time is a cancellation point, also where it need not wait", "[queue]",
                   weft::queue<int>, weft::lifo_queue<int>, weft::priority_queue<int>) {
  run_on(some_workers(), [] {
    TestType q;
    q.put(1);
    int value = 2;
    auto const cancelled_in = [&](auto&& call) {
      weft::cancel_scope scope;
      return !scope.run([&] {
        scope.cancel();
        call();
      });
    };
    verify(cancelled_in([&] { q.put(2); }));
    verify(cancelled_in([&] { (void)q.put_for(value, 1s); }));
    verify(cancelled_in([&] { (void)q.put_for(value, 0s); }));
    verify(cancelled_in([&] { (void)q.get(); }));
    verify(cancelled_in([&] { (void)q.get_for(0s); }));
    verify(q.size() == 1);
    verify(!cancelled_in([&] { verify(q.try_put(2) && q.try_get()); }));
    q.task_done();
    q.task_done();
    verify(cancelled_in([&] { q.join(); }));
    verify(cancelled_in([&] { (void)q.join_for(0s); }));
  });
}

TEST_CASE("rule 3, H7: an item that was handed to a getter which is then cancelled is got, or there for another",
          "[queue][rule3][hazard][H7]") {
  run_on(some_workers(), [] {
    weft::queue<int> q;
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> got{0};
      std::vector<weft::task<void>> getters;
      for (int i = 0; i < 4; ++i) {
        getters.push_back(weft::spawn([&] {
          (void)q.get();
          ++got;
        }));
      }
      if (round % 2 == 0) weft::yield();
      getters[1].cancel();
      q.put(1);
      q.put(2);
      getters[2].cancel();
      getters[0].cancel();
      getters[3].cancel();
      for (auto& t : getters) t.wait();
      verify(got + static_cast<int>(q.size()) == 2);
      (void)drain(q);
    }
  });
}

TEST_CASE("rule 3, H7: a cancelled put has put its item, or has not", "[queue][rule3][hazard][H7]") {
  run_on(some_workers(), [] {
    for (int round = 0; round < 200; ++round) {
      weft::queue<int> q{1};
      q.put(-1);
      std::atomic<int> put{0};
      std::vector<weft::task<void>> putters;
      for (int i = 0; i < 4; ++i) {
        putters.push_back(weft::spawn([&, i] {
          q.put(i);
          ++put;
        }));
      }
      if (round % 2 == 0) weft::yield();
      putters[0].cancel();
      auto const first = q.try_get();
      verify(first && *first == -1);
      putters[1].cancel();
      int got = q.try_get() ? 1 : 0;
      putters[2].cancel();
      putters[3].cancel();
      for (auto& t : putters) t.wait();
      got += static_cast<int>(drain(q).size());
      verify(put == got);
    }
  });
}

TEST_CASE("CPython #112202: items that come while those who wait for them give up reach the others",
          "[queue][hazard][H7]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<int> q;
    std::vector<weft::task<int>> getters;
    for (int i = 0; i < 3; ++i) getters.push_back(weft::spawn([&] { return q.get(); }));
    weft::yield();
    getters[0].cancel();  // has not left the line yet
    q.put(1);
    q.put(2);
    getters[1].cancel();  // has its item already
    verify(throws<weft::cancelled>([&] { (void)getters[0].get(); }));
    verify(getters[1].get() == 1 && getters[2].get() == 2);
    verify(q.empty());
  });
}

// --- join ---

TEMPLATE_TEST_CASE("join waits until all that was put has been dealt with", "[queue]", weft::queue<int>,
                   weft::lifo_queue<int>, weft::priority_queue<int>) {
  run_with(weft::testing::in_virtual_time(), [] {
    TestType q;
    q.join();
    verify(q.join_for(0s));
    auto const begin = weft::testing::now();
    for (int round = 1; round <= 3; ++round) {
      put_all(q, {1, 2, 3});
      auto worker = weft::spawn([&] {
        for (int i = 0; i < 3; ++i) {
          (void)q.get();
          weft::sleep_for(1s);
          q.task_done();
        }
      });
      verify(!q.join_for(0s) && !q.join_for(1s) && !q.join_until(weft::testing::now() + 500ms));
      q.join();
      verify(weft::testing::now() == begin + 3s * round);
      worker.get();
    }
  });
}

TEST_CASE("task_done for more than was put is an error, and changes nothing", "[queue][bad-input]") {
  weft::queue<int> q;
  CHECK_THROWS_AS(q.task_done(), std::invalid_argument);
  q.put(1);
  q.task_done();
  CHECK_THROWS_WITH(q.task_done(), "weft::queue::task_done: called more often than items were put");
  q.put(2);
  CHECK_FALSE(q.join_for(0s));
  q.task_done();
  CHECK(q.join_for(0s));
}

// --- shutdown ---

TEMPLATE_TEST_CASE("a queue that is shut down takes nothing, and gives what it has", "[queue]", weft::queue<int>,
                   weft::lifo_queue<int>, weft::priority_queue<int>) {
  TestType q{3};
  put_all(q, {1, 1});
  q.shutdown();
  q.shutdown();
  int value = 3;
  CHECK_THROWS_AS(q.put(value), shut_down);
  CHECK_THROWS_AS(q.try_put(value), shut_down);
  CHECK_THROWS_AS(q.put_for(value, 1s), shut_down);
  CHECK(q.size() == 2);
  CHECK(q.get() == 1);
  CHECK(q.get_for(1s) == 1);
  CHECK_THROWS_AS(q.get(), shut_down);
  CHECK_THROWS_AS(q.try_get(), shut_down);
  CHECK_THROWS_AS(q.get_for(0s), shut_down);
  CHECK_THROWS_AS(q.get_for(1s), shut_down);
  CHECK_FALSE(q.join_for(0s));
  q.task_done();
  q.task_done();
  q.join();
}

TEMPLATE_TEST_CASE("an immediate shutdown drops what is in, as if it had been dealt with", "[queue]", weft::queue<int>,
                   weft::lifo_queue<int>, weft::priority_queue<int>) {
  run_on(some_workers(), [] {
    TestType q;
    put_all(q, {1, 2, 3, 4});
    (void)q.get();
    (void)q.get();
    auto joiner = weft::spawn([&] { q.join(); });
    weft::yield();
    q.shutdown(true);
    verify(q.empty());
    verify(throws<shut_down>([&] { (void)q.get(); }) && throws<shut_down>([&] { q.put(1); }));
    verify(!q.join_for(0s));  // two were got
    q.task_done();
    q.task_done();
    joiner.get();
    verify(throws<std::invalid_argument>([&] { q.task_done(); }));
    q.shutdown(true);
    q.shutdown();
  });
}

TEST_CASE("a shutdown after which fewer items are open than it drops counts those there are", "[queue][bad-input]") {
  weft::queue<int> q;
  put_all(q, {1, 2, 3});
  q.task_done();  // for which nobody got an item
  q.task_done();
  q.shutdown(true);
  CHECK(q.join_for(0s));
}

TEMPLATE_TEST_CASE("a shutdown wakes all who wait", "[queue]", weft::queue<int>, weft::lifo_queue<int>,
                   weft::priority_queue<int>) {
  run_on(some_workers(), [] {
    for (bool const immediate : {false, true}) {
      TestType empty;
      TestType full{1};
      full.put(0);
      std::atomic<int> told{0};
      std::vector<weft::task<void>> waiting;
      for (int i = 0; i < 6; ++i) {
        waiting.push_back(weft::spawn([&, i] {
          try {
            if (i % 2 == 0) {
              (void)empty.get();
            } else {
              full.put(i);
            }
          } catch (shut_down const&) {
            ++told;
          }
        }));
      }
      for (int i = 0; i < 20; ++i) weft::yield();
      empty.shutdown(immediate);
      full.shutdown(immediate);
      for (auto& t : waiting) t.get();
      verify(told == 6);
      verify(full.size() == (immediate ? 0U : 1U));
    }
  });
}

TEST_CASE("an immediate shutdown wakes those who wait before it destroys what is in, which may be their own tasks",
          "[queue]") {
  run_with(weft::testing::fifo(), [] {
    bool told = false;
    weft::queue<weft::task<void>> q{1};
    q.put(weft::spawn([&] { told = throws<shut_down>([&] { q.put(weft::spawn([] {})); }); }));
    weft::testing::run_until_blocked();
    q.shutdown(true);
    verify(told);
    weft::queue<weft::task<void>> joined;
    joined.put(weft::spawn([&] { joined.join(); }));
    weft::testing::run_until_blocked();
    joined.shutdown(true);
  });
}

TEST_CASE("join says what is so when its time is up", "[queue]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::queue<int> q;
    q.put(1);
    auto const until = weft::clock::time_point{weft::detail::deadline_after(1ms)};
    auto worker = weft::spawn([&] {
      weft::sleep_until(until);
      q.task_done();
    });
    weft::yield();
    verify(q.join_until(until) == q.try_join());
    worker.get();
  });
}

// --- lifetime ---

TEST_CASE("who was woken may destroy the queue at once", "[queue]") {
  run_on(some_workers(), [] {
    for (int round = 0; round < 300; ++round) {
      auto q = std::make_unique<weft::queue<int>>();
      weft::queue<int>& shared = *q;
      auto owner = weft::spawn([&q, round] {
        switch (round % 3) {
          case 0: verify(q->get() == 1); break;
          case 1: verify(throws<shut_down>([&] { (void)q->get(); })); break;
          default: q->put(7); q->join();
        }
        q.reset();
      });
      if (round % 2 == 0) weft::yield();
      switch (round % 3) {
        case 0: shared.put(1); break;
        case 1: shared.shutdown(round % 4 < 2); break;
        default: verify(shared.get() == 7); shared.task_done();
      }
      owner.get();
    }
  });
}

TEST_CASE("a queue that is destroyed while somebody waits for it aborts with a message", "[queue][bad-input]") {
  CHECK(aborts_with("a queue is destroyed while somebody waits for it", [] {
    weft::run(
        [] {
          auto q = std::make_unique<weft::queue<int>>();
          auto getter = weft::spawn([&shared = *q] { (void)shared.get(); });
          weft::yield();
          q.reset();
        },
        weft::testing::fifo());
  }));
}
