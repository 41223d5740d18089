/// @file
/// Queues whose items cannot be moved, or compared, when it matters: nothing is lost, and who is told is the one whom
/// it concerns. And a queue against a container, in a random row of calls.

#include <weft/sync/lifo_queue.hpp>
#include <weft/sync/priority_queue.hpp>
#include <weft/sync/queue.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

struct unmovable : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Its moves throw when told to, and then leave both sides as they were.
struct brittle {
  static inline std::atomic<int> moves_to_failure{0};  // 0: none fails

  explicit brittle(int v) : value(v) {}
  brittle(brittle&& other) : value(take(other)) {}  // NOLINT: throws
  brittle& operator=(brittle&& other) {             // NOLINT: throws
    value = take(other);
    return *this;
  }
  bool operator<(brittle const& other) const { return value < other.value; }

  static constexpr int gone = -1;
  int value;

private:
  static int take(brittle& from) {
    if (moves_to_failure.load() != 0 && moves_to_failure.fetch_sub(1) == 1) throw unmovable("it cannot be moved");
    return std::exchange(from.value, gone);
  }
};

/// Throws when told to.
struct brittle_less {
  static inline std::atomic<int> comparisons_to_failure{0};  // 0: none fails
  bool operator()(int a, int b) const {
    if (comparisons_to_failure.load() != 0 && comparisons_to_failure.fetch_sub(1) == 1) {
      throw std::range_error("incomparable");
    }
    return a < b;
  }
  bool operator()(std::unique_ptr<int> const& a, std::unique_ptr<int> const& b) const { return (*this)(*a, *b); }
};

}  // namespace

TEMPLATE_TEST_CASE("a value whose move throws is not put, and stays where it was", "[queue][bad-input]",
                   weft::queue<brittle>, weft::lifo_queue<brittle>, weft::priority_queue<brittle>) {
  TestType q{1};
  brittle value{7};
  auto const fails = [&](auto&& put) {
    brittle::moves_to_failure = 1;
    CHECK_THROWS_AS(put(), unmovable);
    brittle::moves_to_failure = 0;
    CHECK(value.value == 7);
    CHECK(q.empty());
    CHECK(q.join_for(0s));
  };
  fails([&] { q.put(std::move(value)); });
  fails([&] { (void)q.try_put(value); });
  fails([&] { (void)q.put_for(value, 0s); });
  fails([&] { (void)q.put_for(std::move(value), 1s); });
  q.put(brittle{1});
  // A value for which there is no room is not touched at all.
  brittle::moves_to_failure = 1;
  CHECK_FALSE(q.try_put(value));
  CHECK_FALSE(q.put_for(value, 1us));
  brittle::moves_to_failure = 0;
  CHECK(value.value == 7);
}

TEMPLATE_TEST_CASE("an item whose move throws is not got, and is still the first", "[queue][bad-input]",
                   weft::queue<brittle>, weft::lifo_queue<brittle>, weft::priority_queue<brittle>) {
  TestType q;
  for (int const i : {2, 1, 3}) q.put(brittle{i});
  auto const fails = [&](auto&& get) {
    brittle::moves_to_failure = 1;
    CHECK_THROWS_AS(get(), unmovable);
    brittle::moves_to_failure = 0;
    CHECK(q.size() == 3);
  };
  fails([&] { return q.get(); });
  fails([&] { return q.try_get(); });
  fails([&] { return q.get_for(1s); });
  fails([&] { return q.get_until(std::chrono::steady_clock::now()); });
  std::vector<int> order;
  while (auto item = q.try_get()) order.push_back(item->value);
  if constexpr (std::is_same_v<TestType, weft::queue<brittle>>) CHECK(order == std::vector{2, 1, 3});
  if constexpr (std::is_same_v<TestType, weft::lifo_queue<brittle>>) CHECK(order == std::vector{3, 1, 2});
  if constexpr (std::is_same_v<TestType, weft::priority_queue<brittle>>) CHECK(order == std::vector{1, 2, 3});
  for (int i = 0; i < 3; ++i) q.task_done();
  CHECK(q.join_for(0s));
}

TEST_CASE("an item that was handed over and cannot be moved goes to the next in line", "[queue][bad-input]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<brittle> q;
    auto first = weft::spawn([&] { return q.get().value; });
    auto second = weft::spawn([&] { return q.get().value; });
    weft::yield();
    q.put(brittle{5});
    brittle::moves_to_failure = 1;
    verify(throws<unmovable>([&] { (void)first.get(); }));
    verify(second.get() == 5);
    verify(q.empty() && !q.join_for(0s));
    q.task_done();
    verify(q.join_for(0s));
  });
}

TEST_CASE("an item that comes back after an immediate shutdown goes with the others", "[queue][bad-input]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<brittle> q;
    auto getter = weft::spawn([&] { return q.get().value; });
    weft::yield();
    q.put(brittle{5});
    q.shutdown(true);
    brittle::moves_to_failure = 1;
    verify(throws<unmovable>([&] { (void)getter.get(); }));
    verify(q.empty() && q.join_for(0s));
    verify(throws<weft::queue_shutdown>([&] { (void)q.get(); }));
  });
}

TEST_CASE("a queue is over its capacity by what has come back, and lets nobody in before it is below", "[queue]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<brittle> q{1};
    q.put(brittle{1});
    auto putters = std::vector<weft::task<void>>{};
    for (int const i : {2, 3}) putters.push_back(weft::spawn([&q, i] { q.put(brittle{i}); }));
    weft::yield();
    brittle::moves_to_failure = 2;  // that of 2 into the queue goes well
    verify(throws<unmovable>([&] { (void)q.get(); }));
    verify(q.size() == 2 && q.full());
    verify(q.get().value == 1 && q.size() == 1);  // 3 waits on
    verify(q.get().value == 2 && q.size() == 1);
    verify(q.get().value == 3 && q.empty());
    for (auto& t : putters) t.get();
  });
}

TEST_CASE("who waits to put is told that its value cannot be moved, and keeps it; the next one comes in",
          "[queue][bad-input]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<brittle> q{1};
    q.put(brittle{1});
    auto unlucky = weft::spawn([&] {
      brittle value{2};
      verify(throws<unmovable>([&] { q.put(std::move(value)); }));
      return value.value;
    });
    auto next = weft::spawn([&] {
      brittle value{3};
      verify(q.put_for(value, 1h));
      return value.value;
    });
    weft::yield();
    brittle::moves_to_failure = 1;
    verify(q.get().value == 1);
    verify(unlucky.get() == 2 && next.get() == brittle::gone);
    verify(q.get().value == 3 && q.empty());
  });
}

TEST_CASE("a comparison that throws is told to the one who puts or gets, and nothing has changed",
          "[queue][bad-input]") {
  weft::priority_queue<std::unique_ptr<int>, brittle_less> q;
  for (int const i : {4, 2, 6, 1, 7, 3, 5}) q.put(std::make_unique<int>(i));
  auto value = std::make_unique<int>(0);
  brittle_less::comparisons_to_failure = 1;
  CHECK_THROWS_AS(q.put(std::move(value)), std::range_error);
  CHECK(value != nullptr);
  brittle_less::comparisons_to_failure = 1;
  CHECK_THROWS_AS(q.try_put(value), std::range_error);
  CHECK(value != nullptr);
  CHECK(q.size() == 7);
  int failures = 0;
  for (int expected = 1; expected <= 7; ++expected) {
    try {
      brittle_less::comparisons_to_failure = 1;
      auto const got = q.get();
      CHECK(*got == expected);  // there was nothing to compare
    } catch (std::range_error const&) {
      ++failures;
      CHECK(q.size() == static_cast<std::size_t>(8 - expected));
      CHECK(*q.try_get().value() == expected);
    }
    brittle_less::comparisons_to_failure = 0;
  }
  CHECK(q.empty());
  CHECK(failures > 0);
}

TEST_CASE("who waits to put is told that its item cannot be compared", "[queue][bad-input]") {
  run_with(weft::testing::fifo(), [] {
    weft::priority_queue<int, brittle_less> q{2};
    q.put(1);
    q.put(2);
    auto unlucky = weft::spawn([&] { q.put(3); });
    weft::yield();
    brittle_less::comparisons_to_failure = 1;  // there is nothing to compare when 1 leaves
    verify(q.get() == 1);
    verify(throws<std::range_error>([&] { unlucky.get(); }));
    verify(q.get() == 2 && q.empty());
  });
}

// --- against a container ---

namespace {

/// The same order in the plainest way: `next()` says which of the items in the order of arrival leaves.
struct in_order {
  static std::size_t next(std::deque<int> const&) { return 0; }
};
struct in_reverse {
  static std::size_t next(std::deque<int> const& items) { return items.size() - 1; }
};
struct by_tens {
  static std::size_t next(std::deque<int> const& items) {
    auto const least = std::min_element(items.begin(), items.end(), [](int a, int b) { return a / 10 < b / 10; });
    return static_cast<std::size_t>(least - items.begin());  // the oldest of the equal ones
  }
};

/// Compares by tens, so that there are equals.
struct item {
  item(int v) : value(v) {}  // NOLINT: as an int
  int value;
  bool operator<(item const& other) const { return value / 10 < other.value / 10; }
};

template <class Queue, class Order>
void compare_with_container() {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  std::minstd_rand random{seed};
  for (std::size_t round = 0; round < scaled(300); ++round) {
    auto const capacity = random() % 9;
    Queue q{capacity};
    std::deque<int> model;
    std::ptrdiff_t open = 0;
    bool shut = false;
    for (int step = 0; step < 100; ++step) {
      switch (random() % 20) {
        default: {
          int const value = static_cast<int>(random() % 50);
          item boxed{value};
          if (shut) {
            REQUIRE_THROWS_AS(q.try_put(boxed), weft::queue_shutdown);
            break;
          }
          bool const has_room = capacity == 0 || model.size() < capacity;
          REQUIRE(q.full() == !has_room);
          REQUIRE((random() % 2 == 0 ? q.try_put(boxed) : q.put_for(boxed, 0s)) == has_room);
          if (!has_room) break;
          model.push_back(value);
          ++open;
          break;
        }
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
        case 7: {
          if (model.empty() && shut) {
            REQUIRE_THROWS_AS(q.try_get(), weft::queue_shutdown);
          } else if (model.empty()) {
            REQUIRE_FALSE(q.try_get());
          } else {
            auto const at = model.begin() + static_cast<std::ptrdiff_t>(Order::next(model));
            REQUIRE(q.get().value == *at);
            model.erase(at);
          }
          break;
        }
        case 8:
        case 9:
          if (open == 0) {
            REQUIRE_THROWS_AS(q.task_done(), std::invalid_argument);
          } else {
            q.task_done();
            --open;
          }
          break;
        case 10: REQUIRE(q.join_for(0s) == (open == 0)); break;
        case 11:
          if (random() % 8 != 0) break;
          shut = true;
          if (bool const immediate = random() % 2 == 0; immediate) {
            q.shutdown(immediate);
            open = std::max<std::ptrdiff_t>(0, open - static_cast<std::ptrdiff_t>(model.size()));
            model.clear();
          } else {
            q.shutdown();
          }
      }
      REQUIRE(q.size() == model.size());
      REQUIRE(q.empty() == model.empty());
    }
  }
}

}  // namespace

TEST_CASE("a queue does what a container does, in a random row of calls", "[queue]") {
  compare_with_container<weft::queue<item>, in_order>();
  compare_with_container<weft::lifo_queue<item>, in_reverse>();
  compare_with_container<weft::priority_queue<item>, by_tens>();
}

TEST_CASE("a heap in which any comparison may throw loses nothing, and gives its items in order", "[queue]") {
  auto const seed = std::random_device{}();
  CAPTURE(seed);
  std::minstd_rand random{seed};
  for (std::size_t round = 0; round < scaled(200); ++round) {
    weft::priority_queue<int, brittle_less> q;
    std::vector<int> model;
    for (int step = 0; step < 200; ++step) {
      brittle_less::comparisons_to_failure = static_cast<int>(random() % 12);
      try {
        if (random() % 5 < 3) {
          int const value = static_cast<int>(random() % 100);
          q.put(value);
          model.push_back(value);
        } else if (auto const got = q.try_get()) {
          auto const least = std::min_element(model.begin(), model.end());
          REQUIRE(*got == *least);
          model.erase(least);
        }
      } catch (std::range_error const&) {  // NOLINT: then nothing has changed
      }
      REQUIRE(q.size() == model.size());
    }
    brittle_less::comparisons_to_failure = 0;
    std::sort(model.begin(), model.end());
    for (int const expected : model) REQUIRE(q.get() == expected);
    REQUIRE(q.empty());
  }
}
