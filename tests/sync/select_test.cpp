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
      auto const chosen = weft::select(
          weft::on_receive(in, keep(got)), weft::on_send(out, round), weft::on_event(e), weft::on_acquire(s, [&] { ++permits; }),
          weft::on_done(job), mailbox::on_mail{m, [&](int v) { mail = v; }});
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
