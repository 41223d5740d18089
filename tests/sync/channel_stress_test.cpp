/// @file
/// Channels and select under random time limits and cancellations: what was produced has been consumed or is left, each
/// producer's values come in order, and nobody hangs. With -DWEFT_SOAK=ON once more, on each number of workers with
/// 10^8 channel operations, 10^7 timed receives and 10^7 selects.

#include <weft/sync/channel.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/select.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::channel;

namespace {

using random_source = std::minstd_rand;

/// Counts what was sent and what was received: both come to the same in the end, in number and in sum.
struct balance {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> sent_sum{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> received_sum{0};
  std::atomic<std::uint64_t> given_up{0};
  std::atomic<std::uint64_t> timed_receives{0};
  std::atomic<std::uint64_t> cancelled{0};

  void out(std::uint64_t value) {
    sent.fetch_add(1, std::memory_order_relaxed);
    sent_sum.fetch_add(value, std::memory_order_relaxed);
  }
  void in(std::uint64_t value) {
    received.fetch_add(1, std::memory_order_relaxed);
    received_sum.fetch_add(value, std::memory_order_relaxed);
  }
  [[nodiscard]] bool even() const { return sent == received && sent_sum == received_sum; }
};

/// What to do before an attempt is over, for none, some or many turns.
std::chrono::nanoseconds some_time(random_source& random) { return std::chrono::nanoseconds{random() % 30'000}; }

/// A number of which the channel must reckon that a move throws: a sender that has waited moves it itself.
struct moved_with_care {
  moved_with_care(std::uint64_t n) noexcept : number(n) {}
  moved_with_care(moved_with_care&& other) noexcept(false) : number(other.number) {}
  moved_with_care& operator=(moved_with_care&&) = default;
  operator std::uint64_t() const noexcept { return number; }
  std::uint64_t number;
};

/// Sends, in one of several ways, sometimes with a limit or under a cancellation.
template <class T>
void send_somehow(channel<T>& ch, std::uint64_t number, random_source& random, balance& count) {
  T value{number};
  bool sent = false;
  switch (random() % 5) {
    case 0: sent = ch.try_send(value); break;
    case 1: sent = ch.send_for(value, some_time(random)); break;
    case 2: sent = weft::move_on_after(some_time(random), [&] { ch.send(std::move(value)); }); break;
    case 3: sent = weft::select(weft::on_timeout(some_time(random)), weft::on_send(ch, std::move(value))) == 1; break;
    default: ch.send(std::move(value)); sent = true;
  }
  sent ? count.out(number) : void(++count.given_up);
}

/// @returns false if the channel is closed and empty
template <class T>
bool receive_somehow(channel<T>& ch, random_source& random, balance& count) {
  std::optional<T> value;
  bool over = false;
  auto const way = random() % 5;
  if (way >= 1 && way <= 3) count.timed_receives.fetch_add(1, std::memory_order_relaxed);
  switch (way) {
    case 0: value = ch.try_receive(); break;
    case 1:
      try {
        value = ch.receive_for(some_time(random));
        over = !value;
      } catch (weft::timeout_error const&) {
        ++count.given_up;
      }
      break;
    case 2:
      if (weft::move_on_after(some_time(random), [&] { value = ch.receive(); })) {
        over = !value;
      } else {
        ++count.given_up;
      }
      break;
    case 3:
      (void)weft::select(weft::on_receive(ch,
                                          [&](std::optional<T> v) {
                                            over = !v;
                                            value = std::move(v);
                                          }),
                         weft::on_timeout(some_time(random)));
      break;
    default: value = ch.receive(); over = !value;
  }
  if (value) count.in(*value);
  return !over;
}

/// Calls `part` in a task of its own, which in one of four cases is cancelled after some turns.
template <class Part>
void perhaps_cancelled(random_source& random, balance& count, Part const& part) {
  auto task = weft::spawn([&part, own = random_source{random()}]() mutable { part(own); });
  if (random() % 4 == 0) {
    for (auto turns = random() % 64; turns != 0; --turns) weft::yield();
    task.cancel();
  }
  try {
    task.get();
  } catch (weft::cancelled const&) {
    ++count.cancelled;
  }
}

/// Producers and consumers, on fibers and, if `threads`, as many on threads, until so many receives had a time limit.
template <class T>
void exchange(weft::runtime& rt, std::size_t capacity, std::size_t timed_receives, unsigned seed, bool threads,
              watchdog& dog) {
  channel<T> ch{capacity};
  balance count;
  constexpr unsigned parties = 4;
  constexpr std::size_t at_once = 64;
  auto const on_thread = [threads](unsigned number) { return threads && number % 2 == 1; };
  auto const produce = [&](unsigned number) {
    random_source random{seed * 100 + number};
    std::uint64_t value = number;
    auto const some = [&](random_source& choices) {
      for (std::size_t i = 0; i < at_once; ++i) send_somehow(ch, value += parties, choices, count);
    };
    while (count.timed_receives < timed_receives) {
      on_thread(number) ? some(random) : perhaps_cancelled(random, count, some);
      dog.feed();
    }
  };
  auto const consume = [&](unsigned number) {
    random_source random{seed * 100 + 50 + number};
    bool open = true;
    auto const some = [&](random_source& choices) {
      for (std::size_t i = 0; i < at_once && open; ++i) open = receive_somehow(ch, choices, count);
    };
    while (open) on_thread(number) ? some(random) : perhaps_cancelled(random, count, some);
  };
  std::vector<weft::task<void>> producers;
  std::vector<weft::task<void>> consumers;
  std::vector<std::thread> producing_threads;
  std::vector<std::thread> consuming_threads;
  for (unsigned i = 0; i < parties; ++i) {
    if (on_thread(i)) {
      producing_threads.emplace_back(produce, i);
      consuming_threads.emplace_back(consume, i);
    } else {
      producers.push_back(rt.spawn(produce, i));
      consumers.push_back(rt.spawn(consume, i));
    }
  }
  for (auto& p : producers) p.get();
  for (auto& t : producing_threads) t.join();
  ch.close();
  for (auto& c : consumers) c.get();
  for (auto& t : consuming_threads) t.join();
  CHECK(count.even());
  CHECK(count.sent > 0);
  CHECK(count.given_up > 0);
  if constexpr (full_length) CHECK(count.cancelled > 0);
}

unsigned fresh_seed() { return std::random_device{}() % 1'000'000; }

constexpr std::size_t timed_operations = full_length ? 10'000'000 : scaled(20'000);
constexpr std::size_t plain_operations = full_length ? 100'000'000 : scaled(400'000);
constexpr std::uint64_t seeds = full_length ? 100'000 : scaled(1'500);

std::size_t workers_to_try() {
  return full_length ? GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8}) : some_workers();
}

}  // namespace

TEST_CASE("H7: soak: timed and cancelled sends and receives lose nothing",
          "[channel][select][stress][soak][hazard][H7]") {
  auto const workers = workers_to_try();
  auto const threads = GENERATE(false, true);
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{7});
  auto const seed = fresh_seed();
  INFO("seed " << seed << ", workers " << workers << ", threads " << threads << ", capacity " << capacity);
  watchdog dog{"timed channel storm, seed " + std::to_string(seed)};
  weft::runtime rt{on(workers)};
  exchange<std::uint64_t>(rt, capacity, timed_operations / 3 + 1, seed, threads, dog);
  expect_no_leaks(rt);
}

TEST_CASE("H7: soak: nor do those of values whose moves may throw", "[channel][select][stress][soak][hazard][H7]") {
  auto const workers = workers_to_try();
  auto const capacity = GENERATE(std::size_t{1}, std::size_t{7});
  auto const seed = fresh_seed();
  INFO("seed " << seed << ", workers " << workers << ", capacity " << capacity);
  watchdog dog{"timed channel storm of careful moves, seed " + std::to_string(seed)};
  weft::runtime rt{on(workers)};
  exchange<moved_with_care>(rt, capacity, timed_operations / 8 + 1, seed, true, dog);
  expect_no_leaks(rt);
}

TEST_CASE("soak: many senders and receivers: each value arrives once, each sender's in order",
          "[channel][stress][soak]") {
  auto const workers = workers_to_try();
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{128});
  auto const threads_send = GENERATE(false, true);
  INFO("workers " << workers << ", capacity " << capacity << ", threads send " << threads_send);
  watchdog dog{"channel storm"};
  weft::runtime rt{on(workers)};
  constexpr std::size_t capacities = 3;  // of those above
  constexpr std::size_t senders = 3;
  constexpr std::size_t receivers = 3;
  // Half of the operations are receives. A thread's hand-over without room is a sleep and a wake-up by the kernel.
  std::size_t const each = plain_operations / 2 / capacities / senders / (threads_send && capacity < 2 ? 10 : 1) + 1;
  struct message {
    std::size_t from;
    std::size_t number;
  };
  channel<message> ch{capacity};
  std::array<std::atomic<std::size_t>, senders> sums{};
  auto const send = [&](std::size_t from) {
    for (std::size_t i = 1; i <= each; ++i) ch.send({from, i});
  };
  auto const receive = [&] {
    std::array<std::size_t, senders> last{};
    std::size_t count = 0;
    for (auto const& m : ch) {
      verify(m.number > last[m.from]);  // of what one receiver gets from one sender
      last[m.from] = m.number;
      sums[m.from].fetch_add(m.number, std::memory_order_relaxed);
      if (++count % 256 == 0) dog.feed();
    }
  };
  std::vector<weft::task<void>> sending;
  std::vector<weft::task<void>> receiving;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < receivers; ++i) receiving.push_back(rt.spawn(receive));
  for (std::size_t i = 0; i < senders; ++i) {
    if (threads_send) {
      threads.emplace_back(send, i);
    } else {
      sending.push_back(rt.spawn(send, i));
    }
  }
  for (auto& t : sending) t.get();
  for (auto& t : threads) t.join();
  ch.close();
  for (auto& t : receiving) t.get();
  for (auto const& sum : sums) CHECK(sum == each * (each + 1) / 2);
  expect_no_leaks(rt);
}

namespace {

/// Several fibers select in both directions over the same channels, and are cancelled at random.
void select_storm(std::uint64_t seed, std::size_t selects, bool rendezvous, balance& count, watchdog& dog) {
  std::array<channel<std::uint64_t>, 3> channels{channel<std::uint64_t>{rendezvous ? 0U : 1U},
                                                 channel<std::uint64_t>{rendezvous ? 0U : 2U},
                                                 channel<std::uint64_t>{}};
  weft::semaphore permits{1};
  std::atomic<int> inside{0};
  constexpr unsigned parties = 6;
  auto const party = [&](unsigned number) {
    random_source random{static_cast<std::uint32_t>(seed * 64 + number + 1)};
    for (std::size_t i = 0; i < selects / parties; ++i) {
      auto& in = channels[random() % 3];
      auto& out = channels[random() % 3];
      auto const value = random() % 1000;
      weft::cancel_scope scope{random() % 3 == 0 ? some_time(random) : std::chrono::nanoseconds{1h}};
      bool const done = scope.run([&] {
        auto const chosen = weft::select(
            weft::on_receive(in, [&](std::optional<std::uint64_t> v) { count.in(*v); }), weft::on_send(out, value),
            weft::on_acquire(permits, [&](weft::scoped_permit) { verify(inside++ == 0 && --inside == 0); }),
            weft::on_timeout(some_time(random)));
        if (chosen == 1) count.out(value);
      });
      if (!done) ++count.given_up;
      if (random() % 4 == 0) weft::yield();
      if (i % 64 == 0) dog.feed();
    }
  };
  // So that the permit is not always there.
  auto holder = weft::spawn([&, random = random_source{static_cast<std::uint32_t>(seed + 1)}]() mutable {
    for (std::size_t i = 0; i < selects / parties; ++i) {
      auto const permit = permits.acquire_scoped();
      weft::sleep_for(some_time(random));
    }
  });
  std::vector<weft::task<void>> running;
  for (unsigned i = 0; i < parties; ++i) running.push_back(weft::spawn(party, i));
  for (auto& t : running) t.get();
  holder.cancel();
  holder.wait();
  for (auto& ch : channels) {
    while (auto const v = ch.try_receive()) count.in(*v);
  }
  verify(count.even() && permits.value() == 1);
}

}  // namespace

TEST_CASE("H6: soak: selects over the same channels, in both directions, cancelled at random: each commits one case",
          "[select][stress][soak][hazard][H6]") {
  auto const workers = workers_to_try();
  auto const rendezvous = GENERATE(false, true);
  auto const seed = fresh_seed();
  INFO("seed " << seed << ", workers " << workers << ", rendezvous " << rendezvous);
  watchdog dog{"select storm, seed " + std::to_string(seed)};
  balance count;
  // Where each party finds the permit free whenever it runs, no two of them meet; a short storm may be all like that.
  for (auto storm = seed; count.sent == 0; ++storm) {
    run_on(workers, [&] { select_storm(storm, timed_operations / 2, rendezvous, count, dog); });
  }
}

TEST_CASE("soak: channels and selects hold for every seed", "[channel][select][stress][soak][simulation]") {
  watchdog dog{"simulated channels"};
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    balance count;
    weft::testing::simulation{seed}.run([&] { select_storm(seed, 60, seed % 2 == 0, count, dog); });
    dog.feed();
  }
}
