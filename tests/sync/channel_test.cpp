/// @file
/// channel: what it promises, bad input, and waits that end in every way. Storms: channel_stress_test.cpp.

#include <weft/sync/channel.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::channel;

static_assert(std::ranges::input_range<channel<int>>);
static_assert(std::ranges::input_range<channel<std::unique_ptr<int>>>);

TEST_CASE("a buffered channel holds as many values as it has room for, in order", "[channel]") {
  channel<int> ch{3};
  CHECK(ch.capacity() == 3);
  for (int round = 0; round < 5; ++round) {
    ch.send(1);
    ch.send(2);
    CHECK(ch.size() == 2);
    CHECK(ch.try_send(3));
    CHECK_FALSE(ch.try_send(4));
    CHECK_FALSE(ch.send_for(4, 0s));
    CHECK(ch.size() == 3);
    CHECK(ch.receive() == 1);
    CHECK(ch.try_receive() == 2);
    CHECK(ch.receive_for(0s) == 3);
    CHECK(ch.size() == 0);
    CHECK_FALSE(ch.try_receive().has_value());
    CHECK_THROWS_AS(ch.receive_for(0s), weft::timeout_error);
  }
}

TEST_CASE("without a buffer each send meets a receive", "[channel]") {
  run_on(some_workers(), [] {
    channel<int> ch;
    int value = 1;
    verify(!ch.try_send(value) && !ch.try_receive() && ch.capacity() == 0);
    verify(!ch.send_for(value, 0s) && value == 1);
    std::atomic<bool> received{false};
    auto receiver = weft::spawn([&] {
      auto const v = ch.receive();
      received = true;
      return v;
    });
    while (!ch.try_send(value)) weft::yield();
    verify(receiver.get() == 1);
    auto sender = weft::spawn([&] { ch.send(2); });
    std::optional<int> v;
    while (!(v = ch.try_receive())) weft::yield();
    verify(v == 2 && ch.size() == 0);
    sender.get();
  });
}

TEST_CASE("senders and receivers are served in the order in which they came", "[channel]") {
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{3});
  run_with(weft::testing::fifo(), [&] {
    channel<int> ch{capacity};
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        verify(ch.receive() == i);
        order.add(i);
      }));
    }
    weft::yield();
    for (int i = 0; i < 20; ++i) {
      ch.send(i);
      verify(!ch.try_receive());  // it is the first one's already
    }
    for (auto& t : tasks) t.get();
    auto const steps = order.steps();
    verify(steps.size() == 20 && std::is_sorted(steps.begin(), steps.end()));
    tasks.clear();
    for (int i = 0; i < 20; ++i) tasks.push_back(weft::spawn([&, i] { ch.send(i); }));
    weft::yield();
    verify(ch.size() == capacity);
    for (int i = 0; i < 20; ++i) verify(ch.receive() == i);
    for (auto& t : tasks) t.get();
  });
}

TEST_CASE("close lets receivers drain what was sent, and then tells them", "[channel]") {
  run_on(some_workers(), [] {
    channel<std::string> ch{4};
    ch.send("a");
    ch.send("b");
    ch.close();
    verify(ch.closed());
    ch.close();  // again
    std::string value = "c";
    verify(throws<weft::channel_closed>([&] { ch.send(std::move(value)); }));
    verify(throws<weft::channel_closed>([&] { (void)ch.try_send(value); }));
    verify(throws<weft::channel_closed>([&] { (void)ch.send_for(value, 1s); }));
    verify(throws<weft::channel_closed>([&] { (void)ch.send_for(value, 0s); }));
    verify(value == "c");
    verify(ch.receive() == "a" && ch.receive_for(1s) == "b");
    verify(!ch.receive() && !ch.try_receive() && !ch.receive_for(1s) && !ch.receive_for(0s));
  });
}

TEST_CASE("H8: close while senders and receivers wait: each is told, and keeps what it has", "[channel][hazard][H8]") {
  run_on(some_workers(), [] {
    auto const capacity = std::size_t{2};
    channel<std::unique_ptr<int>> full{capacity};
    channel<std::unique_ptr<int>> empty{capacity};
    for (std::size_t i = 0; i < capacity; ++i) full.send(std::make_unique<int>(0));
    std::vector<weft::task<bool>> senders;
    std::vector<weft::task<bool>> receivers;
    for (int i = 0; i < 5; ++i) {
      senders.push_back(weft::spawn([&, i] {
        auto mine = std::make_unique<int>(i);
        return throws<weft::channel_closed>([&] { full.send(std::move(mine)); }) && *mine == i;
      }));
      receivers.push_back(weft::spawn([&] { return !empty.receive().has_value(); }));
    }
    weft::yield();
    full.close();
    empty.close();
    for (auto& t : senders) verify(t.get());
    for (auto& t : receivers) verify(t.get());
    verify(full.size() == capacity);
    for (std::size_t i = 0; i < capacity; ++i) verify(full.receive().value() != nullptr);
    verify(!full.receive());
  });
}

TEST_CASE("H8: two producers and a slow consumer: a value counts as sent if it is received, and only then",
          "[channel][hazard][H8]") {
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{1});
  run_with(weft::testing::in_virtual_time(), [&] {
    channel<int> ch{capacity};
    std::vector<int> sent;
    std::vector<int> received;
    int late = 0;
    auto const produce = [&](int first, std::chrono::milliseconds patience) {
      return throws<weft::channel_closed>([&] {
        for (int value = first;; ++value) {
          if (ch.send_for(value, patience)) {
            sent.push_back(value);
          } else {
            ++late;
          }
        }
      });
    };
    auto one = weft::spawn([&] { return produce(0, 5ms); });
    auto two = weft::spawn([&] { return produce(1'000, 7ms); });
    for (int i = 0; i < 20; ++i) {
      weft::sleep_for(3ms);
      received.push_back(ch.receive().value());
    }
    ch.close();
    verify(one.get() && two.get());
    for (int const value : ch) received.push_back(value);
    std::ranges::sort(sent);
    std::ranges::sort(received);
    verify(sent == received && sent.size() == 20 + capacity);
    verify(late > 0);
  });
}

TEST_CASE("a loop over a channel ends when it is closed and empty", "[channel]") {
  run_on(some_workers(), [] {
    channel<std::unique_ptr<int>> ch{2};
    auto producer = weft::spawn([&] {
      for (int i = 1; i <= 10; ++i) ch.send(std::make_unique<int>(i));
      ch.close();
    });
    int sum = 0;
    for (auto& value : ch) sum += *value;
    verify(sum == 55);
    for ([[maybe_unused]] auto& value : ch) verify(false);
    producer.get();
  });
}

TEST_CASE("rule 13: timed calls take exactly their time, and answer as they should", "[channel][rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::testing::now(); };
    auto const begin = now();
    channel<int> ch{1};
    verify(throws<weft::timeout_error>([&] { (void)ch.receive_for(5ms); }) && now() == begin + 5ms);
    verify(throws<weft::timeout_error>([&] { (void)ch.receive_until(begin + 6ms); }) && now() == begin + 6ms);
    verify(throws<weft::timeout_error>([&] { (void)ch.receive_for(-1s); }));
    ch.send(1);
    int value = 2;
    verify(!ch.send_for(value, 1ms) && now() == begin + 7ms && value == 2);
    verify(!ch.send_until(value, begin + 9ms) && now() == begin + 9ms);
    verify(!ch.send_for(3, 0s) && !ch.send_for(3, -1s));
    verify(ch.receive_for(std::chrono::hours::max()) == 1);
    auto later = weft::spawn([&] {
      weft::sleep_for(1ms);
      ch.send(4);
      weft::sleep_for(1ms);
      ch.send(5);
      ch.send(6);
    });
    verify(ch.receive_for(1h) == 4 && now() == begin + 10ms);
    weft::sleep_for(5ms);
    verify(ch.receive_until(begin) == 5 && ch.receive() == 6);
    later.get();
    ch.close();
    verify(!ch.receive_for(1h) && now() == begin + 15ms);  // closed is no time-out
  });
}

TEST_CASE("rule 3: a cancelled send or receive takes and leaves nothing, and what was granted is not lost",
          "[channel][rule3][hazard][H7]") {
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{3});
  run_on(some_workers(), [&] {
    for (int round = 0; round < 100; ++round) {
      channel<int> ch{capacity};
      std::atomic<int> received{0};
      std::atomic<int> sent{0};
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 4; ++i) {
        tasks.push_back(weft::spawn([&] {
          if (ch.receive()) ++received;
        }));
      }
      for (int i = 0; i < 6; ++i) {
        tasks.push_back(weft::spawn([&, i] {
          int value = i;
          try {
            ch.send(std::move(value));
          } catch (...) {
            verify(value == i);
            throw;
          }
          ++sent;
        }));
      }
      if (round % 3 == 0) weft::yield();
      tasks[1].cancel();
      tasks[5].cancel();
      if (round % 3 == 1) weft::yield();
      tasks[0].cancel();
      tasks[9].cancel();
      ch.close();
      for (auto& t : tasks) t.wait();
      for (auto& t : tasks) (void)t.exception();
      while (ch.try_receive()) ++received;
      verify(received == sent);
    }
  });
}

TEST_CASE("every blocking call is a cancellation point, also where it need not wait", "[channel]") {
  run_on(some_workers(), [] {
    channel<int> ch{2};
    ch.send(1);
    int value = 2;
    auto const is_cancelled = [&](auto call) {
      weft::cancel_scope scope;
      return !scope.run([&] {
        scope.cancel();
        call();
      });
    };
    verify(is_cancelled([&] { ch.send(2); }));
    verify(is_cancelled([&] { (void)ch.send_for(value, 0s); }));
    verify(is_cancelled([&] { (void)ch.send_for(value, 1s); }));
    verify(is_cancelled([&] { (void)ch.receive(); }));
    verify(is_cancelled([&] { (void)ch.receive_for(0s); }));
    verify(ch.size() == 1 && value == 2);
    weft::cancel_scope scope;
    verify(scope.run([&] {
      scope.cancel();
      verify(ch.try_send(value) && ch.try_receive() == 1 && ch.try_receive() == 2);
    }));
  });
}

TEST_CASE("capacities of 0, 1 and more than memory can hold", "[channel][bad-input]") {
  CHECK_THROWS_AS(channel<int>{std::size_t{1} << 63U}, std::length_error);
  CHECK_THROWS_AS(channel<int>{std::numeric_limits<std::size_t>::max()}, std::length_error);
  channel<int> one{1};
  one.send(1);
  CHECK_FALSE(one.try_send(2));
  CHECK(one.receive() == 1);
  CHECK(channel<int>{}.capacity() == 0);
  STATIC_REQUIRE(sizeof(channel<int>) == weft::detail::cache_line);
}

namespace {

/// Its moves fail when told to; a failed move leaves the source alone.
struct moody {
  static inline std::atomic<int> fails_in{-1};
  static inline std::atomic<int> alive{0};
  explicit moody(int n) : number(n) { ++alive; }
  moody(moody&& other) : number(other.number) {
    if (fails_in >= 0 && fails_in-- == 0) throw std::runtime_error("moody");
    ++alive;
    other.number = -1;
  }
  ~moody() { --alive; }
  int number;
};

}  // namespace

TEST_CASE("a move that throws leaves the value where it was, and everyone else in line", "[channel][bad-input]") {
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{1});
  auto const waits_before = GENERATE(0, 100);  // so many that the worker is given the channel on bias
  run_with(weft::testing::fifo(), [&] {
    channel<moody> ch{capacity};
    for (int i = 0; i < waits_before; ++i) {
      auto receiver = weft::spawn([&] { return ch.receive().value().number; });
      weft::yield();
      ch.send(moody{i});
      verify(receiver.get() == i);
    }
    verify(weft::detail::channel_access::state(ch).lock.biased() ==
           (waits_before != 0 && weft::detail::thread_barrier::asymmetric()));
    // To a receiver that waits: the sender's move fails, and the receiver waits on.
    std::vector<weft::task<int>> receivers;
    for (int i = 0; i < 2; ++i) receivers.push_back(weft::spawn([&] { return ch.receive().value().number; }));
    weft::yield();
    moody first{1};
    moody::fails_in = 0;
    verify(throws<std::runtime_error>([&] { ch.send(std::move(first)); }) && first.number == 1);
    weft::yield();
    ch.send(std::move(first));
    ch.send(moody{2});
    verify(receivers[0].get() == 1 && receivers[1].get() == 2);
    // From a sender that waits: the receiver's move fails, and the sender waits on.
    if (capacity == 1) ch.send(moody{3});
    std::vector<weft::task<void>> senders;
    for (int i = 4; i < 7; ++i) senders.push_back(weft::spawn([&, i] { ch.send(moody{i}); }));
    weft::yield();
    moody::fails_in = 0;
    verify(throws<std::runtime_error>([&] { (void)ch.receive(); }));
    weft::yield();
    for (int i = capacity == 1 ? 3 : 4; i < 7; ++i) {
      auto const value = ch.receive();
      verify(value->number == i);
    }
    for (auto& t : senders) t.get();
    verify(moody::fails_in == -1);
  });
  CHECK(moody::alive == 0);
}

TEST_CASE("a value that has left the channel is not moved again", "[channel][bad-input]") {
  struct counts_moves {
    explicit counts_moves(int& to) noexcept : moves(&to) {}
    counts_moves(counts_moves&& other) noexcept(false) : moves(other.moves) { ++*moves; }
    counts_moves(counts_moves const&) = delete;
    int* moves;
  };
  channel<counts_moves> ch{1};
  int moves = 0;
  auto const moved_by = [&](auto receive) {
    verify(ch.try_send(counts_moves{moves}));
    moves = 0;
    std::optional<counts_moves> const value = receive();
    verify(value.has_value());
    return moves;
  };
  CHECK(moved_by([&] { return ch.receive(); }) == 1);
  CHECK(moved_by([&] { return ch.try_receive(); }) == 1);
  CHECK(moved_by([&] { return ch.receive_for(1h); }) == 1);
  CHECK(moved_by([&] { return ch.receive_until(weft::clock::now() + 1h); }) == 1);
}

TEST_CASE("values need not be copied, nor assigned", "[channel][bad-input]") {
  struct only_moves {
    explicit only_moves(int v) noexcept : value(v) {}
    only_moves(only_moves&&) = default;
    only_moves(only_moves const&) = delete;
    only_moves& operator=(only_moves&&) = delete;
    int value;
  };
  struct constant {
    int const value;
  };
  static_assert(std::is_trivially_copyable_v<only_moves> && std::is_trivially_copyable_v<constant>);
  run_on(some_workers(), [] {
    channel<only_moves> a;
    channel<constant> b;
    auto sender = weft::spawn([&] {
      for (int i = 0; i < 2; ++i) {
        a.send(only_moves{i});
        b.send(constant{i});
      }
    });
    for (int i = 0; i < 2; ++i) {
      verify(a.receive()->value == i);
      verify(b.receive()->value == i);
    }
    sender.get();
  });
}

TEST_CASE("rule 26: senders whose values they move themselves keep their order, also before newcomers",
          "[channel][rule26]") {
  run_with(weft::testing::fifo(), [] {
    channel<moody> ch{1};
    ch.send(moody{0});
    auto first = weft::spawn([&] { ch.send(moody{1}); });
    weft::yield();
    verify(ch.receive()->number == 0);  // the first has a place, and has not come to use it
    moody newcomer{2};
    verify(!ch.try_send(newcomer) && newcomer.number == 2);
    auto second = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] { ch.send(std::move(newcomer)); });
    verify(ch.receive()->number == 1 && ch.receive()->number == 2);
    first.get();
    second.get();
    moody last{3};
    verify(ch.try_send(last));  // nothing is kept any more
    verify(ch.receive()->number == 3);
  });
  CHECK(moody::alive == 0);
}

TEST_CASE("rule 26: of several senders for which there is room, the one that runs first does not pass the others",
          "[channel][rule26]") {
  run_with({.workers = 1}, [] {  // in whichever build: who is woken last runs first
    channel<moody> ch{2};
    std::vector<weft::task<void>> senders;
    for (int i = 0; i < 6; ++i) {
      senders.push_back(weft::spawn([&, i] { ch.send(moody{i}); }));
      weft::yield();
    }
    for (int i = 0; i < 6; ++i) verify(ch.receive()->number == i);
    for (auto& s : senders) s.get();
  });
  CHECK(moody::alive == 0);
}

TEST_CASE("a place that is kept goes on to the next when the move into it throws", "[channel][bad-input]") {
  run_with(weft::testing::fifo(), [] {
    channel<moody> ch{1};
    ch.send(moody{0});
    auto first = weft::spawn([&] { ch.send(moody{1}); });
    auto second = weft::spawn([&] { ch.send(moody{2}); });
    weft::yield();
    verify(ch.receive()->number == 0);
    moody::fails_in = 0;
    verify(throws<std::runtime_error>([&] { first.get(); }));
    verify(ch.receive()->number == 2);
    second.get();
  });
  CHECK(moody::alive == 0);
}

TEST_CASE("a sender that is told to try again and is cancelled lets the next have its place", "[channel][rule3]") {
  run_with(weft::testing::fifo(), [] {
    channel<moody> ch{1};
    ch.send(moody{0});
    auto first = weft::spawn([&] { ch.send(moody{1}); });
    auto second = weft::spawn([&] { ch.send(moody{2}); });
    weft::yield();
    verify(ch.receive()->number == 0);  // the first is to try again
    first.cancel();
    first.wait();
    second.get();
    verify(ch.receive()->number == 2);
  });
  CHECK(moody::alive == 0);
}

TEST_CASE("one fiber may send to itself through a buffer", "[channel][bad-input]") {
  run_on(1, [] {
    channel<int> ch{1};
    ch.send(1);
    verify(ch.receive() == 1);
  });
}

TEST_CASE("a channel that is destroyed while somebody waits says so", "[channel][bad-input]") {
  CHECK(aborts_with("a channel is destroyed while somebody waits", [] {
    weft::run(
        [] {
          auto ch = std::make_unique<channel<int>>();
          auto t = weft::spawn([&at = *ch] { (void)at.receive(); });
          weft::yield();
          ch.reset();
        },
        weft::testing::fifo());
  }));
}

TEST_CASE("what a channel still holds is destroyed with it, once", "[channel]") {
  auto const counted = std::make_shared<int>(0);
  {
    channel<std::shared_ptr<int>> ch{3};
    for (int i = 0; i < 5; ++i) {
      ch.send(counted);
      (void)ch.receive();
    }
    ch.send(counted);
    ch.send(counted);
    CHECK(counted.use_count() == 3);
  }
  CHECK(counted.use_count() == 1);
}

TEST_CASE("fibers of two runtimes and threads meet in one channel", "[channel]") {
  auto const capacity = GENERATE(std::size_t{0}, std::size_t{2});
  weft::runtime one{on(some_workers())};
  weft::runtime two{on(1)};
  channel<int> ch{capacity};
  constexpr int each = 200;
  std::atomic<int> sum{0};
  auto const send = [&] {
    for (int i = 1; i <= each; ++i) ch.send(i);
  };
  auto const receive = [&] {
    for (auto const& v : ch) sum += v;
  };
  auto a = one.spawn(send);
  auto b = two.spawn(send);
  std::thread c{send};
  auto d = one.spawn(receive);
  auto e = two.spawn(receive);
  std::thread f{receive};
  a.get();
  b.get();
  c.join();
  ch.close();
  d.get();
  e.get();
  f.join();
  CHECK(sum == 3 * each * (each + 1) / 2);
  expect_no_leaks(one);
  expect_no_leaks(two);
}

TEST_CASE("what was done before send is visible after receive, and the other way round without a buffer", "[channel]") {
  run_on(some_workers(), [] {
    channel<int> ch;
    int there = 0;
    int back = 0;
    auto other = weft::spawn([&] {
      for (int i = 1; i <= 500; ++i) {
        back = i;
        verify(ch.receive() == i && there == i);
        ch.send(int{i});
      }
    });
    for (int i = 1; i <= 500; ++i) {
      there = i;
      ch.send(int{i});
      verify(back == i);
      verify(ch.receive() == i);
    }
    other.get();
  });
}

TEST_CASE("the receiver may free the channel as soon as it has its value", "[channel]") {
  run_on(some_workers(), [] {
    for (int i = 0; i < 200; ++i) {
      auto ch = std::make_unique<channel<int>>(static_cast<std::size_t>(i % 2));
      auto sender = weft::spawn([&at = *ch] { at.send(1); });
      verify(ch->receive() == 1);
      ch.reset();
      sender.get();
    }
  });
}

namespace {

/// Trivially copyable, but not so that nothing is thrown.
struct may_throw {
  int value;
  explicit may_throw(int v) : value(v) {}
  may_throw(may_throw const&) noexcept(false) = default;
  may_throw& operator=(may_throw const&) = default;
};

void pass_some() {
  channel<may_throw> ch;
  auto sender = weft::spawn([&] {
    for (int i = 0; i < 100; ++i) {
      ch.send(may_throw{i});
    }
  });
  for (int i = 0; i < 100; ++i) {
    auto const got = ch.receive();
    verify(got && got->value == i);
  }
  sender.get();
}

}  // namespace

TEST_CASE("trivially copyable values whose copies may throw pass", "[channel]") {
  run_on(1, [] { pass_some(); });
}
