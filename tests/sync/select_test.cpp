/// @file
/// select: which case is chosen, that it is one, what becomes of the others, and bad input. Storms:
/// channel_stress_test.cpp.

#include <weft/sync/select.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::channel;

namespace {

auto keep(std::optional<int>& in) {
  return [&in](std::optional<int> v) { in = v; };
}

/// A case of a user's: a slot for one value, and one who may wait for it.
class mailbox {
public:
  void put(int value) {
    weft::detail::wait_node* first = nullptr;
    {
      weft::detail::wait_list::section list{list_};
      if (list.claim(1, &first) == &first) {
        value_ = value;
      } else {
        handed_over_ = value;
      }
    }
    if (first != nullptr) first->owner->wake();
  }

  template <class F>
  class on_mail {
  public:
    on_mail(mailbox& from, F f) : from_(&from), handler_(std::move(f)) {}
    bool try_now() {
      weft::detail::wait_list::section const list{from_->list_};
      got_ = std::exchange(from_->value_, std::nullopt);
      return got_.has_value();
    }
    bool enroll(weft::waiter& w) noexcept {
      weft::detail::wait_list::section list{from_->list_};
      node_ = weft::detail::wait_node{w};
      if (!from_->value_) {
        list.push_back(node_);
        return false;
      }
      if (!w.claim()) return false;
      got_ = std::exchange(from_->value_, std::nullopt);
      return true;
    }
    bool withdraw() noexcept {
      weft::detail::wait_list::section list{from_->list_};
      if (node_.chosen) {
        got_ = std::exchange(from_->handed_over_, std::nullopt);
        return true;
      }
      list.remove(node_);
      return false;
    }
    void finish() { handler_(*got_); }

  private:
    mailbox* from_;
    F handler_;
    weft::detail::wait_node node_{nullptr};
    std::optional<int> got_;
  };

private:
  weft::detail::wait_list list_;
  std::optional<int> value_;
  std::optional<int> handed_over_;
};

using plain_handler = void (*)();
static_assert(weft::select_case<mailbox::on_mail<void (*)(int)>>);
static_assert(weft::select_case<decltype(weft::on_event(std::declval<weft::event&>(), plain_handler{}))>);
static_assert(!weft::select_case<int>);

}  // namespace

TEST_CASE("select: nullopt is a value of a channel of optionals", "[select]") {
  run_on(some_workers(), [] {
    weft::channel<std::optional<std::string>> values{1};
    verify(weft::select(weft::on_send(values, std::nullopt)) == 0);
    auto const received = values.receive();
    verify(received.has_value() && !received->has_value());
  });
}

TEST_CASE("the case that is ready is chosen, and select tells its number", "[select]") {
  channel<int> a{1};
  channel<int> b{1};
  std::optional<int> got;
  b.send(7);
  CHECK(weft::select(weft::on_receive(a, keep(got)), weft::on_receive(b, keep(got))) == 1);
  CHECK(got == 7);
  bool sent = false;
  b.send(8);
  CHECK(weft::select(weft::on_send(a, 3, [&] { sent = true; }), weft::on_send(b, 4)) == 0);
  CHECK((sent && a.receive() == 3));
  CHECK(b.receive() == 8);
  bool other = false;
  CHECK(weft::select(weft::on_receive(a, keep(got)), weft::otherwise([&] { other = true; })) == 1);
  CHECK(other);
  weft::event e;
  e.set();
  CHECK(weft::select(weft::on_receive(a, keep(got)), weft::on_event(e)) == 1);
  weft::semaphore s{1};
  CHECK(weft::select(weft::on_receive(a, keep(got)), weft::on_acquire(s, [](weft::scoped_permit) {})) == 1);
  CHECK(s.value() == 1);
  CHECK(weft::select(weft::on_acquire(s, [] {})) == 0);
  CHECK(s.value() == 0);
}

TEST_CASE("select waits until a case is ready, whichever it is", "[select]") {
  run_on(some_workers(), [] {
    channel<int> in;
    channel<int> out;
    weft::event e;
    weft::semaphore s{0};
    mailbox m;
    for (int round = 0; round < 60; ++round) {
      weft::event go;
      auto job = weft::spawn([&] { go.wait(); });
      std::optional<int> got;
      int permits = 0;
      int mail = 0;
      auto other = weft::spawn([&, round] {
        if (round % 2 == 0) weft::yield();
        switch (round % 6) {
          case 0: in.send(round); break;
          case 1: verify(out.receive() == round); break;
          case 2: e.set(); break;
          case 3: s.release(); break;
          case 4: go.set(); break;
          default: m.put(round);
        }
      });
      auto const chosen = weft::select(weft::on_receive(in, keep(got)), weft::on_send(out, round), weft::on_event(e),
                                       weft::on_acquire(s, [&] { ++permits; }), weft::on_done(job),
                                       mailbox::on_mail{m, [&](int v) { mail = v; }});
      verify(chosen == static_cast<std::size_t>(round % 6));
      verify((chosen == 0) == (got == round));
      verify((chosen == 3) == (permits == 1));
      verify((chosen == 5) == (mail == round) || round == 0);
      other.get();
      e.reset();
      go.set();
      job.get();
      verify(s.value() == 0 && !in.try_receive() && !out.try_receive());
    }
  });
}

TEST_CASE("a time limit and otherwise are chosen when nothing else is ready", "[select]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto const now = [] { return weft::testing::now(); };
    auto const begin = now();
    channel<int> ch;
    std::optional<int> got;
    verify(weft::select(weft::on_receive(ch, keep(got)), weft::on_timeout(1h), weft::on_timeout(5ms)) == 2);
    verify(now() == begin + 5ms);
    verify(weft::select(weft::on_timeout(begin), weft::on_receive(ch, keep(got))) == 0);
    verify(weft::select(weft::on_timeout(0s), weft::on_receive(ch, keep(got))) == 0);
    verify(weft::select(weft::on_timeout(0s), weft::on_receive(ch, keep(got)), weft::otherwise()) == 2);
    verify(now() == begin + 5ms);
    auto sender = weft::spawn([&] {
      weft::sleep_for(2ms);
      ch.send(1);
    });
    verify(weft::select(weft::on_timeout(3ms), weft::on_receive(ch, keep(got))) == 1);
    verify(got == 1 && now() == begin + 7ms);
    sender.get();
  });
}

TEST_CASE("closed channels are ready: to receive from, with nothing; to send to, with an exception",
          "[select][bad-input]") {
  run_on(some_workers(), [] {
    channel<int> a;
    channel<int> b{2};
    std::optional<int> got = 1;
    // While it waits.
    auto closer = weft::spawn([&] { a.close(); });
    verify(weft::select(weft::on_receive(a, keep(got)), weft::on_receive(b, keep(got))) == 0 && !got);
    closer.get();
    closer = weft::spawn([&] { b.close(); });
    b.send(1);
    b.send(2);
    verify(throws<weft::channel_closed>([&] { (void)weft::select(weft::on_send(b, 3)); }));
    closer.get();
    // At once; all of them.
    verify(throws<weft::channel_closed>([&] { (void)weft::select(weft::on_send(a, 3), weft::on_send(b, 3)); }));
    verify(weft::select(weft::on_receive(b, keep(got))) == 0 && got == 1);
    verify(weft::select(weft::on_receive(b, keep(got))) == 0 && got == 2);
    verify(weft::select(weft::on_receive(b, keep(got)), weft::on_receive(a, keep(got))) < 2 && !got);
  });
}

TEST_CASE("select without cases is refused, null channels are never ready", "[select][bad-input]") {
  using receive = decltype(weft::on_receive(static_cast<channel<int>*>(nullptr),
                                            std::declval<void (*)(std::optional<int>)>()));
  std::vector<receive> none;
  CHECK_THROWS_AS(weft::select(none), std::invalid_argument);
  channel<int>* const null = nullptr;
  std::optional<int> got;
  CHECK(weft::select(weft::on_receive(null, keep(got)), weft::on_send(null, 1), weft::otherwise()) == 2);
  CHECK(weft::select(weft::on_receive(null, keep(got)), weft::on_timeout(1us)) == 1);
  std::vector<weft::any_select_case> moved;
  moved.emplace_back(weft::otherwise());
  auto const taken = std::move(moved[0]);
  CHECK_THROWS_AS(weft::select(moved), std::invalid_argument);
  weft::task<void> const empty;
  CHECK_THROWS_AS(weft::on_done(empty), weft::error);
}

TEST_CASE("a value that was not sent can be taken back, and a case sends once", "[select]") {
  channel<std::unique_ptr<int>> ch{1};
  auto send = weft::on_send(ch, std::make_unique<int>(1));
  ch.send(std::make_unique<int>(0));
  CHECK(weft::select(send, weft::otherwise()) == 1);
  REQUIRE(send.value());
  CHECK(**send.value() == 1);
  (void)ch.receive();
  CHECK(weft::select(send, weft::otherwise()) == 0);
  CHECK_FALSE(send.value());
  CHECK(*ch.receive().value() == 1);
  CHECK(weft::select(send, weft::otherwise()) == 1);
}

TEST_CASE("the same channel twice, in both directions: it never meets itself", "[select][bad-input]") {
  run_on(some_workers(), [] {
    channel<int> ch;
    std::optional<int> got;
    verify(weft::select(weft::on_receive(ch, keep(got)), weft::on_send(ch, 1), weft::otherwise()) == 2);
    for (int i = 0; i < 100; ++i) {
      auto other = weft::spawn([&, i] {
        if (i % 2 == 0) {
          ch.send(2);
        } else {
          verify(ch.receive() == 1);
        }
      });
      auto const chosen = weft::select(weft::on_receive(ch, keep(got)), weft::on_send(ch, 1),
                                       weft::on_receive(ch, keep(got)), weft::on_send(ch, 1));
      verify(chosen % 2 == static_cast<std::size_t>(i % 2));
      other.get();
      verify(!ch.try_receive());
    }
  });
}

TEST_CASE("two selects that face each other meet once", "[select]") {
  run_on(some_workers(), [] {
    channel<int> a;
    channel<int> b;
    for (int i = 0; i < 300; ++i) {
      std::optional<int> left;
      std::optional<int> right;
      auto other = weft::spawn([&] { return weft::select(weft::on_receive(a, keep(right)), weft::on_send(b, 2)); });
      auto const mine = weft::select(weft::on_send(a, 1), weft::on_receive(b, keep(left)));
      verify(mine == other.get());
      verify(mine == 0 ? right == 1 && !left : left == 2 && !right);
    }
  });
}

TEST_CASE("a range of cases: one of a thousand is ready", "[select][bad-input]") {
  run_on(some_workers(), [] {
    constexpr std::size_t many = 1000;
    std::vector<std::unique_ptr<channel<int>>> channels;
    std::optional<int> got;
    std::vector<decltype(weft::on_receive(std::declval<channel<int>&>(), keep(got)))> cases;
    for (std::size_t i = 0; i < many; ++i) {
      channels.push_back(std::make_unique<channel<int>>(i % 2));
      cases.push_back(weft::on_receive(*channels.back(), keep(got)));
    }
    for (std::size_t const i : {std::size_t{0}, std::size_t{500}, many - 1}) {
      auto sender = weft::spawn([&] { channels[i]->send(static_cast<int>(i)); });
      verify(weft::select(cases) == i && got == static_cast<int>(i));
      sender.get();
    }
    weft::event e;
    std::vector<weft::any_select_case> mixed;
    mixed.emplace_back(weft::on_receive(*channels[0], keep(got)));
    mixed.emplace_back(weft::on_event(e));
    mixed.emplace_back(weft::on_timeout(1h));
    auto setter = weft::spawn([&] { e.set(); });
    verify(weft::select(mixed) == 1);
    setter.get();
  });
}

TEST_CASE("select is a cancellation point, also where a case is ready; then nothing is chosen", "[select]") {
  run_on(some_workers(), [] {
    channel<int> ready{1};
    channel<int> empty;
    ready.send(1);
    std::optional<int> got;
    weft::cancel_scope scope;
    verify(!scope.run([&] {
      scope.cancel();
      (void)weft::select(weft::on_receive(ready, keep(got)), weft::otherwise());
    }));
    weft::event e;
    weft::semaphore s{0};
    auto waits = weft::spawn([&] {
      (void)weft::select(weft::on_receive(empty, keep(got)), weft::on_event(e), weft::on_acquire(s, [] {}),
                         weft::on_send(ready, 2));
    });
    weft::yield();
    waits.cancel();
    verify(throws<weft::cancelled>([&] { waits.get(); }));
    verify(!got && ready.size() == 1);
    // Nobody is left in line.
    e.set();
    s.release();
    verify(s.value() == 1 && !empty.try_send(1) && ready.receive() == 1 && ready.size() == 0);
  });
}

TEST_CASE("a task that selects its own end is told that it would wait for ever", "[select][bad-input]") {
  run_on(1, [] {
    weft::task<void> self;
    weft::event begin;
    self = weft::spawn([&] {
      begin.wait();
      (void)weft::select(weft::on_done(self));
    });
    begin.set();
    verify(throws<std::system_error>([&] { self.get(); }));
  });
}

TEST_CASE("what a handler throws leaves select, and the case is committed all the same", "[select]") {
  channel<int> ch{1};
  ch.send(1);
  CHECK_THROWS_AS(weft::select(weft::on_receive(ch, [](std::optional<int>) { throw std::runtime_error("handler"); })),
                  std::runtime_error);
  CHECK(ch.size() == 0);
}

TEST_CASE("of two channels that are always ready each is chosen half of the time", "[select][fairness]") {
  auto const third = GENERATE(false, true);
  auto const fair = [third] {
    channel<int> a{1};
    channel<int> b{1};
    channel<int> never_ready;
    channel<int>* const neighbour = third ? &never_ready : nullptr;
    constexpr int rounds = 40'000;
    int from_a = 0;
    for (int i = 0; i < rounds; ++i) {
      (void)a.try_send(1);
      (void)b.try_send(1);
      (void)weft::select(weft::on_receive(a, [&](std::optional<int>) { ++from_a; }),
                         weft::on_receive(b, [](std::optional<int>) {}),
                         weft::on_receive(neighbour, [](std::optional<int>) {}));
    }
    verify(from_a > rounds * 48 / 100 && from_a < rounds * 52 / 100);
  };
  fair();
  run_on(1, fair);
  weft::testing::simulation{4711}.run(fair);
}

TEST_CASE("a select on a thread, and on fibers of two runtimes", "[select]") {
  weft::runtime one{on(some_workers())};
  weft::runtime two{on(1)};
  channel<int> numbers;
  channel<int> letters{2};
  weft::event over;
  std::atomic<int> sum{0};
  auto const collect = [&] {
    for (bool goes_on = true; goes_on;) {
      (void)weft::select(weft::on_receive(numbers, [&](std::optional<int> v) { sum += *v; }),
                         weft::on_receive(letters, [&](std::optional<int> v) { sum += *v; }),
                         weft::on_event(over, [&] { goes_on = false; }));
    }
  };
  auto a = one.spawn(collect);
  auto b = two.spawn(collect);
  std::thread c{collect};
  auto d = one.spawn([&] {
    for (int i = 0; i < 200; ++i) numbers.send(1);
  });
  auto e = two.spawn([&] {
    for (int i = 0; i < 200; ++i) letters.send(1000);
  });
  d.get();
  e.get();
  while (letters.size() != 0) std::this_thread::yield();
  over.set();
  a.get();
  b.get();
  c.join();
  CHECK(sum == 200'200);
  expect_no_leaks(one);
  expect_no_leaks(two);
}
