/// @file
/// channel: one that must wait, while the fiber that comes next has just been woken on the same worker, stands in line
/// without a wait and lets that one run first. However it is met, or is not, it comes out as one that waited.

#include <weft/sync/channel.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/select.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

using namespace weft::test;
using weft::channel;

namespace {

/// Until its lock is given to the only worker on bias.
template <class T>
void use_for_long(channel<T>& ch) {
  auto receiver = weft::spawn([&] {
    for (int i = 0; i < 200; ++i) (void)ch.receive();
  });
  for (int i = 0; i < 200; ++i) ch.send(T{});
  receiver.get();
}

weft::task_state state_of(std::string const& name) {
  auto const all = weft::all_tasks();
  auto const it = std::find_if(all.begin(), all.end(), [&](auto const& t) { return t.name == name; });
  verify(it != all.end());
  return it->state;
}

/// `first(channel)` runs when `partner(owner of the channel, task of first)` has just been woken, and is next. Every so
/// often a worker looks at the clock, and then nobody gives way: so it is done again, until `first` did.
template <class T, class First, class Partner>
void meet_and_own(First first, Partner partner, bool gives_way = true) {
  if (migration_forced()) return;                                 // nobody is next there
  if (!weft::detail::std_atomics::barrier::asymmetric()) return;  // and there is no bias
  run_on(1, [&] {
    bool gave_way = false;
    for (int attempt = 0; attempt < 100 && !gave_way; ++attempt) {
      auto own = std::make_unique<channel<T>>();
      auto& ch = *own;
      use_for_long(ch);
      channel<int> calls;
      weft::event begin;
      auto one = weft::spawn({.name = "first"}, [&] {
        begin.wait();
        calls.send(1);
        first(ch);
      });
      auto other = weft::spawn([&] {
        (void)calls.receive();
        bool const is_ready = state_of("first") == weft::task_state::queued;
        partner(own, one);
        return is_ready;
      });
      weft::yield();
      begin.set();
      gave_way = other.get();
      one.get();
      verify(own == nullptr || !own->try_receive());
      if (!gives_way) break;
    }
    verify(gave_way == gives_way);
  });
}

/// The same with `partner(channel, task of first)`.
template <class T, class First, class Partner>
void meet(First first, Partner partner, bool gives_way = true) {
  meet_and_own<T>(first, [&](auto& own, auto& one) { partner(*own, one); }, gives_way);
}

}  // namespace

TEST_CASE("a sender that gave way is met without being woken", "[channel]") {
  meet<int>([](auto& ch) { ch.send(7); }, [](auto& ch, auto&) { verify(ch.receive() == 7); });
}

TEST_CASE("a receiver that gave way is met without being woken", "[channel]") {
  meet<std::unique_ptr<int>>([](auto& ch) { verify(**ch.receive() == 7); },
                             [](auto& ch, auto&) { ch.send(std::make_unique<int>(7)); });
}

TEST_CASE("who gave way, and was not met, waits in its place", "[channel]") {
  meet<int>([](auto& ch) { ch.send(1); },
            [](auto& ch, auto&) {
              auto behind = weft::spawn([&] { ch.send(2); });
              weft::yield();
              weft::yield();
              verify(state_of("first") == weft::task_state::parked);
              verify(ch.receive() == 1 && ch.receive() == 2);
              behind.get();
            });
}

TEST_CASE("a receiver that gave way, and was not met, waits in its place", "[channel]") {
  meet<int>([](auto& ch) { verify(ch.receive() == 1); },
            [](auto& ch, auto&) {
              auto behind = weft::spawn([&] { verify(ch.receive() == 2); });
              weft::yield();
              weft::yield();
              verify(state_of("first") == weft::task_state::parked);
              ch.send(1);
              ch.send(2);
              behind.get();
            });
}

TEST_CASE("a channel is closed while its sender gives way", "[channel]") {
  meet<int>([](auto& ch) { verify(throws<weft::channel_closed>([&] { ch.send(7); })); },
            [](auto& ch, auto&) {
              ch.close();
              verify(!ch.receive());
            });
}

TEST_CASE("a channel is closed while its receiver gives way", "[channel]") {
  meet<int>([](auto& ch) { verify(!ch.receive()); }, [](auto& ch, auto&) { ch.close(); });
}

TEST_CASE("who is cancelled while it gives way has sent nothing, and stands in no line", "[channel]") {
  meet<int>([](auto& ch) { verify(throws<weft::cancelled>([&] { ch.send(7); })); },
            [](auto& ch, auto& first) {
              first.cancel();
              verify(!ch.try_receive());
            });
  meet<int>([](auto& ch) { verify(throws<weft::cancelled>([&] { (void)ch.receive(); })); },
            [](auto& ch, auto& first) {
              first.cancel();
              auto behind = weft::spawn([&] { verify(ch.receive() == 1); });
              weft::yield();
              ch.send(1);
              behind.get();
            });
}

TEST_CASE("who may not be cancelled gives way to nobody", "[channel]") {
  meet<int>(
      [](auto& ch) {
        struct receives_last {
          channel<int>& ch;
          ~receives_last() { verify(ch.receive() == 1); }
        };
        try {
          receives_last const last{ch};
          throw 1;  // while it unwinds the stack, the task's cancellation does not count
        } catch (int) {
        }
      },
      [](auto& ch, auto& first) {
        verify(state_of("first") == weft::task_state::parked);
        first.cancel();
        int value = 1;
        verify(ch.try_send(value));
      },
      false);
  meet<int>(
      [](auto& ch) {
        weft::cancel_shield const shielded;
        verify(ch.receive() == 1);
      },
      [](auto& ch, auto& first) {
        verify(state_of("first") == weft::task_state::parked);
        first.cancel();
        ch.send(1);
      },
      false);
}

TEST_CASE("who is called to look at its scopes while it gives way is served all the same", "[channel]") {
  std::atomic<weft::cancel_scope*> scope{nullptr};
  auto const receive = [&](int expected) {
    return [&, expected](auto& ch) {
      weft::cancel_scope own;
      scope = &own;
      verify(ch.receive() == (expected != 0 ? std::optional{expected} : std::nullopt));
    };
  };
  meet<int>(receive(1), [&](auto& ch, auto&) {
    scope.load()->reschedule(std::chrono::steady_clock::now() + std::chrono::hours{1});
    int value = 1;
    verify(ch.try_send(value));
  });
  meet<int>(receive(0), [&](auto& ch, auto&) {
    scope.load()->reschedule(std::chrono::steady_clock::now() + std::chrono::hours{1});
    ch.close();
  });
  meet<int>(
      [&](auto& ch) {
        weft::cancel_scope own;
        scope = &own;
        verify(throws<weft::cancelled>([&] { (void)ch.receive(); }));
      },
      [&](auto& ch, auto&) {
        scope.load()->cancel();
        weft::yield();
        int value = 1;
        verify(!ch.try_send(value));
      });
}

// The channel belongs to nobody but those who use it: whoever is done with it first leaves it to the other.
TEST_CASE("whoever meets one that gave way may free the channel", "[channel]") {
  auto const meet_last = [](auto first, auto partner) {
    meet_and_own<int>(first, [&](auto& own, auto&) {
      partner(*own);
      own.reset();
    });
  };
  meet_last([](auto& ch) { ch.send(7); }, [](auto& ch) { verify(ch.receive() == 7); });
  meet_last([](auto& ch) { verify(ch.receive() == 7); }, [](auto& ch) { ch.send(7); });
  meet_last([](auto& ch) { verify(!ch.receive()); }, [](auto& ch) { ch.close(); });
  meet_last([](auto& ch) { verify(throws<weft::channel_closed>([&] { ch.send(7); })); }, [](auto& ch) { ch.close(); });
  meet_last([](auto& ch) { ch.send(7); },
            [](auto& ch) { weft::select(weft::on_receive(ch, [](std::optional<int> v) { verify(v == 7); })); });
}

TEST_CASE("who is met and then cancelled has sent", "[channel]") {
  meet<int>([](auto& ch) { ch.send(7); },
            [](auto& ch, auto& first) {
              verify(ch.receive() == 7);
              first.cancel();
            });
}

TEST_CASE("who gave way and then waits is cancelled like any other", "[channel]") {
  meet<int>([](auto& ch) { verify(throws<weft::cancelled>([&] { (void)ch.receive(); })); },
            [](auto& ch, auto& first) {
              weft::yield();
              weft::yield();
              verify(state_of("first") == weft::task_state::parked);
              first.cancel();
              weft::yield();
              int value = 1;
              verify(!ch.try_send(value));
            });
}

TEST_CASE("a thread meets who gave way while the other one computes", "[channel]") {
  meet<int>([](auto& ch) { ch.send(7); },
            [](auto& ch, auto&) {
              std::optional<int> received;
              std::thread([&] { received = ch.try_receive(); }).join();
              verify(received == 7);
            });
  meet<int>([](auto& ch) { verify(ch.receive() == 7); },
            [](auto& ch, auto&) {
              std::thread([&] {
                int value = 7;
                verify(ch.try_send(value));
              }).join();
            });
}

TEST_CASE("a select meets who gave way", "[channel]") {
  meet<int>([](auto& ch) { ch.send(7); },
            [](auto& ch, auto&) { weft::select(weft::on_receive(ch, [](std::optional<int> v) { verify(v == 7); })); });
  meet<int>([](auto& ch) { verify(ch.receive() == 7); }, [](auto& ch, auto&) { weft::select(weft::on_send(ch, 7)); });
}

TEST_CASE("who waits for a time only, or where a scope has a deadline, gives way to nobody", "[channel]") {
  meet<int>([](auto& ch) { verify(ch.send_for(7, std::chrono::hours{1})); },
            [](auto& ch, auto&) {
              verify(state_of("first") == weft::task_state::parked);
              verify(ch.receive() == 7);
            },
            false);
  meet<int>([](auto& ch) { weft::with_timeout(std::chrono::hours{1}, [&] { ch.send(7); }); },
            [](auto& ch, auto&) {
              verify(state_of("first") == weft::task_state::parked);
              verify(ch.receive() == 7);
            },
            false);
}

TEST_CASE("H26: two that meet again and again starve neither a fiber, a timer nor who is woken from outside",
          "[channel][hazard][H26]") {
  watchdog dog{"others beside two that meet"};
  std::uint64_t most = 0;  // meetings between two turns of another
  run_on(1, [&] {
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> meetings{0};
    channel<int> there;
    channel<int> back;
    auto echo = weft::spawn([&] {
      for (int const value : there) back.send(value);
    });
    auto caller = weft::spawn([&] {
      while (!stop) {
        there.send(1);
        (void)back.receive();
        ++meetings;
      }
      there.close();
    });
    for (int i = 0; i < 10'000; ++i) {
      auto const before = meetings.load();
      weft::yield();
      most = std::max(most, meetings.load() - before);
      if (i % 100 == 0) dog.feed();
    }
    for (int i = 0; i < 10; ++i) {
      weft::sleep_for(std::chrono::milliseconds{1});
      weft::event called;
      std::thread caller_outside([&] { called.set(); });
      called.wait();
      caller_outside.join();
      dog.feed();
    }
    stop = true;  // nothing else ends them
    caller.get();
    echo.get();
  });
  if (!migration_forced()) CHECK(most <= 61);  // so often the slot goes first, and each meeting takes it twice
}
