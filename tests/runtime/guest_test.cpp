/// @file
/// A runtime without threads, in somebody else's loop.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/socket_pair.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/as_completed.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/descriptor_wait.hpp>
#include <weft/runtime/detail/polled_descriptor.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/pin.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/runtime/wait.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

using weft::detail::descriptor_outcome;
using weft::detail::polled_descriptor;
using weft::detail::readiness;

weft::runtime_options guest() {
  weft::runtime_options options;
  options.guest = true;
  return options;
}

bool readable(int descriptor, int limit_ms) {
  pollfd ready{descriptor, POLLIN, 0};
  return ::poll(&ready, 1, limit_ms) == 1;
}

/// Whether that thread of this process sleeps in the kernel.
bool is_asleep(::pid_t thread) {
  std::ifstream stat{"/proc/self/task/" + std::to_string(thread) + "/stat"};
  std::string text;
  std::getline(stat, text);
  auto const end_of_name = text.rfind(')');
  return end_of_name != std::string::npos && text.compare(end_of_name, 3, ") S") == 0;
}

/// The loop of a program that has one.
template <class Done>
void loop_until(weft::runtime& rt, Done&& done) {
  while (!done()) {
    bool const more = rt.poll_once();
    if (!more && !done()) (void)readable(rt.wake_fd(), -1);
  }
}

}  // namespace

TEST_CASE("a guest runs on the thread that polls it, and only then", "[guest]") {
  weft::runtime rt{guest()};
  CHECK(rt.workers() == 1);
  bool ran = false;
  auto const thread = std::this_thread::get_id();
  auto task = rt.spawn([&] {
    ran = std::this_thread::get_id() == thread;
    return 5;
  });
  CHECK_FALSE(ran);
  CHECK(readable(rt.wake_fd(), 0));
  CHECK_FALSE(rt.poll_once(1h));  // however seldom the thread gets the processor
  CHECK(ran);
  CHECK(task.ready());
  CHECK(task.get() == 5);
  CHECK_FALSE(readable(rt.wake_fd(), 0));
  expect_no_leaks(rt);
}

TEST_CASE("the descriptor tells of timers, of other threads and of descriptors", "[guest]") {
  watchdog dog{"a guest's descriptor"};
  weft::runtime rt{guest()};
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
  weft::event e;
  auto sleeps = rt.spawn([] { weft::sleep_for(3ms); });
  auto waits = rt.spawn([&] { e.wait(); });
  auto offloads = rt.spawn([] { return weft::offload([] { return 3; }); });
  auto reads = rt.spawn([&] { verify(weft::detail::wait_descriptor(ends[0], weft::detail::readiness::readable)); });
  loop_until(rt, [&] { return sleeps.ready() && offloads.ready(); });
  CHECK(offloads.get() == 3);
  CHECK_FALSE(waits.ready());
  std::thread other([&] { e.set(); });
  loop_until(rt, [&] { return waits.ready(); });
  other.join();
  CHECK_FALSE(reads.ready());
  std::thread writer([&] { (void)!::write(ends[1], "x", 1); });
  loop_until(rt, [&] { return reads.ready(); });
  writer.join();
  reads.get();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("what a guest's loop goes on watching is watched while the host waits", "[guest][io]") {
  watchdog dog{"a guest that disarmed one direction"};
  for (int round = 0; round < 20; ++round) {  // a tick may poll once more and hide what is to be seen
    weft::runtime rt{guest()};
    socket_pair pair;
    pair.fill(0);
    pair.send(1);
    auto const polled = polled_descriptor::make(pair.end(0));
    auto const wait = [&](readiness what) {
      polled->exhausted(what);
      polled_descriptor::use in_use{*polled};
      verify(in_use.wait(what) == descriptor_outcome::ready);
    };
    auto const writes = rt.spawn([&] { wait(readiness::writable); });
    auto const reads = rt.spawn([&] {
      wait(readiness::readable);
      pair.drain(0);
      polled->exhausted(readiness::readable);
    });
    loop_until(rt, [&] { return reads.ready(); });
    while (rt.poll_once()) {
    }
    REQUIRE_FALSE(writes.ready());
    for (int turn = 0; turn < round; ++turn) (void)rt.poll_once();
    pair.send(1);  // for nobody
    REQUIRE(readable(rt.wake_fd(), 10'000));
    while (rt.poll_once()) {
    }
    pair.drain(1);  // now there is room to write
    REQUIRE(readable(rt.wake_fd(), 10'000));
    loop_until(rt, [&] { return writes.ready(); });
  }
}

TEST_CASE("another runtime's fiber waits for a descriptor that a guest's loop watches", "[guest][io]") {
  watchdog dog{"a descriptor of a guest's loop"};
  weft::runtime rt{guest()};
  socket_pair pair;
  auto const polled = polled_descriptor::make(pair.end(0));
  auto const wait = [&](readiness what) {
    polled->exhausted(what);
    polled_descriptor::use in_use{*polled};
    verify(in_use.wait(what) == descriptor_outcome::ready);
  };
  auto const reads = rt.spawn([&] { wait(readiness::readable); });
  while (rt.poll_once()) {
  }
  weft::runtime other;
  auto writes = other.spawn([&] { wait(readiness::writable); });
  REQUIRE(readable(rt.wake_fd(), 10'000));
  while (rt.poll_once()) {
  }
  writes.get();
  pair.send(1);
  loop_until(rt, [&] { return reads.ready(); });
}

TEST_CASE("a turn that ends before all is done says so, whatever was sent meanwhile", "[guest][io]") {
  watchdog dog{"a guest with more to do"};
  weft::runtime rt{guest()};
  socket_pair pair;
  std::atomic<bool> in_turn{false};
  std::atomic<bool> stop{false};
  weft::event e;
  auto const polled = polled_descriptor::make(pair.end(0));
  auto const reads = rt.spawn([&] {  // so that a tick looks into the loop
    polled->exhausted(readiness::readable);
    polled_descriptor::use in_use{*polled};
    verify(in_use.wait(readiness::readable) == descriptor_outcome::ready);
  });
  auto const pinned = rt.spawn([&] {
    weft::pin_guard const here;
    e.wait();
  });
  while (rt.poll_once()) {
  }
  std::thread wakes([&] {
    while (!in_turn) std::this_thread::yield();
    e.set();
    stop = true;
  });
  auto const spins = rt.spawn([&] {
    in_turn = true;
    while (!stop) {
    }
    for (;;) weft::yield();
  });
  auto const beside = rt.spawn([] {
    for (;;) weft::yield();
  });
  REQUIRE(rt.poll_once(20ms));
  CHECK(readable(rt.wake_fd(), 0));
  wakes.join();
  pair.send(1);
  loop_until(rt, [&] { return reads.ready() && pinned.ready(); });
}

TEST_CASE("run drives a guest, and so does its end", "[guest]") {
  watchdog dog{"the end of a guest"};
  bool unwound = false;
  {
    weft::runtime rt{guest()};
    weft::event never_set;
    {
      auto const dropped = rt.spawn([&] { never_set.wait(); });
      (void)rt.poll_once();
    }  // cancels and joins
    CHECK(rt.live_fibers() == 0);
    auto const late = rt.spawn([&] { never_set.wait(); });
    CHECK_FALSE(late.wait_for(2ms));
    never_set.set();
  }
  {
    weft::runtime rt{guest()};
    CHECK(rt.run([] {
      auto t = weft::spawn([] {
        weft::sleep_for(1ms);
        return 4;
      });
      return t.get();
    }) == 4);
    CHECK_THROWS_AS(rt.run([] { throw std::out_of_range("x"); }), std::out_of_range);
    rt.spawn([&] {
        struct sentinel {
          bool& gone;
          ~sentinel() { gone = true; }
        } const s{unwound};
        weft::event never_set;
        never_set.wait();
      }).detach();
    (void)rt.poll_once();
  }
  CHECK(unwound);
}

TEST_CASE("a turn ends though fibers are always ready", "[guest]") {
  auto options = guest();
  options.order = GENERATE(weft::scheduling::work_stealing, weft::scheduling::fifo);
  watchdog dog{"the end of a turn"};
  weft::runtime rt{options};
  std::atomic<bool> stop{false};
  std::vector<weft::task<void>> yielders;
  for (int i = 0; i < 10; ++i) {
    yielders.push_back(rt.spawn([&] {
      while (!stop.load()) weft::yield();
    }));
  }
  for (int turn = 0; turn < 20; ++turn) {
    CHECK(rt.poll_once(100us));
    CHECK(readable(rt.wake_fd(), 0));
  }
  stop.store(true);
  loop_until(rt, [&] { return rt.live_fibers() == 0; });
}

TEST_CASE("the caller's exceptions and rounding are its own again after a turn", "[guest]") {
  weft::runtime rt{guest()};
  weft::event e;
  auto waits = rt.spawn([&] {
    try {
      throw std::runtime_error("in the fiber");
    } catch (std::runtime_error const&) {
      e.wait();
      verify(std::current_exception() != nullptr);
    }
  });
  try {
    throw std::runtime_error("in the caller");
  } catch (std::runtime_error const& caught) {
    (void)rt.poll_once();
    CHECK(std::string(caught.what()) == "in the caller");
    CHECK_THROWS_WITH(std::rethrow_exception(std::current_exception()), "in the caller");
    e.set();
    (void)rt.poll_once();
  }
  CHECK(std::current_exception() == nullptr);
  CHECK(std::uncaught_exceptions() == 0);
  CHECK(waits.ready());
  waits.get();
}

TEST_CASE("a callback at the end of a guest's task is not struck by a cancellation of who drives it", "[guest]") {
  weft::runtime rt{guest()};
  weft::channel<int> values{1};
  bool sent = false;
  auto task = rt.spawn([] {});
  task.on_done([&] {
    values.send(1);  // for which there is room
    sent = true;
  });
  {
    weft::cancel_scope scope;
    scope.cancel();
    CHECK_FALSE(rt.poll_once(1h));
  }
  CHECK(sent);
  task.wait();
  expect_no_leaks(rt);
}

TEST_CASE("wrong use of a guest is refused", "[guest][bad-input]") {
  weft::runtime own{{.workers = 1}};
  CHECK_THROWS_AS(own.poll_once(), weft::error);
  CHECK_THROWS_AS(own.wake_fd(), weft::error);
  auto two = guest();
  two.workers = 2;
  CHECK_THROWS_AS(weft::runtime{two}, std::invalid_argument);
  CHECK_THROWS_AS(weft::runtime{weft::testing::in_virtual_time(guest())}, std::invalid_argument);
  weft::runtime rt{guest()};
  rt.run([&] { CHECK_THROWS_AS(rt.poll_once(), weft::error); });
  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  auto holds = rt.spawn([&] {
    inside.store(true);
    while (!leave.load()) std::this_thread::yield();
  });
  std::thread driver([&] { (void)rt.poll_once(); });
  while (!inside.load()) std::this_thread::yield();
  CHECK_THROWS_AS(rt.poll_once(), weft::error);
  leave.store(true);
  driver.join();
  CHECK(holds.ready());
  rt.shutdown();
  CHECK_THROWS_AS(rt.poll_once(), weft::runtime_stopped);
  CHECK_THROWS_AS(rt.wake_fd(), weft::runtime_stopped);
}

TEST_CASE("a guest's task ends for a thread that waits for it, whichever thread drives", "[guest][stress]") {
  watchdog dog{"a guest's task"};
  for (std::size_t i = scaled(1'000); i > 0; --i) {
    weft::runtime rt{guest()};
    weft::event e;
    auto const t = rt.spawn([&] { e.wait(); });
    std::atomic<bool> begun{false};
    std::thread waiting{[&] {
      begun.store(true);
      t.wait();
    }};
    while (!begun.load()) std::this_thread::yield();
    // The waiter drives at first, and then sleeps until the descriptor is readable: which this takes before it.
    for (int turns = 0; turns < 3; ++turns) std::this_thread::yield();
    e.set();
    while (!t.ready()) {
      try {
        (void)rt.poll_once();
      } catch (weft::error const&) {  // NOLINT: the other one is in it
      }
    }
    waiting.join();
    dog.feed();
  }
}

TEST_CASE("a thread that waits for a guest's task runs the guest when the one that did has left", "[guest]") {
  watchdog dog{"who drives a guest"};
  weft::runtime rt{guest()};
  std::atomic<::pid_t> other{0};
  std::atomic<bool> first_runs{false};
  auto const first = rt.spawn([&] {  // keeps its thread in the guest until the other one has found that out
    first_runs = true;
    while (other.load() == 0 || !is_asleep(other.load())) std::this_thread::yield();
  });
  weft::event gate;
  auto const second = rt.spawn([&] { gate.wait(); });
  std::thread of_first{[&] { first.wait(); }};
  while (!first_runs.load()) std::this_thread::yield();
  std::thread of_second{[&] {
    other = ::gettid();
    second.wait();
  }};
  of_first.join();
  gate.set();
  of_second.join();
  CHECK(second.ready());
}

TEST_CASE("rule 1: a thread that waits for a guest's task heeds its scopes", "[guest][rule1]") {
  watchdog dog{"a thread's scopes"};
  weft::runtime rt{guest()};
  weft::event never_set;
  std::vector<weft::task<void>> tasks;
  tasks.push_back(rt.spawn([&] { never_set.wait(); }));
  auto const ways = std::array<std::function<void()>, 3>{
      [&] { tasks[0].wait(); },
      [&] { (void)weft::wait(tasks); },
      [&] {
        for (auto& t : weft::as_completed(tasks)) t.wait();
      },
  };
  bool const driven = GENERATE(false, true);  // by another thread
  std::atomic<bool> over{false};
  std::thread driver;
  if (driven) {
    driver = std::thread{[&] {
      while (!over.load()) {
        try {
          (void)rt.poll_once();
        } catch (weft::error const&) {  // NOLINT: the other one is in it
        }
      }
    }};
  }
  for (auto const& wait : ways) {
    CHECK_THROWS_AS(weft::with_timeout(1ms, wait), weft::timeout_error);
    weft::cancel_scope scope;
    std::thread canceller{[&, waiting = ::gettid()] {
      while (!is_asleep(waiting)) std::this_thread::yield();
      scope.cancel();
    }};
    CHECK_THROWS_AS(wait(), weft::cancelled);
    canceller.join();
    dog.feed();
  }
  over = true;
  if (driven) driver.join();
}

TEST_CASE("a guest is taken down on a fiber of another runtime", "[guest]") {
  watchdog dog{"the end of a guest"};
  weft::run([] {
    weft::runtime rt{guest()};
    auto const one = rt.spawn([] { weft::sleep_for(24h); });
    rt.shutdown();
    verify(one.ready());
    rt.start();
    rt.post([] { weft::sleep_for(24h); });
  });
}

TEST_CASE("rule 16: a thread may wait for a task while its runtime is taken down", "[runtime][guest][stress][rule16]") {
  watchdog dog{"the end of runtimes"};
  bool const as_guest = GENERATE(false, true);
  for (std::size_t i = scaled(1'000); i > 0; --i) {
    auto rt = std::make_unique<weft::runtime>(as_guest ? guest() : weft::runtime_options{.workers = 1});
    weft::event e;
    auto const t = rt->spawn([&] { e.wait(); });
    std::atomic<bool> begun{false};
    std::thread waiting{[&] {
      begun.store(true);
      t.wait();
    }};
    while (!begun.load()) std::this_thread::yield();
    rt.reset();
    waiting.join();
    CHECK(t.ready());
    dog.feed();
  }
}
