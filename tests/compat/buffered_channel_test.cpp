/// @file
/// buffered_channel.

#include "compat/names.hpp"

#include <memory>
#include <stdexcept>
#include <type_traits>
#include <vector>

using status = fibers::channel_op_status;
using channel_of_int = fibers::buffered_channel<int>;

TEST_CASE("a buffered channel neither copies nor moves", "[buffered_channel]") {
  CHECK_FALSE(std::is_copy_constructible_v<channel_of_int>);
  CHECK_FALSE(std::is_copy_assignable_v<channel_of_int>);
  CHECK(std::is_same_v<channel_of_int::value_type, int>);
}

TEST_CASE("a buffered channel's capacity is a power of two, and at least 2", "[buffered_channel][errors]") {
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{5}, std::size_t{6},
                                 std::size_t{7}, std::size_t{9}, std::size_t{12}, std::size_t{1000});
  CAPTURE(capacity);
  CHECK_THROWS_AS(channel_of_int(capacity), fibers::fiber_error);
  CHECK(error_of([capacity] { channel_of_int const c(capacity); }) == number(std::errc::invalid_argument));
}

TEST_CASE("a buffered channel holds one less than its capacity", "[buffered_channel]") {
  auto const capacity = GENERATE(std::size_t{2}, std::size_t{4}, std::size_t{8}, std::size_t{16}, std::size_t{64});
  CAPTURE(capacity);
  channel_of_int c(capacity);
  for (std::size_t i = 1; i < capacity; ++i) CHECK(c.try_push(static_cast<int>(i)) == status::success);
  CHECK(c.try_push(0) == status::full);
}

TEST_CASE("a new buffered channel is empty and open", "[buffered_channel]") {
  channel_of_int c(4);
  int value = 7;
  CHECK_FALSE(c.is_closed());
  CHECK(c.try_pop(value) == status::empty);
  CHECK(value == 7);
}

TEST_CASE("what is pushed is popped, first in first out", "[buffered_channel]") {
  channel_of_int c(8);
  for (int i = 0; i < 5; ++i) CHECK(c.push(i) == status::success);
  for (int i = 0; i < 5; ++i) {
    int value = -1;
    CHECK(c.pop(value) == status::success);
    CHECK(value == i);
  }
}

TEST_CASE("a ring goes round", "[buffered_channel]") {
  channel_of_int c(4);
  int value = -1;
  bool right = true;
  for (int i = 0; i < 50; ++i) {
    right = right && c.try_push(2 * i) == status::success && c.try_push(2 * i + 1) == status::success;
    right = right && c.try_pop(value) == status::success && value == 2 * i;
    right = right && c.try_pop(value) == status::success && value == 2 * i + 1;
  }
  CHECK(right);
  CHECK(c.try_pop(value) == status::empty);
}

TEST_CASE("an lvalue is copied into a channel", "[buffered_channel]") {
  fibers::buffered_channel<std::string> c(4);
  std::string const text = "text that is too long for a small string";
  CHECK(c.push(text) == status::success);
  CHECK(c.try_push(text) == status::success);
  CHECK(c.push_wait_for(text, long_time) == status::success);
  CHECK(c.try_push(text) == status::full);
  std::string popped;
  CHECK(c.pop(popped) == status::success);
  CHECK(popped == text);
}

TEST_CASE("values that only move go through a channel", "[buffered_channel]") {
  fibers::buffered_channel<std::unique_ptr<int>> c(4);
  CHECK(c.push(std::make_unique<int>(1)) == status::success);
  CHECK(c.try_push(std::make_unique<int>(2)) == status::success);
  CHECK(c.push_wait_for(std::make_unique<int>(3), long_time) == status::success);
  std::unique_ptr<int> value;
  CHECK(c.pop(value) == status::success);
  CHECK(*value == 1);
  CHECK(*c.value_pop() == 2);
  CHECK(c.pop_wait_for(value, long_time) == status::success);
  CHECK(*value == 3);
}

TEST_CASE("a full channel leaves an rvalue alone", "[buffered_channel]") {
  fibers::buffered_channel<std::unique_ptr<int>> c(2);
  CHECK(c.push(std::make_unique<int>(1)) == status::success);
  auto value = std::make_unique<int>(2);
  CHECK(c.try_push(std::move(value)) == status::full);
  REQUIRE(value != nullptr);  // NOLINT
  c.close();
  CHECK(c.try_push(std::move(value)) == status::closed);
  CHECK(value != nullptr);  // NOLINT
}

TEST_CASE("value_pop returns the value", "[buffered_channel]") {
  channel_of_int c(2);
  c.push(5);
  CHECK(c.value_pop() == 5);
}

TEST_CASE("value_pop of a closed channel is an error", "[buffered_channel][errors]") {
  channel_of_int c(2);
  c.close();
  CHECK_THROWS_AS(c.value_pop(), fibers::fiber_error);
  CHECK(error_of([&c] { (void)c.value_pop(); }) == number(std::errc::operation_not_permitted));
}

TEST_CASE("a closed channel takes nothing", "[buffered_channel][close]") {
  channel_of_int c(4);
  c.close();
  CHECK(c.is_closed());
  CHECK(c.push(1) == status::closed);
  CHECK(c.try_push(1) == status::closed);
  CHECK(c.push_wait_for(1, 1ms) == status::closed);
  CHECK(c.push_wait_until(1, std::chrono::steady_clock::now() + 1ms) == status::closed);
}

TEST_CASE("a closed channel gives nothing", "[buffered_channel][close]") {
  channel_of_int c(4);
  c.close();
  int value = 7;
  CHECK(c.pop(value) == status::closed);
  CHECK(c.try_pop(value) == status::closed);
  CHECK(c.pop_wait_for(value, 1ms) == status::closed);
  CHECK(c.pop_wait_until(value, std::chrono::steady_clock::now() + 1ms) == status::closed);
  CHECK(value == 7);
}

TEST_CASE("closing twice is closing once", "[buffered_channel][close]") {
  channel_of_int c(4);
  c.close();
  c.close();
  CHECK(c.is_closed());
}

TEST_CASE("what is in a channel can be popped after it is closed", "[buffered_channel][close]") {
  channel_of_int c(4);
  c.push(1);
  c.push(2);
  c.push(3);
  c.close();
  int value = 0;
  CHECK(c.pop(value) == status::success);
  CHECK(value == 1);
  CHECK(c.try_pop(value) == status::success);
  CHECK(value == 2);
  CHECK(c.pop_wait_for(value, long_time) == status::success);
  CHECK(value == 3);
  CHECK(c.pop(value) == status::closed);
}

TEMPLATE_TEST_CASE("a pop waits for a push", "[buffered_channel]", posted, dispatched) {
  trace t;
  channel_of_int c(4);
  auto f = start<TestType>([&] {
    int value = 0;
    if (c.pop(value) == status::success) t("popped" + std::to_string(value));
  });
  this_fiber::yield();
  t("main");
  c.push(6);
  f.join();
  CHECK(t.words() == "main popped6");
}

TEMPLATE_TEST_CASE("a push waits for room", "[buffered_channel]", posted, dispatched) {
  trace t;
  channel_of_int c(2);
  c.push(1);
  auto f = start<TestType>([&] {
    if (c.push(2) == status::success) t("pushed");
  });
  this_fiber::yield();
  t("main");
  CHECK(c.value_pop() == 1);
  f.join();
  CHECK(c.value_pop() == 2);
  CHECK(t.words() == "main pushed");
}

TEMPLATE_TEST_CASE("close wakes all who pop", "[buffered_channel][close]", posted, dispatched) {
  channel_of_int c(4);
  int told = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 4; ++i) {
    many.push_back(start<TestType>([&] {
      int value = 0;
      if (c.pop(value) == status::closed) ++told;
    }));
  }
  this_fiber::yield();
  CHECK(told == 0);
  c.close();
  for (auto& f : many) f.join();
  CHECK(told == 4);
}

TEMPLATE_TEST_CASE("close wakes all who push", "[buffered_channel][close]", posted, dispatched) {
  channel_of_int c(2);
  c.push(0);
  int told = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 4; ++i) {
    many.push_back(start<TestType>([&, i] {
      if (c.push(i) == status::closed) ++told;
    }));
  }
  this_fiber::yield();
  c.close();
  for (auto& f : many) f.join();
  CHECK(told == 4);
  int value = -1;
  CHECK(c.pop(value) == status::success);
  CHECK(value == 0);
  CHECK(c.pop(value) == status::closed);
}

TEST_CASE("close wakes one who waits in value_pop, with an error", "[buffered_channel][close][errors]") {
  channel_of_int c(4);
  int error = 0;
  fibers::fiber f([&] { error = error_of([&c] { (void)c.value_pop(); }); });
  this_fiber::yield();
  c.close();
  f.join();
  CHECK(error == number(std::errc::operation_not_permitted));
}

TEST_CASE("a timed pop gives up", "[buffered_channel][time]") {
  channel_of_int c(4);
  int value = 7;
  auto const began = std::chrono::steady_clock::now();
  CHECK(c.pop_wait_for(value, 2ms) == status::timeout);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
  CHECK(c.pop_wait_until(value, std::chrono::steady_clock::now() + 1ms) == status::timeout);
  CHECK(c.pop_wait_until(value, std::chrono::system_clock::now() + 1ms) == status::timeout);
  CHECK(value == 7);
}

TEST_CASE("a timed push gives up", "[buffered_channel][time]") {
  channel_of_int c(2);
  c.push(1);
  int const two = 2;
  CHECK(c.push_wait_for(two, 2ms) == status::timeout);
  CHECK(c.push_wait_for(3, 1ms) == status::timeout);
  CHECK(c.push_wait_until(two, std::chrono::steady_clock::now() + 1ms) == status::timeout);
  CHECK(c.push_wait_until(3, std::chrono::steady_clock::now() + 1ms) == status::timeout);
  CHECK(c.value_pop() == 1);
  int value = 0;
  CHECK(c.try_pop(value) == status::empty);
}

TEMPLATE_TEST_CASE("a timed pop gets what comes in time", "[buffered_channel][time]", posted, dispatched) {
  channel_of_int c(4);
  auto result = status::empty;
  int value = 0;
  auto f = start<TestType>([&] { result = c.pop_wait_for(value, long_time); });
  this_fiber::yield();
  c.push(9);
  f.join();
  CHECK(result == status::success);
  CHECK(value == 9);
}

TEMPLATE_TEST_CASE("a timed push gets the room that comes in time", "[buffered_channel][time]", posted, dispatched) {
  channel_of_int c(2);
  c.push(1);
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.push_wait_until(2, std::chrono::steady_clock::now() + long_time); });
  this_fiber::yield();
  CHECK(c.value_pop() == 1);
  f.join();
  CHECK(result == status::success);
  CHECK(c.value_pop() == 2);
}

TEMPLATE_TEST_CASE("a timed pop is told of the close", "[buffered_channel][time][close]", posted, dispatched) {
  channel_of_int c(4);
  auto result = status::empty;
  auto f = start<TestType>([&] {
    int value = 0;
    result = c.pop_wait_for(value, long_time);
  });
  this_fiber::yield();
  c.close();
  f.join();
  CHECK(result == status::closed);
}

TEMPLATE_TEST_CASE("a timed push is told of the close", "[buffered_channel][time][close]", posted, dispatched) {
  channel_of_int c(2);
  c.push(1);
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.push_wait_for(2, long_time); });
  this_fiber::yield();
  c.close();
  f.join();
  CHECK(result == status::closed);
}

TEST_CASE("one that gave up takes no value", "[buffered_channel][time]") {
  channel_of_int c(4);
  int first = 0;
  int second = 0;
  auto result = status::success;
  fibers::fiber a([&] { result = c.pop_wait_for(first, 1ms); });
  fibers::fiber b([&] { c.pop(second); });
  a.join();
  c.push(4);
  b.join();
  CHECK(result == status::timeout);
  CHECK(first == 0);
  CHECK(second == 4);
}

TEST_CASE("a range-for takes values until the channel is closed", "[buffered_channel][iterator]") {
  channel_of_int c(4);
  fibers::fiber f([&] {
    for (int i = 1; i <= 10; ++i) c.push(i);
    c.close();
  });
  int sum = 0;
  for (int const value : c) sum += value;
  f.join();
  CHECK(sum == 55);
}

TEST_CASE("a range-for over a closed channel that is empty does nothing", "[buffered_channel][iterator]") {
  channel_of_int c(4);
  c.close();
  int rounds = 0;
  for (int const value : c) rounds += value >= 0 ? 1 : 1;
  CHECK(rounds == 0);
}

TEST_CASE("a channel's iterators are compared and followed", "[buffered_channel][iterator]") {
  fibers::buffered_channel<std::string> c(4);
  c.push("one");
  c.push("three");
  c.close();
  auto i = begin(c);
  auto const last = end(c);
  CHECK(i != last);
  CHECK(*i == "one");
  CHECK(i->size() == 3);
  ++i;
  CHECK(i != last);
  CHECK(*i == "three");
  ++i;
  CHECK(i == last);
}

TEST_CASE("values in a range-for may be changed and moved away", "[buffered_channel][iterator]") {
  fibers::buffered_channel<std::string> c(4);
  c.push("a");
  c.push("b");
  c.close();
  std::string all;
  for (auto& text : c) {
    text += "!";
    all += std::move(text);
  }
  CHECK(all == "a!b!");
}

TEMPLATE_TEST_CASE("producers and consumers share a channel", "[buffered_channel]", posted, dispatched) {
  channel_of_int c(8);
  long sum = 0;
  int popped = 0;
  std::vector<fibers::fiber> producers;
  std::vector<fibers::fiber> consumers;
  for (int p = 0; p < 4; ++p) {
    producers.push_back(start<TestType>([&c] {
      for (int i = 1; i <= 50; ++i) c.push(i);
    }));
  }
  for (int n = 0; n < 3; ++n) {
    consumers.push_back(start<TestType>([&] {
      int value = 0;
      while (c.pop(value) == status::success) {
        sum += value;
        ++popped;
      }
    }));
  }
  for (auto& f : producers) f.join();
  c.close();
  for (auto& f : consumers) f.join();
  CHECK(popped == 200);
  CHECK(sum == 4 * 1275);
}

TEMPLATE_TEST_CASE("one producer's values come in their order", "[buffered_channel]", posted, dispatched) {
  channel_of_int c(2);
  std::vector<int> popped;
  auto f = start<TestType>([&] {
    for (int i = 0; i < 20; ++i) c.push(i);
    c.close();
  });
  int value = 0;
  while (c.pop(value) == status::success) popped.push_back(value);
  f.join();
  std::vector<int> expected;
  for (int i = 0; i < 20; ++i) expected.push_back(i);
  CHECK(popped == expected);
}

TEST_CASE("waiting producers get room in the order in which they came", "[buffered_channel]") {
  channel_of_int c(2);
  c.push(0);
  std::vector<fibers::fiber> many;
  for (int i = 1; i <= 4; ++i) many.emplace_back([&c, i] { c.push(i); });
  this_fiber::yield();
  std::string all;
  for (int i = 0; i <= 4; ++i) {
    all += std::to_string(c.value_pop());
    this_fiber::yield();
  }
  for (auto& f : many) f.join();
  CHECK(all == "01234");
}

TEST_CASE("waiting consumers get values in the order in which they came", "[buffered_channel]") {
  trace t;
  channel_of_int c(8);
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c"}) {
    many.emplace_back([&, name] { t(name + std::to_string(c.value_pop())); });
  }
  this_fiber::yield();
  for (int i = 1; i <= 3; ++i) c.push(i);
  for (auto& f : many) f.join();
  CHECK(t.words() == "a1 b2 c3");
}

TEST_CASE("what is left in a channel dies with it", "[buffered_channel]") {
  auto const alive = std::make_shared<int>(1);
  {
    fibers::buffered_channel<std::shared_ptr<int>> c(4);
    c.push(alive);
    c.push(alive);
    CHECK(alive.use_count() == 3);
  }
  CHECK(alive.use_count() == 1);
}
