/// @file
/// on_get: queues among the cases of a select.

#include <weft/sync/lifo_queue.hpp>
#include <weft/sync/priority_queue.hpp>
#include <weft/sync/queue.hpp>
#include <weft/sync/select.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::on_get;

namespace {

/// Stores what it is called with.
auto into(int& place) {
  return [&place](int value) { place = value; };
}

/// Its moves throw when told to, and then leave it as it was.
struct brittle {
  static inline std::atomic<bool> fails{false};
  explicit brittle(int v) : value(v) {}
  brittle(brittle&& other) : value(other.value) { check(); }  // NOLINT: throws
  brittle& operator=(brittle&& other) {                       // NOLINT: throws
    check();
    value = other.value;
    return *this;
  }
  int value;

private:
  static void check() {
    if (fails) throw std::range_error("it cannot be moved");
  }
};

}  // namespace

static_assert(weft::select_case<decltype(on_get(std::declval<weft::queue<int>&>(), [](int) {}))>);

TEST_CASE("a select takes an item that is there, in the queue's order", "[select][queue]") {
  int got = 0;
  weft::queue<int> q;
  weft::lifo_queue<int> l;
  weft::priority_queue<int> p;
  for (int const i : {2, 1, 3}) {
    q.put(i);
    l.put(i);
    p.put(i);
  }
  CHECK(weft::select(on_get(q, into(got)), weft::otherwise()) == 0);
  CHECK(got == 2);
  CHECK(weft::select(on_get(l, into(got))) == 0);
  CHECK(got == 3);
  CHECK(weft::select(weft::otherwise(), on_get(p, into(got))) == 1);
  CHECK(got == 1);
  CHECK((q.size() == 2 && l.size() == 2 && p.size() == 2));
  q.task_done();
}

TEST_CASE("a select waits for the first item of several queues, and takes no other", "[select][queue]") {
  run_on(some_workers(), [] {
    weft::queue<int> a;
    weft::priority_queue<int> b{1};
    for (int round = 0; round < 100; ++round) {
      int got = -1;
      auto selects = weft::spawn([&] { return weft::select(on_get(a, into(got)), on_get(b, into(got))); });
      if (round % 2 == 0) weft::yield();
      a.put(1);
      b.put(2);
      auto const which = selects.get();
      verify(got == (which == 0 ? 1 : 2));
      verify(which == 0 ? b.get() == 2 : a.get() == 1);
      verify(a.empty() && b.empty());
    }
  });
}

TEST_CASE("a select that takes an item lets in who waits to put", "[select][queue]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<int> q{1};
    q.put(1);
    auto putter = weft::spawn([&] { q.put(2); });
    weft::yield();
    int got = 0;
    verify(weft::select(on_get(q, into(got)), weft::otherwise()) == 0 && got == 1);
    verify(q.full());
    putter.get();
    verify(q.get() == 2);
  });
}

TEST_CASE("in a select, a queue that is shut down gives what it has, and then queue_shutdown", "[select][queue]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<int> q;
    int got = 0;
    q.put(1);
    auto const select = [&] { return weft::select(on_get(q, into(got)), weft::on_timeout(1h)); };
    q.shutdown();
    verify(select() == 0 && got == 1);
    verify(throws<weft::queue_shutdown>(select));
    weft::queue<int> other;
    auto waits = weft::spawn([&] { (void)weft::select(on_get(other, into(got)), weft::on_timeout(1h)); });
    weft::yield();
    other.shutdown();
    verify(throws<weft::queue_shutdown>([&] { waits.get(); }));
  });
}

TEST_CASE("a select whose time is up, or that is cancelled, takes nothing", "[select][queue]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::queue<int> q;
    int got = 0;
    verify(weft::select(on_get(q, into(got)), weft::on_timeout(1s)) == 1);
    auto waits = weft::spawn([&] { (void)weft::select(on_get(q, into(got))); });
    weft::yield();
    waits.cancel();
    q.put(7);
    verify(throws<weft::cancelled>([&] { waits.get(); }));
    weft::cancel_scope scope;
    verify(!scope.run([&] {
      scope.cancel();
      (void)weft::select(on_get(q, into(got)));
    }));
    verify(got == 0 && q.get() == 7);
  });
}

TEST_CASE("a case takes no item when another one has been chosen meanwhile", "[select][queue]") {
  run_with(weft::testing::fifo(), [] {
    weft::queue<int> q;
    q.put(1);
    int got = 0;
    auto c = on_get(q, into(got));
    weft::waiter w{"test"};
    verify(w.claim());  // as the other one's waking side does
    verify(!c.enroll(w) && !c.withdraw());
    verify(q.size() == 1);
    (void)q.get();
    verify(!c.enroll(w));  // in line
    q.put(2);              // and passed over
    verify(!c.withdraw() && q.get() == 2);
  });
}

namespace {

/// Refuses to compare when told to.
struct moody_less {
  static inline bool fails = false;
  bool operator()(int a, int b) const {
    if (fails) throw std::range_error("incomparable");
    return a < b;
  }
};

/// Never ready; does something where a select is about to wait.
template <class F>
class meanwhile {
public:
  explicit meanwhile(F f) : does_(std::move(f)) {}
  [[nodiscard]] bool try_now() const noexcept { return false; }
  bool enroll(weft::waiter& /*unused*/) noexcept {
    does_();
    return false;
  }
  [[nodiscard]] bool withdraw() const noexcept { return false; }
  void finish() {}

private:
  F does_;
};

}  // namespace

TEST_CASE("a case that has told a failure takes the next item as any other", "[select][queue][bad-input]") {
  weft::priority_queue<int, moody_less> q;
  std::vector<int> got;
  auto take = on_get(q, [&](int value) { got.push_back(value); });
  bool failed = false;
  while (!failed) {  // the order in which a select looks at its cases is drawn
    meanwhile put{[&] {
      moody_less::fails = false;
      for (int i = 0; i < 3; ++i) q.put(i);
      moody_less::fails = true;
    }};
    try {
      (void)weft::select(take, put);
    } catch (std::range_error const&) {
      failed = true;
    }
    moody_less::fails = false;
    auto const left = q.size();
    got.clear();
    while (!q.empty()) {
      REQUIRE_NOTHROW(weft::select(take));
      q.task_done();
    }
    CHECK(got.size() == left);
  }
}

TEST_CASE("an item whose move to the handler throws is still there", "[select][queue][bad-input]") {
  weft::queue<brittle> q;
  q.put(brittle{1});
  q.put(brittle{2});
  std::vector<int> got;
  auto const select = [&] { return weft::select(on_get(q, [&](brittle b) { got.push_back(b.value); })); };
  brittle::fails = true;
  CHECK_THROWS_AS(select(), std::range_error);
  brittle::fails = false;
  CHECK(select() == 0);
  CHECK(select() == 0);
  CHECK(got == std::vector{1, 2});
}

namespace {

/// Selects over two queues and a limit, plain getters, and putters, some of which are cancelled: each item is got once,
/// or left.
void storm(std::uint32_t seed, std::uint64_t items, watchdog& dog) {
  std::minstd_rand random{seed};
  weft::queue<std::uint64_t> a{random() % 3};
  weft::lifo_queue<std::uint64_t> b{random() % 3};
  std::atomic<std::uint64_t> put{0};
  std::atomic<std::uint64_t> got{0};
  auto const count = [&](std::uint64_t value) { got += value; };
  auto const select_on = [&](std::uint32_t own) {
    std::minstd_rand choices{own};
    try {
      for (;;) {
        auto const limit = std::chrono::microseconds{choices() % 50};
        switch (choices() % 4) {
          case 0: (void)weft::select(on_get(a, count), on_get(b, count)); break;
          case 1: (void)weft::select(on_get(b, count), on_get(a, count), weft::on_timeout(limit)); break;
          case 2:
            (void)weft::move_on_after(limit, [&] { (void)weft::select(on_get(a, count), on_get(b, count)); });
            break;
          default:
            if (weft::select(on_get(a, count), on_get(b, count), weft::otherwise()) == 2) weft::yield();
        }
        dog.feed();
      }
    } catch (weft::queue_shutdown const&) {  // NOLINT: the end
    }
  };
  auto const put_all = [&](std::uint32_t own) {
    std::minstd_rand choices{own};
    for (std::uint64_t i = 1; i <= items; ++i) {
      choices() % 2 == 0 ? a.put(i) : b.put(i);
      put += i;
      dog.feed();
    }
  };
  std::vector<weft::task<void>> putting;
  std::vector<weft::task<void>> getting;
  for (int i = 0; i < 3; ++i) {
    putting.push_back(weft::spawn(put_all, static_cast<std::uint32_t>(random())));
    getting.push_back(weft::spawn(select_on, static_cast<std::uint32_t>(random())));
  }
  getting.push_back(weft::spawn([&] {
    try {
      for (;;) count(a.get());
    } catch (weft::queue_shutdown const&) {  // NOLINT: the end
    }
  }));
  for (auto turns = random() % 32; turns != 0; --turns) weft::yield();
  putting[0].cancel();
  getting[0].cancel();
  for (auto& t : putting) t.wait();
  a.shutdown();
  b.shutdown();
  for (auto& t : getting) t.wait();
  // A select ends when one of its queues has nothing left.
  while (!a.empty()) count(a.get());
  while (!b.empty()) count(b.get());
  verify(put == got);
}

}  // namespace

TEST_CASE("H7: what is put is got once, by selects over several queues or by others", "[select][queue][stress][H7]") {
  auto const workers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{8});
  auto const seed = static_cast<std::uint32_t>(std::random_device{}());
  CAPTURE(workers, seed);
  watchdog dog{"select on queues"};
  run_on(workers, [&] {
    for (std::uint32_t i = 0; i < 10; ++i) storm(seed + i, scaled(500), dog);
  });
}

TEST_CASE("H7: the same by seeds, in simulation", "[select][queue][stress][simulation][H7]") {
  watchdog dog{"simulated select on queues"};
  for (std::uint32_t seed = 1; seed <= scaled(300); ++seed) {
    INFO("seed " << seed);
    weft::testing::simulation world{seed};
    REQUIRE_NOTHROW(world.run([&] {
      storm(seed, 10, dog);
      weft::testing::expect_no_leaks();
    }));
  }
}
