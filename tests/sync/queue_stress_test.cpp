/// @file
/// Queues under everything at once: every call, with limits and cancellations at random, from fibers and threads. What
/// was put is what was got and what is left, each item once; join() ends; nobody hangs. With -DWEFT_SOAK=ON 10^7
/// attempts on each number of workers, and 100,000 seeds in simulation.

#include <weft/sync/lifo_queue.hpp>
#include <weft/sync/priority_queue.hpp>
#include <weft/sync/queue.hpp>

#include "support/catch.hpp"
#include "support/random_use.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

constexpr std::size_t putters = 4;
constexpr std::size_t getters = 4;

/// Whose item it is, and which of its own: of one putter's, later ones are greater.
struct item {
  std::uint64_t putter = 0;
  std::uint64_t number = 0;
  bool operator<(item const& other) const { return number < other.number; }
};

template <class Queue>
constexpr bool in_order = std::is_same_v<Queue, weft::queue<item>>;

/// What is counted of each putter's items.
class ledger {
public:
  void put(item const& i) { add(put_, i); }
  void got(item const& i) { add(got_, i); }
  /// What went in came out: as many, and the same.
  [[nodiscard]] bool balanced() const {
    return put_.count == got_.count && put_.sum == got_.sum && put_.squares == got_.squares;
  }
  [[nodiscard]] std::uint64_t count() const { return got_.count; }

private:
  struct account {
    std::atomic<std::uint64_t> count{0};
    std::atomic<std::uint64_t> sum{0};
    std::atomic<std::uint64_t> squares{0};  // two wrong ones do not make up for each other
  };
  static void add(account& a, item const& i) {
    auto const id = i.number * putters + i.putter;
    ++a.count;
    a.sum += id;
    a.squares += id * id;
  }

  account put_;
  account got_;
};

template <class Queue>
struct storm {
  explicit storm(std::size_t capacity) : q(capacity) {}

  /// Puts in all ways. Ends early when its task is cancelled, or the queue is shut down.
  void put(std::uint64_t self, std::uint32_t seed, std::size_t attempts) {
    std::minstd_rand random{seed};
    for (std::size_t n = 0; n < attempts; ++n) {
      item next{self, n};
      bool const put = take_somehow(
          random, [&] { q.put(next); }, [&] { return q.try_put(next); },
          [&](auto limit) { return q.put_for(next, limit); });
      if (put) book.put(next);
      if (random() % 16 == 0) weft::yield();
      dog->feed();
    }
  }

  /// Gets in all ways, until the queue is shut down or its task is cancelled.
  void get(std::uint32_t seed) {
    std::minstd_rand random{seed};
    std::array<std::uint64_t, putters> seen{};
    item next;
    for (;;) {
      bool got = false;
      try {
        got = take_somehow(
            random, [&] { next = q.get(); },
            [&] {
              auto const found = q.try_get();
              if (found) next = *found;
              return found.has_value();
            },
            [&](auto limit) {
              try {
                next = q.get_for(limit);
                return true;
              } catch (weft::timeout_error const&) {
                return false;
              }
            });
      } catch (weft::queue_shutdown const&) {
        return;
      }
      if (got) check(next, seen);
      if (random() % 16 == 0) weft::yield();
    }
  }

  void check(item const& got, std::array<std::uint64_t, putters>& seen) {
    book.got(got);
    q.task_done();
    if constexpr (in_order<Queue>) verify(got.number + 1 > std::exchange(seen.at(got.putter), got.number + 1));
    dog->feed();
  }

  /// What is left goes the same way, and then nothing is missing.
  void settle() {
    std::array<std::uint64_t, putters> none{};
    while (!q.empty()) check(*q.try_get(), none);
    q.join();
    verify(book.balanced());
  }

  Queue q;
  ledger book;
  watchdog* dog = nullptr;
};

/// Fibers at both ends, some of which are cancelled at random.
template <class Queue>
std::uint64_t fibers_alone(std::uint32_t seed, std::size_t attempts, watchdog& dog) {
  std::minstd_rand random{seed};
  storm<Queue> s{random() % 4};
  s.dog = &dog;
  std::vector<weft::task<void>> putting;
  std::vector<weft::task<void>> getting;
  for (std::size_t i = 0; i < putters; ++i) {
    putting.push_back(weft::spawn([&, i, own = static_cast<std::uint32_t>(random())] { s.put(i, own, attempts); }));
  }
  for (std::size_t i = 0; i < getters; ++i) {
    getting.push_back(weft::spawn([&, own = static_cast<std::uint32_t>(random())] { s.get(own); }));
  }
  auto const cancelled_at_some_time = [&random](weft::task<void>& t) {
    return weft::spawn([&t, turns = random() % 64] {
      for (auto n = turns; n != 0; --n) weft::yield();
      t.cancel();
    });
  };
  auto const first = cancelled_at_some_time(putting[0]);
  auto const second = cancelled_at_some_time(getting[0]);
  for (auto& t : putting) t.wait();
  s.q.shutdown();
  for (auto& t : getting) t.wait();
  for (auto* all : {&putting, &getting}) {
    for (auto& t : *all) {
      try {
        t.get();
      } catch (weft::cancelled const&) {  // NOLINT: two of them may be
      }
    }
  }
  s.settle();
  return s.book.count();
}

/// Fibers at one end, threads at the other.
template <class Queue>
void with_threads(weft::runtime& rt, bool threads_put, std::uint32_t seed, std::size_t attempts, watchdog& dog) {
  storm<Queue> s{seed % 4};
  s.dog = &dog;
  std::atomic<bool> failed{false};
  auto const put = [&](std::size_t i) { s.put(i, seed + static_cast<std::uint32_t>(i), attempts); };
  auto const get = [&](std::size_t i) { s.get(seed + 100 + static_cast<std::uint32_t>(i)); };
  std::vector<weft::task<void>> fibers;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < putters; ++i) {
    fibers.push_back(threads_put ? rt.spawn(get, i) : rt.spawn(put, i));
    threads.emplace_back([&, i] {
      try {
        threads_put ? put(i) : get(i);
      } catch (...) {
        failed = true;
      }
    });
  }
  if (threads_put) {
    for (auto& t : threads) t.join();
    s.q.shutdown();
    for (auto& t : fibers) t.get();
  } else {
    for (auto& t : fibers) t.get();
    s.q.shutdown();
    for (auto& t : threads) t.join();
  }
  CHECK_FALSE(failed.load());
  s.settle();
}

std::size_t workers_of_all_kinds() { return GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8}); }

}  // namespace

TEMPLATE_TEST_CASE("soak: H7: what is put is got once or left, under limits and cancellations",
                   "[queue][stress][soak][hazard][H7]", weft::queue<item>, weft::lifo_queue<item>,
                   weft::priority_queue<item>) {
  auto const workers = workers_of_all_kinds();
  auto const seed = static_cast<std::uint32_t>(std::random_device{}());
  CAPTURE(workers, seed);
  watchdog dog{"queue"};
  constexpr std::size_t attempts_of_each = 1000;
  constexpr std::size_t in_all = full_length ? 10'000'000 : scaled(60'000);
  run_on(workers, [&] {
    std::uint64_t got = 0;
    for (std::size_t done = 0; done < in_all; done += putters * attempts_of_each) {
      got += fibers_alone<TestType>(seed + static_cast<std::uint32_t>(done), attempts_of_each, dog);
    }
    verify(got > in_all / 8);  // a quarter of the attempts waits for as long as it takes
  });
}

TEMPLATE_TEST_CASE("soak: H7: the same with plain threads at one end", "[queue][stress][soak][hazard][H7]",
                   weft::queue<item>, weft::lifo_queue<item>, weft::priority_queue<item>) {
  auto const workers = workers_of_all_kinds();
  bool const threads_put = GENERATE(true, false);
  auto const seed = static_cast<std::uint32_t>(std::random_device{}());
  CAPTURE(workers, threads_put, seed);
  watchdog dog{"queue with threads"};
  weft::runtime rt{on(workers)};
  with_threads<TestType>(rt, threads_put, seed, full_length ? 250'000 : scaled(2'000), dog);
  expect_no_leaks(rt);
}

TEMPLATE_TEST_CASE("soak: H7: the same in simulation, by seeds", "[queue][stress][soak][simulation][hazard][H7]",
                   weft::queue<item>, weft::lifo_queue<item>, weft::priority_queue<item>) {
  constexpr std::uint32_t seeds = full_length ? 100'000 : scaled(300);
  watchdog dog{"simulated queue"};
  for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    weft::testing::simulation world{seed};
    REQUIRE_NOTHROW(world.run([&] {
      (void)fibers_alone<TestType>(seed, 20, dog);
      weft::testing::expect_no_leaks();
    }));
  }
}
