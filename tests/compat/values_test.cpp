/// @file
/// The names of Boost.Fiber with values whose copies, moves and destructors wait, or use what they go through. None of
/// it is locked meanwhile.

#include <weft/compat/boost_fiber.hpp>

#include "compat/run_to_the_end.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace fibers = weft::compat::fibers;
using namespace std::chrono_literals;
using namespace weft::test;
using status = fibers::channel_op_status;

namespace {

struct move_failed {};

/// A value that calls what it carries when it is copied, moved, or, not moved from, destroyed.
class busy {
public:
  using call = std::function<void()>;
  explicit busy(int number = 0) : number_(number) {}
  busy(busy const& other)
      : number_((called(other.at_copy), other.number_)),
        at_copy(other.at_copy),
        at_move(other.at_move),
        at_end(other.at_end) {}
  busy(busy&& other)  // NOLINT: what it calls may throw
      : number_((called(other.at_move), std::exchange(other.number_, 0))),
        at_copy(other.at_copy),
        at_move(other.at_move),
        at_end(std::exchange(other.at_end, nullptr)) {}
  busy& operator=(busy const&) = delete;
  busy& operator=(busy&& other) {  // NOLINT: what it calls may throw
    called(other.at_move);
    number_ = std::exchange(other.number_, 0);
    at_end = std::exchange(other.at_end, nullptr);
    return *this;
  }
  ~busy() { called(at_end); }
  [[nodiscard]] int number() const noexcept { return number_; }

private:
  static void called(call const& what) {
    if (what) what();
  }
  int number_;

public:
  call at_copy{};
  call at_move{};
  call at_end{};
};

using buffered_of_busy = fibers::buffered_channel<busy>;
using unbuffered_of_busy = fibers::unbuffered_channel<busy>;

template <class Channel>
std::unique_ptr<Channel> make_empty() {
  if constexpr (std::is_same_v<Channel, buffered_of_busy>) {
    return std::make_unique<buffered_of_busy>(4);
  } else {
    return std::make_unique<unbuffered_of_busy>();
  }
}

/// A move, or a copy, that is under way until it is let go on.
class halted {
public:
  [[nodiscard]] busy::call call() {
    return [this] {
      begun_.set();
      go_on_.wait();
      if (std::exchange(fails_, false)) throw move_failed();
    };
  }
  void await() { begun_.wait(); }
  void let_go_on() { go_on_.set(); }
  void let_fail() {
    fails_ = true;
    go_on_.set();
  }

private:
  weft::event begun_;
  weft::event go_on_;
  bool fails_ = false;  // written before `go_on_` is set
};

}  // namespace

TEMPLATE_TEST_CASE("a value may close the channel that it goes through", "[compat][channel]", buffered_of_busy,
                   unbuffered_of_busy) {
  watchdog dog{"compat, values that close their channel"};
  run_to_the_end_on(some_workers(), [] {
    for (int const way : {0, 1, 2}) {
      auto const c = make_empty<TestType>();
      busy mine(7);
      bool const moved_in = std::is_same_v<TestType, buffered_of_busy>;
      mine.at_move = [&c, moves_left = moved_in ? 2 : 1]() mutable {
        if (--moves_left == 0) c->close();
      };
      fibers::fiber producer([&] { verify(c->push(std::move(mine)) == status::success); });
      if (way == 0) {
        busy got;
        verify(c->pop(got) == status::success && got.number() == 7);
      } else if (way == 1) {
        verify(c->value_pop().number() == 7);
      } else {
        verify(begin(*c)->number() == 7);
      }
      producer.join();
      verify(c->is_closed());
    }
  });
}

TEST_CASE("a value that is overwritten may use the channel from which the new one comes", "[compat][channel]") {
  watchdog dog{"compat, values that end"};
  run_to_the_end_on(some_workers(), [] {
    fibers::buffered_channel<std::shared_ptr<busy>> c(4);
    auto got = std::make_shared<busy>(1);
    got->at_end = [&c] { verify(c.try_push(std::make_shared<busy>(3)) == status::success); };
    verify(c.push(std::make_shared<busy>(2)) == status::success);
    verify(c.try_pop(got) == status::success && got->number() == 2);
    verify(c.pop(got) == status::success && got->number() == 3);
  });
}

TEST_CASE("while values are moved into a buffered channel, and out, others use it", "[compat][channel]") {
  watchdog dog{"compat, moves that wait"};
  run_to_the_end_on(some_workers(), [] {
    fibers::buffered_channel<busy> c(4);
    halted into;
    halted out;
    busy mine(7);
    mine.at_move = [&, moves = 0]() mutable { ++moves == 1 ? into.call()() : out.call()(); };
    fibers::fiber producer([&] { verify(c.push(std::move(mine)) == status::success); });
    into.await();
    busy none;
    verify(!c.is_closed() && c.try_pop(none) == status::empty);
    verify(c.push(busy(8)) == status::success);
    verify(c.value_pop().number() == 8);
    into.let_go_on();
    producer.join();
    fibers::fiber consumer([&] { verify(c.value_pop().number() == 7); });
    out.await();
    verify(!c.is_closed() && c.try_pop(none) == status::empty);
    verify(c.push(busy(9)) == status::success);
    verify(c.value_pop().number() == 9);
    out.let_go_on();
    consumer.join();
  });
}

TEST_CASE("while a value is moved out of an unbuffered channel others use it", "[compat][channel]") {
  watchdog dog{"compat, a move that waits"};
  run_to_the_end_on(some_workers(), [] {
    unbuffered_of_busy c;
    halted move;
    busy mine(7);
    mine.at_move = move.call();
    fibers::fiber producer([&] { verify(c.push(std::move(mine)) == status::success); });
    fibers::fiber consumer([&] { verify(c.value_pop().number() == 7); });
    move.await();
    busy none;
    verify(!c.is_closed() && c.pop_wait_for(none, 0ms) == status::timeout);
    move.let_go_on();
    consumer.join();
    producer.join();
  });
}

TEST_CASE("a buffered channel that is closed while a value comes in or goes out has not ended", "[compat][channel]") {
  watchdog dog{"compat, closed during a push or pop"};
  bool const out = GENERATE(false, true);
  bool const fails = GENERATE(false, true);
  run_with(weft::testing::in_virtual_time(), [=] {
    buffered_of_busy c(4);
    halted move;
    busy mine(7);
    mine.at_move = [&, moves_left = out ? 2 : 1]() mutable {
      if (--moves_left == 0) move.call()();
    };
    auto const push = [&] { verify(c.push(std::move(mine)) == status::success); };
    if (out) push();
    int moved = 0;
    auto moves = weft::spawn([&] {
      bool const failed = throws<move_failed>([&] {
        if (out) {
          moved = c.value_pop().number();
        } else {
          push();
        }
      });
      verify(failed == fails);
    });
    move.await();
    c.close();
    busy got;
    verify(c.push(busy(8)) == status::closed);
    verify(c.try_pop(got) == status::empty);
    status popped{};
    auto waits = weft::spawn([&] { popped = c.pop(got); });
    weft::sleep_for(1s);
    verify(!waits.ready());
    fails ? move.let_fail() : move.let_go_on();
    moves.get();
    waits.get();
    bool const comes = out == fails;  // in, or back
    verify(popped == (comes ? status::success : status::closed));
    verify(got.number() == (comes ? 7 : 0) && moved == (out && !fails ? 7 : 0));
    verify(c.pop(got) == status::closed);
  });
}

TEST_CASE("who pushes into an unbuffered channel stays until its value has been moved", "[compat][channel]") {
  watchdog dog{"compat, a move that waits"};
  enum class ended_by { close, time, cancellation };
  auto const end = GENERATE(ended_by::close, ended_by::time, ended_by::cancellation);
  auto const fails = GENERATE(false, true);
  run_with(weft::testing::in_virtual_time(), [&] {
    unbuffered_of_busy c;
    halted move;
    bool cancelled = false;
    status pushed{};
    auto const producer = weft::spawn([&] {
      busy mine(7);
      mine.at_move = move.call();
      try {
        pushed = c.push_wait_for(std::move(mine), end == ended_by::time ? 1s : 1h);
      } catch (weft::cancelled const&) {
        cancelled = true;
      }
    });
    int got = 0;
    bool failed = false;
    auto const consumer = weft::spawn([&] { failed = throws<move_failed>([&] { got = c.value_pop().number(); }); });
    move.await();
    if (end == ended_by::close) c.close();
    if (end == ended_by::cancellation) producer.cancel();
    weft::sleep_for(2s);
    verify(!producer.ready());
    fails ? move.let_fail() : move.let_go_on();
    consumer.wait();
    producer.wait();
    verify(failed == fails && got == (fails ? 0 : 7));
    verify(cancelled == (fails && end == ended_by::cancellation));
    if (cancelled) return;
    verify(pushed == (!fails ? status::success : end == ended_by::time ? status::timeout : status::closed));
  });
}

TEST_CASE("a result that waits while it is copied keeps nobody from asking for it", "[compat][future]") {
  watchdog dog{"compat, a copy that waits"};
  run_to_the_end_on(some_workers(), [] {
    fibers::promise<busy> p;
    auto f = p.get_future();
    halted copy;
    busy mine(7);
    mine.at_copy = copy.call();
    bool failed = false;
    fibers::fiber sets([&] {
      failed = throws<move_failed>([&] { p.set_value(mine); });
      p.set_value(mine);
    });
    copy.await();
    verify(f.wait_for(0ms) == fibers::future_status::timeout);
    verify(throws<fibers::promise_already_satisfied>([&] { p.set_value(busy(8)); }));
    copy.let_fail();
    sets.join();
    verify(failed);
    verify(f.get().number() == 7);
  });
}
