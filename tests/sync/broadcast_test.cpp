/// @file
/// broadcast.

#include <weft/sync/broadcast.hpp>

#include "support/catch.hpp"
#include "support/random_use.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// The number that is missed, or 0.
template <class Subscriber>
std::uint64_t missed_by(Subscriber& s) {
  try {
    (void)s.try_receive();
  } catch (weft::subscriber_lagged const& e) {
    return e.missed();
  }
  return 0;
}

}  // namespace

TEST_CASE("each subscriber gets every value that is sent after it subscribed", "[broadcast]") {
  weft::broadcast<std::string> b{4};
  CHECK(b.capacity() == 4);
  CHECK(b.send("nobody hears") == 0);
  auto first = b.subscribe();
  CHECK(b.send("one") == 1);
  auto second = b.subscribe();
  CHECK(b.subscribers() == 2);
  CHECK(b.send("two") == 2);
  CHECK(first.receive() == "one");
  CHECK(first.receive() == "two");
  CHECK_FALSE(first.try_receive());
  CHECK(second.try_receive() == "two");
  CHECK_FALSE(second.closed());
}

TEST_CASE("a subscriber that moves stays the same one, and one that goes is not counted", "[broadcast]") {
  weft::broadcast<int> b{4};
  auto first = b.subscribe();
  b.send(1);
  b.send(2);
  CHECK(first.receive() == 1);
  auto second = std::move(first);
  CHECK(b.subscribers() == 1);
  CHECK(second.receive() == 2);
  first = b.subscribe();
  CHECK(b.subscribers() == 2);
  second = std::move(first);
  CHECK(b.subscribers() == 1);
  {
    auto const third = b.subscribe();
  }
  CHECK(b.subscribers() == 1);
  b.send(3);
  CHECK(second.receive() == 3);
}

TEST_CASE("who is slow learns how much it has missed, and goes on with the oldest that is there", "[broadcast]") {
  weft::broadcast<int> b{3};
  auto s = b.subscribe();
  for (int i = 1; i <= 3; ++i) b.send(i);
  CHECK(s.receive() == 1);  // just in time
  for (int i = 4; i <= 10; ++i) b.send(i);
  CHECK(missed_by(s) == 6);  // 2 to 7
  CHECK(s.receive() == 8);
  b.send(11);
  CHECK(missed_by(s) == 0);
  CHECK(s.receive() == 10);
  CHECK(s.receive() == 11);
  for (int i = 0; i < 5; ++i) b.send(i);
  CHECK_THROWS_AS(s.receive_for(0s), weft::subscriber_lagged);
  CHECK_THROWS_AS((b.send(5), s.receive()), weft::subscriber_lagged);
  CHECK_THROWS_WITH((b.send(6), s.receive()), "weft::broadcast: values that a subscriber has missed: 1");
  b.close();
  CHECK(s.receive() == 4);
}

TEST_CASE("a broadcast that is closed gives what was sent, and then nothing", "[broadcast]") {
  weft::broadcast<int> b{2};
  auto s = b.subscribe();
  b.send(1);
  b.close();
  b.close();
  CHECK(b.closed());
  CHECK_FALSE(s.closed());
  CHECK_THROWS_AS(b.send(2), weft::channel_closed);
  CHECK(s.receive() == 1);
  CHECK(s.closed());
  CHECK(s.receive() == std::nullopt);
  CHECK(s.receive_for(1h) == std::nullopt);
  CHECK(s.try_receive() == std::nullopt);
  auto late = b.subscribe();
  CHECK(late.closed());
  CHECK(late.receive() == std::nullopt);
}

TEST_CASE("subscribers outlive a broadcast, whose end closes it", "[broadcast]") {
  run_on(some_workers(), [] {
    auto b = std::make_unique<weft::broadcast<int>>(std::size_t{2});
    auto s = b->subscribe();
    auto receiver = weft::spawn([&] {
      verify(s.receive() == 1);
      verify(s.receive() == 2);
      verify(s.receive() == std::nullopt);
    });
    b->send(1);
    b->send(2);
    b.reset();
    receiver.get();
  });
}

TEST_CASE("a capacity of 0 is refused, and one beyond all memory", "[broadcast][bad-input]") {
  CHECK_THROWS_AS(weft::broadcast<int>{0}, std::invalid_argument);
  CHECK_THROWS_AS(weft::broadcast<int>{static_cast<std::size_t>(-1)}, std::length_error);
}

TEST_CASE("rule 13: receive_for ends exactly at its deadline", "[broadcast][rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    weft::broadcast<int> b{2};
    auto s = b.subscribe();
    verify(throws<weft::timeout_error>([&] { (void)s.receive_for(0s); }));
    verify(throws<weft::timeout_error>([&] { (void)s.receive_for(5ms); }));
    verify(weft::testing::now() == begin + 5ms);
    verify(throws<weft::timeout_error>([&] { (void)s.receive_until(begin + 6ms); }));
    verify(weft::testing::now() == begin + 6ms);
    auto sender = weft::spawn([&] {
      weft::sleep_for(1ms);
      b.send(1);
    });
    verify(s.receive_for(1h) == 1 && weft::testing::now() == begin + 7ms);
    sender.get();
  });
}

TEST_CASE("rule 3: receiving is a cancellation point, and a cancelled call has read nothing", "[broadcast][rule3]") {
  run_on(some_workers(), [] {
    weft::broadcast<int> b{400};
    auto s = b.subscribe();
    b.send(-1);
    weft::cancel_scope scope;
    verify(!scope.run([&] {
      scope.cancel();
      (void)s.receive();
    }));
    verify(s.receive() == -1);
    int next = 0;
    for (int round = 0; round < 200; ++round) {
      auto receiver = weft::spawn([&] { return *s.receive(); });
      if (round % 2 == 0) weft::yield();
      if (round % 3 == 0) receiver.cancel();
      b.send(round);
      receiver.cancel();
      try {
        verify(receiver.get() == next);
        ++next;
      } catch (weft::cancelled const&) {  // NOLINT: then it is there for the next one
      }
    }
    while (auto const value = s.try_receive()) verify(*value == next++);
    verify(next == 200);
  });
}

TEST_CASE("a value whose copy throws can be had again", "[broadcast][bad-input]") {
  struct brittle {
    explicit brittle(bool* f) : fails(f) {}
    brittle(brittle&&) = default;
    brittle(brittle const& other) : fails(other.fails) {
      if (*fails) throw std::range_error("it cannot be copied");
    }
    bool* fails;
  };
  bool fails = true;
  weft::broadcast<brittle> b{1};
  auto s = b.subscribe();
  b.send(brittle{&fails});
  CHECK_THROWS_AS(s.receive(), std::range_error);
  CHECK_THROWS_AS(s.try_receive(), std::range_error);
  fails = false;
  CHECK(s.receive().has_value());
}

TEST_CASE("a value is kept once, and no longer than until it is overwritten", "[broadcast]") {
  auto counted = std::make_shared<int>(1);
  weft::broadcast<std::shared_ptr<int>> b{2};
  auto s = b.subscribe();
  b.send(counted);
  CHECK(counted.use_count() == 2);
  (void)s.receive();
  b.send(nullptr);
  b.send(nullptr);
  CHECK(counted.use_count() == 1);
}

namespace {

/// Senders and subscribers that come, read for a while, in all ways, and go. What a subscriber reads and misses is
/// together all that was sent while it was there.
void storm(std::uint32_t seed, std::size_t each, watchdog& dog) {
  std::minstd_rand random{seed};
  weft::broadcast<std::uint64_t> b{1 + random() % 8};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> read_by_all{0};
  std::atomic<std::uint64_t> missed_by_all{0};
  auto first = b.subscribe();
  auto const subscribe = [&](std::uint32_t own, weft::broadcast<std::uint64_t>::subscriber s, bool from_the_start) {
    std::minstd_rand choices{own};
    std::uint64_t read = 0;
    std::uint64_t missed = 0;
    while (!s.closed()) {
      std::optional<std::uint64_t> value;
      try {
        (void)take_somehow(
            choices, [&] { value = s.receive(); }, [&] { return (value = s.try_receive()).has_value(); },
            [&](auto limit) {
              try {
                value = s.receive_for(limit);
              } catch (weft::timeout_error const&) {  // NOLINT: once more
              }
              return true;
            });
      } catch (weft::subscriber_lagged const& e) {
        verify(e.missed() > 0);
        missed += e.missed();
      }
      // With one sender the values are the numbers of what was sent.
      if (value) verify(!from_the_start || *value == read + missed);
      if (value) ++read;
      dog.feed();
    }
    verify(!from_the_start || read + missed == sent);
    read_by_all += read;
    missed_by_all += missed;
  };
  std::vector<weft::task<void>> subscribers;
  subscribers.push_back(
      weft::spawn([&, own = static_cast<std::uint32_t>(random())] { subscribe(own, std::move(first), true); }));
  for (int i = 0; i < 3; ++i) {
    subscribers.push_back(
        weft::spawn([&, own = static_cast<std::uint32_t>(random())] { subscribe(own, b.subscribe(), false); }));
  }
  for (std::size_t i = 0; i < each; ++i) {
    b.send(sent++);
    if (random() % 4 == 0) weft::yield();
    if (random() % 64 == 0) weft::sleep_for(std::chrono::microseconds{random() % 50});
  }
  b.close();
  for (auto& t : subscribers) t.get();
  verify(read_by_all > 0);
}

}  // namespace

TEST_CASE("what a subscriber reads and misses is all that was sent", "[broadcast][stress]") {
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8});
  auto const seed = static_cast<std::uint32_t>(std::random_device{}());
  CAPTURE(workers, seed);
  watchdog dog{"broadcast"};
  run_on(workers, [&] {
    for (std::uint32_t i = 0; i < 5; ++i) storm(seed + i, scaled(2'000), dog);
  });
}

TEST_CASE("the same in simulation, by seeds", "[broadcast][stress][simulation]") {
  watchdog dog{"simulated broadcast"};
  for (std::uint32_t seed = 1; seed <= scaled(300); ++seed) {
    INFO("seed " << seed);
    weft::testing::simulation world{seed};
    REQUIRE_NOTHROW(world.run([&] {
      storm(seed, 50, dog);
      weft::testing::expect_no_leaks();
    }));
  }
}

TEST_CASE("plain threads receive what fibers send, and send what fibers receive", "[broadcast]") {
  weft::runtime rt{on(some_workers())};
  constexpr int values = 500;
  weft::broadcast<int> out{values};
  weft::broadcast<int> back{values};
  auto heard = out.subscribe();
  auto answers = back.subscribe();
  auto fiber = rt.spawn([&] {
    for (int i = 0; i < values; ++i) out.send(i);
    out.close();
    int expected = 0;
    while (auto const answer = answers.receive()) verify(*answer == expected++);
    verify(expected == values);
  });
  std::thread thread{[&] {
    while (auto const value = heard.receive()) back.send(*value);
    back.close();
  }};
  thread.join();
  fiber.get();
  expect_no_leaks(rt);
}
