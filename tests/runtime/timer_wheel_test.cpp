/// @file
/// The wheel against a std::multimap.

#include "timer_wheel.hpp"

#include "support/catch.hpp"
#include "support/scale.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using weft::never;
using weft::time_point;
using weft::detail::timer_node;
using weft::detail::timer_wheel;

time_point at(std::int64_t ns) { return time_point{std::chrono::nanoseconds{ns}}; }

constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

std::vector<timer_node*> expire(timer_wheel& wheel, time_point now, std::size_t most = all) {
  std::vector<timer_node*> fired;
  (void)wheel.expire(now, most, [&](timer_node& n) { fired.push_back(&n); });
  return fired;
}

}  // namespace

TEST_CASE("an empty wheel is never due", "[timer]") {
  timer_wheel wheel;
  CHECK(wheel.next() == never);
  CHECK(expire(wheel, at(1'000'000'000)).empty());
  CHECK_FALSE(wheel.due(at(1)));
}

TEST_CASE("a timer fires at its deadline and not a nanosecond before", "[timer]") {
  auto const deadline = GENERATE(std::int64_t{1}, std::int64_t{16'383}, std::int64_t{16'384}, std::int64_t{1'000'000},
                                 std::int64_t{1} << 20, (std::int64_t{1} << 32) + 7, std::int64_t{1} << 61,
                                 (std::int64_t{1} << 62) - 1, std::int64_t{1} << 62, (std::int64_t{1} << 62) + 5,
                                 std::numeric_limits<std::int64_t>::max() - 1);
  timer_wheel wheel;
  timer_node node;
  wheel.arm(node, at(deadline));
  CHECK(wheel.next() == at(deadline));
  CHECK(expire(wheel, at(deadline - 1)).empty());
  CHECK(wheel.next() == at(deadline));
  CHECK(expire(wheel, at(deadline)) == std::vector{&node});
  CHECK(wheel.next() == never);
}

TEST_CASE("H25: deadlines in the past, before the clock began, and at the end of time", "[timer][hazard][H25]") {
  timer_wheel wheel;
  CHECK(expire(wheel, at(5'000'000'000)).empty());
  timer_node past;
  timer_node before;
  timer_node first;
  timer_node last;
  wheel.arm(past, at(1));
  wheel.arm(before, at(-1));
  wheel.arm(first, time_point::min());
  wheel.arm(last, never);
  CHECK(wheel.due(at(5'000'000'000)));
  CHECK(expire(wheel, at(5'000'000'000)).size() == 3);
  CHECK(expire(wheel, at(std::numeric_limits<std::int64_t>::max() - 1)).empty());
  wheel.cancel(last);
  CHECK(wheel.next() == never);
}

TEST_CASE("a cancelled timer does not fire, and cancelling twice is harmless", "[timer]") {
  timer_wheel wheel;
  timer_node a;
  timer_node b;
  wheel.arm(a, at(100'000));
  wheel.arm(b, at(200'000));
  wheel.cancel(a);
  wheel.cancel(a);
  CHECK(wheel.next() <= at(200'000));
  CHECK(expire(wheel, at(150'000)).empty());
  CHECK(expire(wheel, at(200'000)) == std::vector{&b});
  wheel.cancel(b);
  wheel.arm(a, at(300'000));
  CHECK(expire(wheel, at(300'000)) == std::vector{&a});
}

TEST_CASE("timers of one deadline fire in the order of arming", "[timer]") {
  timer_wheel wheel;
  std::vector<timer_node> nodes(300);
  for (auto& n : nodes) wheel.arm(n, at(123'456'789'012));
  auto const fired = expire(wheel, at(123'456'789'012));
  REQUIRE(fired.size() == nodes.size());
  CHECK(std::is_sorted(fired.begin(), fired.end()));
}

TEST_CASE("timers of one deadline keep that order however often they are moved down", "[timer]") {
  // One level after another; some cancelled on the way, others armed late, when the first have been moved down.
  auto const deadline = GENERATE(std::int64_t{1} << 20, std::int64_t{1} << 27, (std::int64_t{1} << 35) + 123,
                                 (std::int64_t{1} << 44) + 77);
  constexpr std::size_t count = 60;
  timer_wheel wheel;
  std::vector<timer_node> nodes(count);
  std::vector<timer_node> others(count);
  std::vector<timer_node*> expected;
  for (std::size_t i = 0; i < count; ++i) {
    // At three times, the last not far from the deadline.
    if (i == count / 3) (void)expire(wheel, at(deadline / 2));
    if (i == 2 * count / 3) (void)expire(wheel, at(deadline - 100'000));
    wheel.arm(nodes[i], at(deadline));
    wheel.arm(others[i], at(deadline + 1 + static_cast<std::int64_t>(i) * 40'000));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 7 == 3) {
      wheel.cancel(nodes[i]);
    } else {
      expected.push_back(&nodes[i]);
    }
  }
  for (std::int64_t before = deadline; before > 1000; before /= 3)
    CHECK(expire(wheel, at(deadline - before / 3 - 1)).empty());
  auto const fired = expire(wheel, at(deadline));
  CHECK(fired == expected);
  auto const rest = expire(wheel, never - std::chrono::nanoseconds{1});
  REQUIRE(rest.size() == count);
  for (std::size_t i = 0; i < count; ++i) CHECK(rest[i] == &others[i]);
}

TEST_CASE("no more than asked for fire in one call", "[timer]") {
  timer_wheel wheel;
  std::vector<timer_node> nodes(10);
  for (auto& n : nodes) wheel.arm(n, at(1'000));
  CHECK(wheel.expire(at(2'000), 4, [](timer_node&) {}));
  CHECK(wheel.expire(at(2'000), 4, [](timer_node&) {}));
  CHECK_FALSE(wheel.expire(at(2'000), 4, [](timer_node&) {}));
}

TEST_CASE("the wheel agrees with a multimap under random arming, cancelling and passing of time", "[timer]") {
  auto const seed = GENERATE(range(1U, 25U));
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  auto const upto = [&](std::uint64_t n) { return random() % n; };
  timer_wheel wheel;
  std::vector<std::unique_ptr<timer_node>> nodes;
  std::multimap<std::int64_t, timer_node*> model;
  auto const erase = [&](timer_node* n) {
    auto const [from, to] = model.equal_range(n->deadline.time_since_epoch().count());
    auto const found = std::find_if(from, to, [&](auto const& entry) { return entry.second == n; });
    if (found == to) return false;
    model.erase(found);
    return true;
  };
  std::int64_t now = static_cast<std::int64_t>(upto(std::uint64_t{1} << (10 + upto(40))));
  auto const scale = [&] { return static_cast<std::int64_t>(upto(std::uint64_t{1} << (1 + upto(44)))); };
  for (int i = 0; i < 400; ++i) nodes.push_back(std::make_unique<timer_node>());
  for (std::size_t step = 0; step < weft::test::scaled(12'000) + 500; ++step) {
    auto* const n = nodes[upto(nodes.size())].get();
    switch (upto(5)) {
      case 0:
      case 1:
        if (n->linked) break;
        wheel.arm(*n, at(now + scale() - static_cast<std::int64_t>(upto(2'000))));
        model.emplace(n->deadline.time_since_epoch().count(), n);
        break;
      case 2:
        wheel.cancel(*n);
        (void)erase(n);
        break;
      default: {
        // Half of the time exactly to the next deadline, where mistakes of one would show.
        if (upto(2) == 0 && !model.empty()) {
          now = std::max(now, model.begin()->first - static_cast<std::int64_t>(upto(2)));
        } else {
          now += scale() >> upto(20);
        }
        auto const fired = expire(wheel, at(now), upto(4) == 0 ? 1 + upto(3) : all);
        std::int64_t tick = std::numeric_limits<std::int64_t>::min();
        for (timer_node* f : fired) {
          REQUIRE(f->deadline <= at(now));
          REQUIRE(erase(f));
          auto const its = std::max<std::int64_t>(f->deadline.time_since_epoch().count(), 0) >> 14;
          if (fired.size() > 1 && tick > its) {
            // Only timers that were armed when already due may come late.
            REQUIRE(f->deadline <= at(now));
          }
          tick = its;
        }
        if (fired.size() < 1 || fired.size() > 3) {
          REQUIRE((model.empty() || model.begin()->first > now || !wheel.next().time_since_epoch().count() ||
                   wheel.due(at(now))));
        }
        break;
      }
    }
    if (!model.empty()) REQUIRE(wheel.next() <= at(model.begin()->first));
  }
  // All that is left comes out, once, in the order of its tick.
  std::vector<timer_node*> rest;
  while (!model.empty()) {
    now = std::max(now, model.begin()->first);
    auto const fired = expire(wheel, at(now));
    REQUIRE_FALSE(fired.empty());
    for (timer_node* f : fired) REQUIRE(erase(f));
    REQUIRE((model.empty() || model.begin()->first > now));
    rest.insert(rest.end(), fired.begin(), fired.end());
  }
  CHECK(wheel.next() == never);
}

TEST_CASE("timers of different ticks fire in order", "[timer]") {
  auto const seed = GENERATE(range(1U, 9U));
  std::mt19937_64 random{seed};
  timer_wheel wheel;
  std::vector<timer_node> nodes(2'000);
  for (auto& n : nodes)
    wheel.arm(n, at(static_cast<std::int64_t>(random() % (std::uint64_t{1} << (14 + random() % 40)))));
  auto const fired = expire(wheel, at(std::int64_t{1} << 60));
  REQUIRE(fired.size() == nodes.size());
  CHECK(std::is_sorted(fired.begin(), fired.end(), [](timer_node const* a, timer_node const* b) {
    return (a->deadline.time_since_epoch().count() >> 14) < (b->deadline.time_since_epoch().count() >> 14);
  }));
}

TEST_CASE("a sleeper on next() wakes seldom to move timers down", "[timer]") {
  timer_wheel wheel;
  timer_node node;
  wheel.arm(node, at(std::int64_t{3'600'000'000'000}));
  int wakes = 0;
  time_point now = at(0);
  while (node.linked) {
    now = wheel.next();
    (void)expire(wheel, now);
    ++wakes;
  }
  CHECK(wakes == 1);
}

TEST_CASE("a timer can be cancelled from another thread while it expires", "[timer][stress][hazard][H6]") {
  auto const rounds = weft::test::scaled(40'000);
  timer_wheel wheel;
  std::vector<timer_node> nodes(rounds);
  std::vector<std::atomic<int>> fired(rounds);
  std::atomic<std::size_t> armed{0};
  std::thread canceller{[&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      // acquire: pairs with the store below; the node has been armed.
      while (armed.load(std::memory_order_acquire) <= i) std::this_thread::yield();
      wheel.cancel(nodes[i]);
      // The wheel no longer refers to it: writing to it must be no race.
      nodes[i].deadline = at(-1);
    }
  }};
  for (std::size_t i = 0; i < rounds; ++i) {
    wheel.arm(nodes[i], at(static_cast<std::int64_t>(i) * 1'000));
    armed.store(i + 1, std::memory_order_release);  // pairs with the canceller's load
    (void)wheel.expire(at(static_cast<std::int64_t>(i) * 1'000), all,
                       [&](timer_node& n) { fired[static_cast<std::size_t>(&n - nodes.data())].fetch_add(1); });
  }
  canceller.join();
  CHECK(std::all_of(fired.begin(), fired.end(), [](auto const& n) { return n.load() <= 1; }));
  CHECK(std::any_of(fired.begin(), fired.end(), [](auto const& n) { return n.load() == 1; }));
  CHECK(expire(wheel, at(std::int64_t{1} << 60)).empty());
}
