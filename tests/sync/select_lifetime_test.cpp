/// @file
/// select: what may be freed when it has been woken, and what becomes of values that cannot be moved, of guests' tasks,
/// and of cases that are used wrongly.

#include <weft/sync/select.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/queue.hpp>
#include <weft/sync/semaphore.hpp>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::channel;

namespace {

/// An object that leaves memory behind in which no lock can be taken: who comes too late waits for ever.
template <class T>
class scorched {
public:
  template <class... Args>
  explicit scorched(Args&&... args) : object_(new(memory_) T(std::forward<Args>(args)...)) {}
  ~scorched() { burn(); }
  scorched(scorched const&) = delete;
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  void burn() noexcept {
    if (object_ == nullptr) return;
    std::destroy_at(std::exchange(object_, nullptr));
    std::memset(memory_, 0xff, sizeof memory_);
  }

private:
  alignas(T) unsigned char memory_[sizeof(T)];
  T* object_;
};

/// Calls `makes`, then `selects` as a fiber, and when that waits `wakes`, which frees what it waits for.
template <class Makes, class Selects, class Wakes>
void wake_and_free(Makes makes, Selects selects, Wakes wakes) {
  watchdog dog{"a select whose waker frees what it waited for"};
  run_with(weft::testing::fifo(), [&] {
    for (int i = 0; i < 10; ++i) {
      makes();
      auto waiting = weft::spawn([&] { selects(); });
      weft::testing::run_until_blocked();
      wakes();
      waiting.get();
    }
  });
}

}  // namespace

TEST_CASE("the receiver may free the channel as soon as it has the value of a select", "[select]") {
  watchdog dog{"a select whose receiver frees the channel"};
  run_on(some_workers(), [] {
    for (int i = 0; i < 200; ++i) {
      scorched<channel<int>> ch{static_cast<std::size_t>(i % 2)};
      auto sender = weft::spawn([&at = *ch] { verify(weft::select(weft::on_send(at, 1), weft::on_timeout(1h)) == 0); });
      if (i % 3 == 0) weft::yield();
      verify(ch->receive() == 1);
      ch.burn();
      sender.get();
    }
  });
}

TEST_CASE("who closes a channel may free it when it knows that the selects wait", "[select]") {
  std::optional<scorched<channel<int>>> ch;
  auto const make = [&] { ch.emplace(); };
  auto const close = [&] {
    (*ch)->close();
    (*ch).burn();
  };
  wake_and_free(
      make,
      [&] {
        auto const number = weft::select(weft::on_timeout(1h), weft::on_receive(**ch, [](auto got) { verify(!got); }));
        verify(number == 1);
      },
      close);
  wake_and_free(
      make,
      [&] {
        verify(throws<weft::channel_closed>([&] { (void)weft::select(weft::on_send(**ch, 1), weft::on_timeout(1h)); }));
      },
      close);
}

TEST_CASE("who sets an event, releases a permit or shuts a queue down may free it, too", "[select]") {
  std::optional<scorched<weft::event>> event;
  wake_and_free([&] { event.emplace(); },
                [&] { verify(weft::select(weft::on_timeout(1h), weft::on_event(**event)) == 1); },
                [&] {
                  (*event)->set();
                  event->burn();
                });
  std::optional<scorched<weft::semaphore>> permits;
  wake_and_free([&] { permits.emplace(0); },
                [&] { verify(weft::select(weft::on_timeout(1h), weft::on_acquire(**permits, [] {})) == 1); },
                [&] {
                  (*permits)->release();
                  permits->burn();
                });
  std::optional<scorched<weft::queue<int>>> queue;
  wake_and_free(
      [&] { queue.emplace(); },
      [&] {
        verify(weft::select(weft::on_timeout(1h), weft::on_get(**queue, [](int got) { verify(got == 1); })) == 1);
      },
      [&] {
        (*queue)->put(1);
        queue->burn();
      });
}

TEST_CASE("a value whose move to the handler throws is not handed out by a later select", "[select][bad-input]") {
  struct moody {
    explicit moody(int moves) noexcept : left(moves) {}
    moody(moody&& other) : left(other.left - 1) {
      if (left < 0) throw std::runtime_error("moody");
    }
    int left;
  };
  channel<moody> ch{1};
  moody value{2};  // into the channel, and out of it
  REQUIRE(ch.try_send(value));
  int calls = 0;
  bool closed = false;
  auto receives = weft::on_receive(ch, [&](std::optional<moody> got) {
    ++calls;
    closed = !got;
  });
  CHECK_THROWS_AS(weft::select(receives), std::runtime_error);
  CHECK(calls == 0);
  ch.close();
  CHECK(weft::select(receives) == 0);
  CHECK((calls == 1 && closed));
}

TEST_CASE("a thread that selects the end of a guest's task runs the guest", "[select][guest]") {
  watchdog dog{"a select for a guest's task"};
  weft::runtime_options options;
  options.guest = true;
  weft::runtime rt{options};
  channel<int> ch;
  auto task = rt.spawn([&] {
    weft::yield();
    ch.send(1);  // the thread stands in line while it runs us
    weft::this_fiber::sleep_for(5ms);
    return 7;
  });
  int got = 0;
  auto const number = weft::select(weft::on_done(task), weft::on_receive(ch, [&](auto v) { got = v.value_or(0); }));
  CHECK((number == 1 && got == 1));
  CHECK(weft::select(weft::on_receive(ch, [](auto) {}), weft::on_done(task)) == 1);
  CHECK(task.get() == 7);
  auto endless = rt.spawn([&] { (void)ch.receive(); });
  CHECK(weft::select(weft::on_done(endless), weft::on_timeout(5ms)) == 1);
  ch.close();
  CHECK(weft::select(weft::on_done(endless), weft::on_timeout(1h)) == 0);
  endless.get();
  expect_no_leaks(rt);
}

TEST_CASE("a case that stands twice in a select is refused, and one that forgets that it was chosen",
          "[select][bad-input]") {
  CHECK(aborts_with("a case stands twice in one select", [] {
    channel<int> ch;
    auto c = weft::on_receive(ch, [](auto) {});
    (void)weft::select(c, c);
  }));
  CHECK(aborts_with("a case stands twice in one select", [] {
    weft::event e;
    auto c = weft::on_event(e);
    (void)weft::select(c, c);
  }));
  CHECK(aborts_with("a case stands twice in one select", [] {
    weft::semaphore s{0};
    auto c = weft::on_acquire(s, [](auto) {});
    (void)weft::select(c, c);
  }));
  CHECK(aborts_with("a case stands twice in one select", [] {
    weft::queue<int> q;
    auto c = weft::on_get(q, [](int) {});
    (void)weft::select(c, c);
  }));
  CHECK(aborts_with("a case stands twice in one select", [] {
    run_with(weft::testing::fifo(), [] {
      auto t = weft::spawn([] { weft::yield(); });
      auto c = weft::on_done(t);
      (void)weft::select(c, c);
    });
  }));
  CHECK(aborts_with("a case stands twice in one select", [] {
    weft::event e;
    auto c = weft::on_event(e);
    run_with(weft::testing::fifo(), [&] {
      auto first = weft::spawn([&] { e.wait(); });
      auto second = weft::spawn([&] { (void)weft::select(c); });
      weft::testing::run_until_blocked();
      (void)weft::select(c);
    });
  }));
  struct forgetful {
    bool try_now() { return false; }
    bool enroll(weft::waiter& w) noexcept {
      (void)w.notify();
      return false;
    }
    bool withdraw() noexcept { return false; }
    void finish() {}
  };
  CHECK(aborts_with("no case says that it was chosen", [] {
    forgetful c;
    (void)weft::select(c);
  }));
}
