/// @file
/// map and for_each: results in order, never more than n at once, elements taken late.

#include <weft/runtime/map.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <forward_list>
#include <functional>
#include <iterator>
#include <memory>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::max_concurrency;
using weft::testing::simulation;

namespace {

void park_forever() {
  weft::event never_set;
  never_set.wait();
}

/// Counts who is inside, and how many there were at once.
class high_water {
public:
  class visit {
  public:
    explicit visit(high_water& of) : of_(of) {
      int const now = ++of_.inside_;
      int seen = of_.most_;
      while (seen < now && !of_.most_.compare_exchange_weak(seen, now)) {
      }
    }
    visit(visit const&) = delete;
    ~visit() { --of_.inside_; }

  private:
    high_water& of_;
  };
  [[nodiscard]] int most() const { return most_; }
  [[nodiscard]] int inside() const { return inside_; }

private:
  std::atomic<int> inside_{0};
  std::atomic<int> most_{0};
};

/// An input range of numbers from 0, which waits for each.
class slow_numbers {
public:
  explicit slow_numbers(int n) : n_(n) {}
  struct iterator {
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = std::unique_ptr<int>;
    slow_numbers* from = nullptr;
    value_type& operator*() const { return from->current_; }
    iterator& operator++() {
      from->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return from->at_ == from->n_; }
  };
  iterator begin() { return {this}; }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }
  [[nodiscard]] int advanced() const { return at_; }

private:
  void advance() {
    weft::sleep_for(1s);
    ++at_;
    if (at_ == fails_at) throw std::runtime_error("no next");
    current_ = std::make_unique<int>(at_);
  }
  int n_;
  std::atomic<int> at_{0};
  std::unique_ptr<int> current_ = std::make_unique<int>(0);

public:
  int fails_at = -1;
};
static_assert(std::ranges::input_range<slow_numbers>);

}  // namespace

TEST_CASE("100 items of 1 s, 10 at once, take 10 s, with a high-water mark of 10", "[map]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  high_water mark;
  sim.run([&] {
    auto const results = weft::map(
        std::views::iota(0, 100),
        [&](int i) {
          high_water::visit const here{mark};
          weft::sleep_for(1s);
          return i * i;
        },
        max_concurrency{10});
    REQUIRE(results.size() == 100);
    for (std::size_t i = 0; i < 100; ++i) CHECK(results[i] == static_cast<int>(i * i));
    weft::testing::expect_no_leaks();
  });
  CHECK(sim.elapsed() == 10s);
  CHECK(mark.most() == 10);
}

TEST_CASE("never more than n at once, on any number of workers", "[map][stress]") {
  auto const n = GENERATE(1, 2, 7, 1000);
  high_water mark;
  std::atomic<int> calls{0};
  auto const items = static_cast<int>(scaled(3'000)) + 10;
  run_on(some_workers(), [&] {
    auto const results = weft::map(
        std::views::iota(0, items),
        [&](int i) {
          high_water::visit const here{mark};
          ++calls;
          if (i % 3 == 0) weft::yield();
          return std::make_unique<int>(i);
        },
        max_concurrency{n});
    for (int i = 0; i < items; ++i) verify(*results[static_cast<std::size_t>(i)] == i);
  });
  CHECK(calls == items);
  CHECK(mark.most() <= n);
  CHECK(mark.inside() == 0);
}

TEST_CASE("map of elements by reference, of const ones, of values, and of ones that only move", "[map]") {
  run_on(some_workers(), [] {
    std::vector<std::string> words{"a", "bb", "ccc"};
    auto const references = weft::map(
        words, [](std::string& w) -> std::string& { return w += "!"; }, max_concurrency{2});
    verify(&references[1].get() == &words[1] && words[2] == "ccc!");
    auto const& constant = words;
    verify(weft::map(constant, &std::string::size, max_concurrency{2}) == std::vector<std::size_t>{2, 3, 4});
    auto const nothing = weft::map(std::forward_list{1, 2}, [](int) {}, max_concurrency{1});
    static_assert(std::same_as<decltype(nothing), std::vector<std::monostate> const>);
    verify(nothing.size() == 2);
    std::istringstream text{"1 2 3 4"};
    verify(weft::map(
               std::views::istream<int>(text), [](int i) { return 2 * i; }, max_concurrency{3}) ==
           std::vector{2, 4, 6, 8});
    std::vector<bool> const bits{true, false};
    verify(weft::map(bits, [](bool b) { return !b; }, max_concurrency{3}) == std::vector<bool>{false, true});
    verify(weft::map(std::vector<int>{}, [](int i) { return i; }, max_concurrency{3}).empty());
  });
}

TEST_CASE("an input range is advanced no sooner than somebody is free, and may wait meanwhile", "[map]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    slow_numbers numbers{6};
    high_water mark;
    sequence<int> ahead;
    std::atomic<int> done{0};
    auto const results = weft::map(
        numbers,
        [&](std::unique_ptr<int> i) {
          high_water::visit const here{mark};
          weft::sleep_for(10s);
          ahead.add(numbers.advanced() - done);
          ++done;
          return *i;
        },
        max_concurrency{2});
    CHECK(results == std::vector{0, 1, 2, 3, 4, 5});
    CHECK(mark.most() == 2);
    for (int const a : ahead.steps()) CHECK(a <= 2);
  });
  // Numbers 0 and 1 are taken at 0 and 1 s; each later one takes a second to come when its fiber is free.
  CHECK(sim.elapsed() == 1s + 3 * 10s + 2 * 1s);
}

TEST_CASE("for_each calls for every element and drops what comes back", "[map]") {
  run_on(some_workers(), [] {
    std::vector<int> numbers(100, 1);
    std::atomic<int> sum{0};
    weft::for_each(
        numbers,
        [&](int& i) {
          sum += i;
          i = 0;
          return std::make_unique<int>();
        },
        max_concurrency{4});
    verify(sum == 100 && numbers == std::vector<int>(100, 0));
  });
}

TEST_CASE("rule 11: the first failure ends a map, and no more calls are begun", "[map][rule11]") {
  simulation sim{GENERATE(1U, 2U, 3U)};
  sim.run([] {
    std::atomic<int> begun{0};
    high_water mark;
    CHECK_THROWS_AS(weft::map(
                        std::views::iota(0, 100),
                        [&](int i) {
                          high_water::visit const here{mark};
                          ++begun;
                          weft::sleep_for(std::chrono::seconds(i));
                          if (i == 3) throw std::out_of_range("three");
                          return i;
                        },
                        max_concurrency{5}),
                    std::out_of_range);
    CHECK(mark.inside() == 0);
    CHECK(begun == 8);  // 0 to 4, and one more for each of 0, 1 and 2
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("calls that do not wait are not begun either after a failure", "[map][rule11]") {
  run_with(weft::testing::fifo(), [] {
    int begun = 0;
    verify(throws<std::runtime_error>([&] {
      weft::for_each(
          std::views::iota(0, 1000),
          [&](int i) {
            ++begun;
            if (i == 0) throw std::runtime_error("zero");
          },
          max_concurrency{1});
    }));
    verify(begun == 1);
  });
}

TEST_CASE("a range that fails ends a map", "[map][rule11]") {
  simulation sim{GENERATE(1U, 2U)};
  sim.run([] {
    slow_numbers numbers{10};
    numbers.fails_at = 3;
    CHECK_THROWS_WITH(
        weft::for_each(numbers, [](std::unique_ptr<int>) { weft::sleep_for(1h); }, max_concurrency{9}), "no next");
    CHECK(numbers.advanced() == 3);
  });
  CHECK(sim.elapsed() == 3s);
}

TEST_CASE("a cancelled caller cancels its map, and joins it", "[map][cancel]") {
  run_on(some_workers(), [] {
    weft::event begun;
    high_water mark;
    auto outer = weft::spawn([&] {
      weft::for_each(
          std::views::iota(0, 10),
          [&](int) {
            high_water::visit const here{mark};
            begun.set();
            park_forever();
          },
          max_concurrency{3});
    });
    begun.wait();
    outer.cancel();
    verify(throws<weft::cancelled>([&] { outer.get(); }));
    verify(mark.inside() == 0);
  });
}

TEST_CASE("map refuses a limit of 0, an empty callable, and to run without a runtime", "[map][bad-input]") {
  std::vector<int> const one{1};
  auto const same = [](int i) { return i; };
  CHECK_THROWS_AS(weft::map(one, same, max_concurrency{1}), weft::no_runtime);
  run_on(some_workers(), [&] {
    verify(throws<std::invalid_argument>([&] { (void)weft::map(one, same, max_concurrency{0}); }));
    verify(throws<std::invalid_argument>([&] { (void)weft::map(one, same, max_concurrency{-1}); }));
    verify(throws<std::invalid_argument>([&] { weft::for_each(one, std::function<void(int)>{}, max_concurrency{1}); }));
    auto t = weft::spawn([&] {
      verify(throws<weft::cancelled>([] { park_forever(); }));
      verify(throws<weft::cancelled>([&] { (void)weft::map(std::vector<int>{}, same, max_concurrency{1}); }));
      verify(throws<weft::cancelled>([&] { (void)weft::map(one, same, max_concurrency{1}); }));
    });
    weft::yield();
    t.cancel();
    try {
      t.get();
    } catch (weft::cancelled const&) {  // before it began
    }
  });
}

TEST_CASE("a shielded map or for_each whose runtime is shut down does not pass for done", "[map]") {
  auto const values = GENERATE(false, true);
  auto const below = GENERATE(std::size_t{1}, std::size_t{3});
  weft::runtime rt{{.workers = some_workers()}};
  weft::event begun;
  std::atomic<int> told{0};
  rt.post([&] {
    weft::cancel_shield const shield;
    auto const waits = [&](int) -> std::string {
      begun.set();
      park_forever();
      return std::string(100, 'x');
    };
    try {
      auto const all = std::views::iota(0, 10);
      values ? void(weft::map(all, waits, max_concurrency{below})) : weft::for_each(all, waits, max_concurrency{below});
    } catch (weft::cancelled const&) {
      ++told;
    } catch (weft::error const&) {  // a runtime that shuts down takes no more tasks
      ++told;
    }
  });
  begun.wait();
  rt.shutdown();
  CHECK(told == 1);
}
