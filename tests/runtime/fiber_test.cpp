/// @file
/// weft::fiber: what std::jthread does, and where it differs.

#include <weft/runtime/fiber.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/future.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

static_assert(!std::is_copy_constructible_v<weft::fiber> && !std::is_copy_assignable_v<weft::fiber>);
static_assert(std::is_nothrow_move_constructible_v<weft::fiber> && std::is_nothrow_move_assignable_v<weft::fiber>);
static_assert(std::is_nothrow_default_constructible_v<weft::fiber> && std::is_nothrow_swappable_v<weft::fiber>);
static_assert(!std::is_convertible_v<void (*)(), weft::fiber> && std::is_constructible_v<weft::fiber, void (*)()>);
static_assert(!std::is_constructible_v<weft::fiber, void (*)(int)>);

namespace {

/// Whether f() throws a std::system_error of that kind.
template <class F>
bool refused(std::errc why, F&& f) {
  try {
    f();
  } catch (std::system_error const& e) {
    return e.code() == why;
  }
  return false;
}

void park_forever() {
  weft::event never_set;
  never_set.wait();
}

/// As run_with(), for an `f` that leaves detached fibers behind, which may still be about to end.
template <class F>
void run_and_drain(weft::runtime_options options, F&& f) {
  weft::runtime rt{std::move(options)};
  rt.run(std::forward<F>(f));
  rt.shutdown();
  expect_no_leaks(rt);
}

weft::runtime_options with_handler(unhandled_log& log) {
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  return options;
}

}  // namespace

TEST_CASE("a fiber runs its callable with its arguments, and is joined once", "[fiber]") {
  run_on(some_workers(), [] {
    std::string out;
    weft::fiber f{[&](std::string const& a, std::unique_ptr<int> b) { out = a + std::to_string(*b); }, "a",
                  std::make_unique<int>(1)};
    verify(f.joinable());
    f.join();
    verify(out == "a1");
    verify(!f.joinable());
    int target = 0;
    weft::fiber by_reference{[](int& to) { to = 5; }, std::ref(target)};
    by_reference.join();
    verify(target == 5);
    struct counter {
      int n = 0;
      void add(int more) { n += more; }
    } c;
    weft::fiber member{&counter::add, &c, 3};
    member.join();
    verify(c.n == 3);
  });
}

TEST_CASE("a fiber knows its id, and so does its handle", "[fiber]") {
  run_on(some_workers(), [] {
    weft::fiber::id inside;
    weft::fiber f{[&] { inside = weft::this_fiber::get_id(); }};
    auto const outside = f.get_id();
    verify(outside != weft::fiber::id{});
    f.join();
    verify(inside == outside);
    verify(f.get_id() == weft::fiber::id{});
    verify(weft::fiber{}.get_id() == weft::fiber::id{});
  });
}

TEST_CASE("a callable that takes a stop token gets one, and is never cancelled by its handle", "[fiber]") {
  run_on(some_workers(), [] {
    std::atomic<bool> finished{false};
    {
      weft::event running;
      weft::fiber f{[&](std::stop_token const& token, int n) {
                      verify(n == 7 && token.stop_possible());
                      running.set();
                      while (!token.stop_requested()) weft::sleep_for(10us);
                      weft::sleep_for(10us);  // it is not cancelled: it may still wait
                      verify(!weft::this_fiber::cancel_requested());
                      finished = true;
                    },
                    7};
      running.wait();
      verify(!f.get_stop_token().stop_requested());
    }
    verify(finished);

    // Dropped before it has begun, it still runs, as a thread would.
    bool ran = false;
    {
      weft::fiber f{[&](std::stop_token const& token) { ran = token.stop_requested(); }};
    }
    verify(ran);
  });
}

TEST_CASE("any other callable is cancelled by request_stop and by the handles end", "[fiber][rule14]") {
  run_on(some_workers(), [] {
    std::atomic<int> reasons{0};
    auto const note = [&](weft::cancel_reason expected, weft::event& running) {
      return [&reasons, &running, expected] {
        try {
          running.set();
          park_forever();
        } catch (weft::cancelled const& c) {
          if (c.reason() == expected) ++reasons;
          throw;
        }
      };
    };
    {
      weft::event running;
      weft::fiber f{note(weft::cancel_reason::handle_dropped, running)};
      running.wait();
    }
    verify(reasons == 1);
    weft::event running;
    weft::fiber f{note(weft::cancel_reason::user, running)};
    running.wait();
    verify(f.request_stop());
    verify(!f.request_stop());
    f.join();
    verify(reasons == 2);
  });
}

TEST_CASE("stop is requested once, through handle, source or copies of it", "[fiber]") {
  run_on(some_workers(), [] {
    weft::fiber none;
    verify(!none.request_stop());
    verify(!none.get_stop_token().stop_possible() && !none.get_stop_source().stop_possible());

    weft::event told;
    weft::fiber f{[&](std::stop_token const& token) {
      std::stop_callback const callback{token, [&] { told.set(); }};
      told.wait();
    }};
    verify(f.get_stop_source().request_stop());
    verify(!f.request_stop());
    f.join();
    verify(f.get_stop_token().stop_requested());
  });
}

TEST_CASE("assignment stops and joins what was there, and moves leave nothing behind", "[fiber][rule14]") {
  run_on(some_workers(), [] {
    std::atomic<int> ended{0};
    auto const waits = [&](std::stop_token const& token) {
      while (!token.stop_requested()) weft::yield();
      ++ended;
    };
    weft::fiber a{waits};
    auto const id = a.get_id();
    weft::fiber b = std::move(a);
    verify(!a.joinable() && b.joinable() && b.get_id() == id);  // NOLINT(bugprone-use-after-move)
    verify(!a.request_stop());
    b = weft::fiber{waits};
    verify(ended == 1);
    verify(!b.get_stop_token().stop_requested());
    swap(a, b);
    verify(a.joinable() && !b.joinable());
    auto& same = a;
    a = std::move(same);
    verify(a.joinable());
    a = weft::fiber{};
    verify(ended == 2 && !a.joinable());
    verify(!a.get_stop_token().stop_possible());
  });
}

TEST_CASE("a fiber that is not joinable says so", "[fiber][bad-input]") {
  run_and_drain(on(some_workers()), [] {
    auto const is_refused = [](weft::fiber& f) {
      return refused(std::errc::invalid_argument, [&] { f.join(); }) &&
             refused(std::errc::invalid_argument, [&] { f.detach(); }) &&
             refused(std::errc::invalid_argument, [&] { f.cancel(); });
    };
    weft::fiber none;
    verify(is_refused(none));
    weft::fiber joined{[] {}};
    joined.join();
    verify(is_refused(joined));
    weft::fiber moved{[] {}};
    weft::fiber const other = std::move(moved);
    verify(is_refused(moved));  // NOLINT(bugprone-use-after-move)
    weft::event done;
    weft::fiber detached{[&] { done.set(); }};
    detached.detach();
    verify(is_refused(detached));
    done.wait();
    weft::spawn_options options;
    options.detached = true;
    weft::event done_too;
    weft::fiber from_the_start{options, [&] { done_too.set(); }};
    verify(is_refused(from_the_start));
    done_too.wait();
  });
}

TEST_CASE("empty callables are refused, and a place without a runtime", "[fiber][bad-input]") {
  run_on(some_workers(), [] {
    verify(throws<std::invalid_argument>([] { weft::fiber const f{std::function<void()>{}}; }));
    verify(throws<std::invalid_argument>([] { weft::fiber const f{std::function<void(std::stop_token)>{}}; }));
    verify(throws<std::invalid_argument>([] { weft::fiber const f{static_cast<void (*)()>(nullptr)}; }));
    weft::spawn_options options;
    options.stack_size = 1;
    verify(throws<std::invalid_argument>([&] { weft::fiber const f{options, [] {}}; }));
  });
  CHECK(throws<weft::no_runtime>([] { weft::fiber const f{[] {}}; }));
  weft::runtime rt{on(1)};
  rt.shutdown();
  CHECK(throws<weft::runtime_stopped>([&] { weft::fiber const f{rt, [] {}}; }));
}

TEST_CASE("rule 15: a fiber that joins itself is refused, and one whose handle dies on it is detached",
          "[fiber][rule15][bad-input]") {
  unhandled_log log;
  run_and_drain(on(some_workers(), with_handler(log)), [] {
    weft::event handed_over;
    std::optional<weft::fiber> self;
    weft::event done;
    weft::spawn_options options;
    options.name = "own";
    self.emplace(options, [&] {
      handed_over.wait();
      verify(refused(std::errc::resource_deadlock_would_occur, [&] { self->join(); }));
      verify(self->joinable());
      self.reset();
      done.set();
    });
    handed_over.set();
    done.wait();
  });
  REQUIRE(log.lines().size() == 1);
  CHECK(log.lines()[0].find("own: ") == 0);
}

TEST_CASE("an exception that leaves the callable goes to the handler", "[fiber]") {
  unhandled_log log;
  run_with(on(some_workers(), with_handler(log)), [] {
    weft::spawn_options options;
    options.name = "joined";
    weft::fiber joined{options, [] { throw std::runtime_error("a"); }};
    joined.join();
    options.name = "dropped";
    weft::fiber dropped{options, [](std::stop_token const&) { throw std::runtime_error("b"); }};
  });
  CHECK(log.lines() == std::vector<std::string>{"joined: a", "dropped: b"});
}

TEST_CASE("join is a cancellation point, and the fiber stays joinable", "[fiber][rule3]") {
  run_on(some_workers(), [] {
    weft::event gate;
    weft::fiber f{[&](std::stop_token const&) { gate.wait(); }};
    weft::event joining;
    auto joiner = weft::spawn([&] {
      joining.set();
      f.join();
    });
    joining.wait();
    joiner.cancel();
    verify(throws<weft::cancelled>([&] { joiner.get(); }));
    verify(f.joinable());
    gate.set();
    f.join();
  });
}

TEST_CASE("rule 7: the end of a handle is shielded: a cancelled owner still waits", "[fiber][rule7]") {
  run_on(some_workers(), [] {
    std::atomic<bool> ended{false};
    std::atomic<bool> joined_first{false};
    weft::event parked;
    auto owner = weft::spawn([&] {
      {
        weft::fiber f{[&](std::stop_token const& token) {
          while (!token.stop_requested()) weft::yield();
          for (int i = 0; i < 20; ++i) weft::yield();
          ended = true;
        }};
        try {
          parked.set();
          park_forever();
        } catch (weft::cancelled const&) {
        }
      }  // cancelled, and not unwinding
      joined_first = ended.load();
    });
    parked.wait();
    owner.cancel();
    owner.get();
    verify(joined_first);
  });
}

TEST_CASE("threads own fibers, and may do so after the runtime is gone", "[fiber][rule16][rule18]") {
  std::optional<weft::fiber> outlives;
  {
    weft::runtime rt{on(some_workers())};
    std::atomic<int> ran{0};
    weft::fiber f{rt, [&](std::stop_token const&) { ++ran; }};
    f.join();
    CHECK(ran == 1);
    std::thread{[&] { weft::fiber const dropped{rt, [&] { park_forever(); }}; }}.join();
    outlives.emplace(rt, [&] { park_forever(); });
    rt.shutdown();
    expect_no_leaks(rt);
  }
  CHECK(outlives->joinable());
  outlives->cancel();
  outlives->join();
  CHECK_FALSE(outlives->joinable());
}

TEST_CASE("fibers are dropped while they begin, run and end", "[fiber][stress]") {
  run_and_drain(on(some_workers()), [] {
    for (std::size_t round = 0; round < scaled(5'000); ++round) {
      weft::fiber a{[] { weft::yield(); }};
      weft::fiber b{[](std::stop_token const& token) {
        while (!token.stop_requested()) weft::yield();
      }};
      for (std::size_t i = 0; i < round % 4; ++i) weft::yield();
      if (round % 3 == 0) {
        b.detach();
        (void)b.get_stop_source().request_stop();
      }
    }
  });
}
