/// @file
/// unbuffered_channel.

#include "compat/names.hpp"

#include <memory>
#include <type_traits>
#include <vector>

using status = fibers::channel_op_status;
using channel_of_int = fibers::unbuffered_channel<int>;

TEST_CASE("an unbuffered channel neither copies nor moves", "[unbuffered_channel]") {
  CHECK_FALSE(std::is_copy_constructible_v<channel_of_int>);
  CHECK_FALSE(std::is_copy_assignable_v<channel_of_int>);
  CHECK(std::is_same_v<channel_of_int::value_type, int>);
  channel_of_int const c{};
  CHECK_FALSE(c.is_closed());
}

TEMPLATE_TEST_CASE("push meets pop", "[unbuffered_channel]", posted, dispatched) {
  channel_of_int c;
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.push(4); });
  int value = 0;
  CHECK(c.pop(value) == status::success);
  f.join();
  CHECK(result == status::success);
  CHECK(value == 4);
}

TEMPLATE_TEST_CASE("pop meets push", "[unbuffered_channel]", posted, dispatched) {
  channel_of_int c;
  int value = 0;
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.pop(value); });
  CHECK(c.push(4) == status::success);
  f.join();
  CHECK(result == status::success);
  CHECK(value == 4);
}

TEMPLATE_TEST_CASE("a push waits until its value is popped", "[unbuffered_channel]", posted, dispatched) {
  trace t;
  channel_of_int c;
  auto f = start<TestType>([&] {
    t("pushes");
    c.push(4);
    t("pushed");
  });
  for (int i = 0; i < 3; ++i) this_fiber::yield();
  t("main");
  CHECK(c.value_pop() == 4);
  f.join();
  CHECK(t.words() == "pushes main pushed");
}

TEST_CASE("an unbuffered channel takes lvalues", "[unbuffered_channel]") {
  fibers::unbuffered_channel<std::string> c;
  std::string const text = "text that is too long for a small string";
  fibers::fiber f([&] {
    c.push(text);
    c.push_wait_for(text, long_time);
    c.push_wait_until(text, std::chrono::steady_clock::now() + long_time);
  });
  for (int i = 0; i < 3; ++i) CHECK(c.value_pop() == text);
  f.join();
  CHECK(text.size() > 20);
}

TEST_CASE("values that only move go through an unbuffered channel", "[unbuffered_channel]") {
  fibers::unbuffered_channel<std::unique_ptr<int>> c;
  fibers::fiber f([&] {
    c.push(std::make_unique<int>(1));
    c.push_wait_for(std::make_unique<int>(2), long_time);
    c.push_wait_until(std::make_unique<int>(3), std::chrono::steady_clock::now() + long_time);
  });
  std::unique_ptr<int> value;
  CHECK(c.pop(value) == status::success);
  CHECK(*value == 1);
  CHECK(c.pop_wait_for(value, long_time) == status::success);
  CHECK(*value == 2);
  CHECK(*c.value_pop() == 3);
  f.join();
}

TEST_CASE("a closed unbuffered channel takes nothing", "[unbuffered_channel][close]") {
  channel_of_int c;
  c.close();
  CHECK(c.is_closed());
  CHECK(c.push(1) == status::closed);
  CHECK(c.push_wait_for(1, 1ms) == status::closed);
  CHECK(c.push_wait_until(1, std::chrono::steady_clock::now() + 1ms) == status::closed);
}

TEST_CASE("a closed unbuffered channel gives nothing", "[unbuffered_channel][close]") {
  channel_of_int c;
  c.close();
  int value = 7;
  CHECK(c.pop(value) == status::closed);
  CHECK(c.pop_wait_for(value, 1ms) == status::closed);
  CHECK(c.pop_wait_until(value, std::chrono::steady_clock::now() + 1ms) == status::closed);
  CHECK(value == 7);
}

TEST_CASE("closing an unbuffered channel twice is closing it once", "[unbuffered_channel][close]") {
  channel_of_int c;
  c.close();
  c.close();
  CHECK(c.is_closed());
}

TEST_CASE("value_pop of a closed unbuffered channel is an error", "[unbuffered_channel][errors]") {
  channel_of_int c;
  c.close();
  CHECK_THROWS_AS(c.value_pop(), fibers::fiber_error);
  CHECK(error_of([&c] { (void)c.value_pop(); }) == number(std::errc::operation_not_permitted));
}

TEMPLATE_TEST_CASE("close wakes all who pop from an unbuffered channel", "[unbuffered_channel][close]", posted,
                   dispatched) {
  channel_of_int c;
  int told = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 4; ++i) {
    many.push_back(start<TestType>([&] {
      int value = 0;
      if (c.pop(value) == status::closed) ++told;
    }));
  }
  this_fiber::yield();
  c.close();
  for (auto& f : many) f.join();
  CHECK(told == 4);
}

TEMPLATE_TEST_CASE("close wakes all who push to an unbuffered channel", "[unbuffered_channel][close]", posted,
                   dispatched) {
  channel_of_int c;
  int told = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 4; ++i) {
    many.push_back(start<TestType>([&, i] {
      if (c.push(i) == status::closed) ++told;
    }));
  }
  this_fiber::yield();
  CHECK(told == 0);
  c.close();
  for (auto& f : many) f.join();
  CHECK(told == 4);
}

TEMPLATE_TEST_CASE("close wakes who waits in value_pop of an unbuffered channel", "[unbuffered_channel][close]", posted,
                   dispatched) {
  channel_of_int c;
  int error = 0;
  auto f = start<TestType>([&] { error = error_of([&c] { (void)c.value_pop(); }); });
  this_fiber::yield();
  c.close();
  f.join();
  CHECK(error == number(std::errc::operation_not_permitted));
}

TEST_CASE("a timed pop from an unbuffered channel gives up", "[unbuffered_channel][time]") {
  channel_of_int c;
  int value = 7;
  auto const began = std::chrono::steady_clock::now();
  CHECK(c.pop_wait_for(value, 2ms) == status::timeout);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
  CHECK(c.pop_wait_until(value, std::chrono::steady_clock::now() + 1ms) == status::timeout);
  CHECK(c.pop_wait_until(value, std::chrono::system_clock::now() + 1ms) == status::timeout);
  CHECK(value == 7);
}

TEST_CASE("a timed push to an unbuffered channel gives up", "[unbuffered_channel][time]") {
  channel_of_int c;
  int const two = 2;
  auto const began = std::chrono::steady_clock::now();
  CHECK(c.push_wait_for(two, 2ms) == status::timeout);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
  CHECK(c.push_wait_for(3, 1ms) == status::timeout);
  CHECK(c.push_wait_until(two, std::chrono::steady_clock::now() + 1ms) == status::timeout);
  CHECK(c.push_wait_until(3, std::chrono::system_clock::now() + 1ms) == status::timeout);
}

TEST_CASE("a value whose push gave up is not popped", "[unbuffered_channel][time]") {
  channel_of_int c;
  CHECK(c.push_wait_for(3, 1ms) == status::timeout);
  int value = 7;
  CHECK(c.pop_wait_for(value, 1ms) == status::timeout);
  CHECK(value == 7);
  fibers::fiber f([&c] { c.push(4); });
  CHECK(c.value_pop() == 4);
  f.join();
}

TEMPLATE_TEST_CASE("a timed pop from an unbuffered channel gets what comes", "[unbuffered_channel][time]", posted,
                   dispatched) {
  channel_of_int c;
  int value = 0;
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.pop_wait_for(value, long_time); });
  this_fiber::yield();
  CHECK(c.push(9) == status::success);
  f.join();
  CHECK(result == status::success);
  CHECK(value == 9);
}

TEMPLATE_TEST_CASE("a timed push to an unbuffered channel meets a pop", "[unbuffered_channel][time]", posted,
                   dispatched) {
  channel_of_int c;
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.push_wait_for(9, long_time); });
  this_fiber::yield();
  CHECK(c.value_pop() == 9);
  f.join();
  CHECK(result == status::success);
}

TEMPLATE_TEST_CASE("a timed push to an unbuffered channel is told of the close", "[unbuffered_channel][time][close]",
                   posted, dispatched) {
  channel_of_int c;
  auto result = status::empty;
  auto f = start<TestType>([&] { result = c.push_wait_for(9, long_time); });
  this_fiber::yield();
  c.close();
  f.join();
  CHECK(result == status::closed);
}

TEMPLATE_TEST_CASE("a timed pop from an unbuffered channel is told of the close", "[unbuffered_channel][time][close]",
                   posted, dispatched) {
  channel_of_int c;
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

TEST_CASE("a range-for takes values from an unbuffered channel", "[unbuffered_channel][iterator]") {
  channel_of_int c;
  fibers::fiber f([&] {
    for (int i = 1; i <= 10; ++i) c.push(i);
    c.close();
  });
  int sum = 0;
  for (int const value : c) sum += value;
  f.join();
  CHECK(sum == 55);
}

TEST_CASE("an unbuffered channel's iterators are compared and followed", "[unbuffered_channel][iterator]") {
  fibers::unbuffered_channel<std::string> c;
  fibers::fiber f([&] {
    c.push("one");
    c.push("three");
    c.close();
  });
  auto i = begin(c);
  auto const last = end(c);
  CHECK(i != last);
  CHECK(*i == "one");
  CHECK(i->size() == 3);
  ++i;
  CHECK(*i == "three");
  ++i;
  CHECK(i == last);
  f.join();
}

TEST_CASE("producers push to an unbuffered channel in the order in which they came", "[unbuffered_channel]") {
  channel_of_int c;
  std::vector<fibers::fiber> many;
  for (int i = 1; i <= 4; ++i) many.emplace_back([&c, i] { c.push(i); });
  this_fiber::yield();
  std::string all;
  for (int i = 1; i <= 4; ++i) {
    all += std::to_string(c.value_pop());
    this_fiber::yield();
  }
  for (auto& f : many) f.join();
  CHECK(all == "1234");
}

TEMPLATE_TEST_CASE("producers and consumers share an unbuffered channel", "[unbuffered_channel]", posted, dispatched) {
  channel_of_int c;
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

TEMPLATE_TEST_CASE("values go through a pipeline of unbuffered channels", "[unbuffered_channel]", posted, dispatched) {
  channel_of_int first;
  channel_of_int second;
  auto a = start<TestType>([&] {
    for (int i = 1; i <= 5; ++i) first.push(i);
    first.close();
  });
  auto b = start<TestType>([&] {
    for (int const value : first) second.push(value * value);
    second.close();
  });
  std::string all;
  for (int const value : second) all += std::to_string(value) + " ";
  a.join();
  b.join();
  CHECK(all == "1 4 9 16 25 ");
}
