/// @file
/// watch.

#include <weft/sync/watch.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a receiver sees the latest value, and waits for newer ones", "[watch]") {
  weft::watch<int> w{1};
  auto r = w.subscribe();
  CHECK_FALSE(r.changed());
  CHECK_FALSE(r.try_receive());
  CHECK(r.get() == 1);
  w.send(2);
  w.send(3);
  CHECK(r.changed());
  CHECK(r.wait());
  CHECK(r.receive() == 3);  // what is replaced is not seen
  CHECK_FALSE(r.changed());
  w.send(3);
  CHECK(r.wait_for(0s));  // sent again is newer, though the same
  CHECK(r.get() == 3);
  CHECK_FALSE(r.wait_for(0s));
  CHECK(w.get() == 3);
}

TEST_CASE("to look at a value is to have seen it, for this receiver alone", "[watch]") {
  weft::watch<std::string> w{"a"};
  auto first = w.subscribe();
  auto second = first;
  w.send("b");
  CHECK(*first.borrow() == "b");
  CHECK_FALSE(first.changed());
  CHECK(second.changed());
  auto third = second;
  CHECK(third.try_receive() == "b");
  CHECK(second.receive() == "b");
}

TEST_CASE("what is borrowed stays as it is, and goes with its last holder", "[watch]") {
  auto counted = std::make_shared<int>(1);
  weft::watch<std::shared_ptr<int>> w{counted};
  auto r = w.subscribe();
  auto held = r.borrow();
  w.send(nullptr);
  CHECK(**held == 1);
  CHECK(counted.use_count() == 2);
  held.reset();
  CHECK(counted.use_count() == 1);
}

TEST_CASE("a value that cannot be copied can be waited for and borrowed", "[watch]") {
  weft::watch<std::unique_ptr<int>> w;
  auto r = w.subscribe();
  CHECK(*w.borrow() == nullptr);
  w.send(std::make_unique<int>(5));
  CHECK(r.wait());
  CHECK(**r.borrow() == 5);
}

TEST_CASE("the end of a watch is told to those who wait, when they have seen the last value", "[watch]") {
  auto const closes = GENERATE(true, false);
  run_on(some_workers(), [closes] {
    auto w = std::make_unique<weft::watch<int>>(0);
    auto r = w->subscribe();
    auto other = r;
    auto waits = weft::spawn([&] {
      while (r.wait()) (void)r.borrow();
      return r.get();
    });
    auto receives = weft::spawn([&] {
      int last = -1;
      while (auto const value = other.receive()) last = *value;
      return last;
    });
    weft::yield();
    w->send(7);
    if (closes) {
      w->close();
      w->close();
      verify(w->closed() && throws<weft::channel_closed>([&] { w->send(8); }));
      verify(w->get() == 7);
    } else {
      w.reset();
    }
    verify(waits.get() == 7 && receives.get() == 7);
    verify(r.closed() && !r.wait() && !r.wait_for(1h) && !other.receive() && !other.receive_for(1h));
    verify(r.get() == 7);
  });
}

TEST_CASE("rule 13: timed waits for a newer value end exactly at their deadlines", "[watch][rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const begin = weft::testing::now();
    weft::watch<int> w{0};
    auto r = w.subscribe();
    verify(!r.wait_for(5ms) && weft::testing::now() == begin + 5ms);
    verify(!r.wait_until(begin + 6ms) && weft::testing::now() == begin + 6ms);
    verify(throws<weft::timeout_error>([&] { (void)r.receive_for(1ms); }));
    verify(throws<weft::timeout_error>([&] { (void)r.receive_until(begin + 8ms); }));
    verify(throws<weft::timeout_error>([&] { (void)r.receive_for(0s); }));
    verify(weft::testing::now() == begin + 8ms);
    auto sender = weft::spawn([&] {
      weft::sleep_for(1ms);
      w.send(1);
      weft::sleep_for(1ms);
      w.send(2);
    });
    verify(r.wait_for(1h) && r.get() == 1 && weft::testing::now() == begin + 9ms);
    verify(r.receive_for(1h) == 2 && weft::testing::now() == begin + 10ms);
    sender.get();
  });
}

TEST_CASE("what comes as the time is up counts: a value, and the end", "[watch]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const until = weft::clock::time_point{weft::detail::deadline_after(1ms)};
    std::optional<weft::watch<int>> w{std::in_place, 0};
    auto r = w->subscribe();
    auto sender = weft::spawn([&] {
      weft::sleep_until(until);  // its timer is the older one
      w->send(1);
    });
    weft::yield();
    verify(r.wait_until(until) && r.get() == 1);
    sender.get();
    auto const later = weft::clock::time_point{weft::detail::deadline_after(1ms)};
    auto ends = weft::spawn([&] {
      weft::sleep_until(later);
      w.reset();
    });
    weft::yield();
    verify(!r.receive_until(later));  // nothing more will come: no timeout_error
    ends.get();
  });
}

TEST_CASE("waiting for a newer value is a cancellation point, also where there is one", "[watch]") {
  run_on(some_workers(), [] {
    weft::watch<int> w{0};
    auto r = w.subscribe();
    w.send(1);
    for (int way = 0; way < 3; ++way) {
      weft::cancel_scope scope;
      verify(!scope.run([&] {
        scope.cancel();
        if (way == 0) (void)r.wait();
        if (way == 1) (void)r.wait_for(0s);
        if (way == 2) (void)r.receive();
      }));
    }
    verify(r.changed() && r.receive() == 1);
    auto waits = weft::spawn([&] { (void)r.receive(); });
    weft::yield();
    waits.cancel();
    verify(throws<weft::cancelled>([&] { waits.get(); }));
  });
}

TEST_CASE("receivers on fibers and threads see values rise, and the last one for certain", "[watch][stress]") {
  weft::runtime rt{on(some_workers())};
  constexpr int last = static_cast<int>(scaled(20'000));
  weft::watch<int> w{0};
  auto const follow = [r = w.subscribe()]() mutable {
    int seen = 0;
    while (auto const value = r.receive()) {
      verify(*value > seen);
      seen = *value;
    }
    return seen;
  };
  std::vector<weft::task<int>> fibers;
  for (int i = 0; i < 6; ++i) fibers.push_back(rt.spawn(follow));
  int seen_by_thread = 0;
  std::thread thread{[&, own = follow]() mutable { seen_by_thread = own(); }};
  auto sender = rt.spawn([&] {
    for (int i = 1; i <= last; ++i) {
      w.send(i);
      if (i % 16 == 0) weft::yield();
    }
    w.close();
  });
  sender.get();
  thread.join();
  for (auto& t : fibers) CHECK(t.get() == last);
  CHECK(seen_by_thread == last);
  expect_no_leaks(rt);
}
