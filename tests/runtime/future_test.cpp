/// @file
/// promise and future: every kind of value, set and awaited by fibers and threads, and what a broken, empty or twice
/// set one answers.

#include <weft/runtime/future.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

static_assert(!std::is_copy_constructible_v<weft::promise<int>> && !std::is_copy_constructible_v<weft::future<int>>);
static_assert(std::is_nothrow_move_constructible_v<weft::promise<int>>);
static_assert(std::is_nothrow_move_assignable_v<weft::future<int>>);
static_assert(std::is_copy_constructible_v<weft::shared_future<std::unique_ptr<int>>>);
static_assert(std::is_same_v<decltype(std::declval<weft::future<int>&>().get()), int>);
static_assert(std::is_same_v<decltype(std::declval<weft::future<int&>&>().get()), int&>);
static_assert(std::is_same_v<decltype(std::declval<weft::shared_future<int> const&>().get()), int const&>);
static_assert(std::is_same_v<decltype(std::declval<weft::shared_future<int&> const&>().get()), int&>);
static_assert(std::is_same_v<decltype(std::declval<weft::shared_future<void> const&>().get()), void>);

namespace {

/// The code of the std::future_error that f() throws.
template <class F>
std::optional<std::error_code> misuse(F&& f) {
  try {
    f();
  } catch (std::future_error const& e) {
    return e.code();
  }
  return std::nullopt;
}

auto const no_state = make_error_code(std::future_errc::no_state);
auto const already_set = make_error_code(std::future_errc::promise_already_satisfied);
auto const already_retrieved = make_error_code(std::future_errc::future_already_retrieved);

weft::time_point now() { return weft::detail::deadline_after(0ns); }

/// Counts its live copies; throws when it is copied, if it is to.
struct counted {
  inline static std::atomic<int> alive{0};
  explicit counted(bool fails = false) : fails_when_copied(fails) { ++alive; }
  counted(counted const& other) : fails_when_copied(other.fails_when_copied) {
    if (fails_when_copied) throw std::runtime_error("cannot be copied");
    ++alive;
  }
  counted(counted&& other) noexcept : fails_when_copied(other.fails_when_copied) { ++alive; }
  ~counted() { --alive; }
  bool fails_when_copied;
};

}  // namespace

TEST_CASE("a future gives values, references, move-only values and void", "[future]") {
  run_on(some_workers(), [] {
    weft::promise<std::string> text;
    text.set_value("constructed in place");
    verify(text.get_future().get() == "constructed in place");

    weft::promise<std::unique_ptr<int>> owned;
    auto owned_future = owned.get_future();
    owned.set_value(std::make_unique<int>(7));
    verify(*owned_future.get() == 7);

    int target = 1;
    weft::promise<int&> reference;
    reference.set_value(target);
    int& got = reference.get_future().get();
    verify(&got == &target);

    weft::promise<void> nothing;
    nothing.set_value();
    nothing.get_future().get();

    weft::promise<std::pair<int, int>> braces;
    braces.set_value({1, 2});
    verify(braces.get_future().get().second == 2);
  });
}

TEST_CASE("get parks the fiber until the value is set, by whichever fiber", "[future]") {
  run_on(some_workers(), [] {
    weft::promise<int> p;
    auto f = p.get_future();
    verify(f.valid() && !f.ready());
    std::atomic<bool> set{false};
    auto getter = weft::spawn([&] {
      int const value = f.get();
      verify(set);
      return value;
    });
    for (int i = 0; i < 10; ++i) weft::yield();
    set = true;
    p.set_value(42);
    verify(getter.get() == 42);
    verify(!f.valid());
  });
}

TEST_CASE("a promise joins threads and fibers both ways, also without any runtime", "[future][rule18]") {
  weft::promise<int> between_threads;
  auto in_thread = between_threads.get_future();
  std::thread setter{[&] { between_threads.set_value(1); }};
  CHECK(in_thread.get() == 1);
  setter.join();

  weft::runtime rt{on(some_workers())};
  weft::promise<int> to_fiber;
  weft::promise<int> to_thread;
  auto fiber = rt.spawn([&, f = to_fiber.get_future()]() mutable { to_thread.set_value(f.get() + 1); });
  to_fiber.set_value(1);
  CHECK(to_thread.get_future().get() == 2);
  fiber.get();
  expect_no_leaks(rt);
}

TEST_CASE("an exception takes the place of the value", "[future]") {
  run_on(some_workers(), [] {
    weft::promise<int> p;
    p.set_exception(std::make_exception_ptr(std::out_of_range("this one")));
    auto f = p.get_future();
    f.wait();
    verify(f.ready());
    verify(throws<std::out_of_range>([&] { (void)f.get(); }));
    verify(!f.valid());
    weft::promise<void> bad;
    verify(throws<std::invalid_argument>([&] { bad.set_exception(nullptr); }));
    bad.set_value();
    bad.get_future().get();
  });
}

TEST_CASE("a dropped promise is broken, for who waits and who comes later", "[future][bad-input]") {
  run_on(some_workers(), [] {
    std::optional<weft::promise<int>> p{std::in_place};
    auto shared = p->get_future().share();
    auto waiting = weft::spawn([shared] { return throws<weft::broken_promise>([&] { (void)shared.get(); }); });
    for (int i = 0; i < 10; ++i) weft::yield();
    p.reset();
    verify(waiting.get());
    verify(throws<weft::error>([&] { (void)shared.get(); }));

    weft::promise<void> first;
    auto f = first.get_future();
    first = weft::promise<void>{};
    verify(throws<weft::broken_promise>([&] { f.get(); }));

    weft::promise<int> kept;
    auto value = kept.get_future();
    kept.set_value(3);
    kept = {};
    verify(value.get() == 3);
  });
}

TEST_CASE("wrong use is a std::future_error that says which", "[future][bad-input]") {
  run_on(some_workers(), [] {
    weft::promise<int> p;
    auto f = p.get_future();
    verify(misuse([&] { (void)p.get_future(); }) == already_retrieved);
    p.set_value(1);
    verify(misuse([&] { p.set_value(2); }) == already_set);
    verify(misuse([&] { p.set_exception(std::make_exception_ptr(1)); }) == already_set);
    verify(f.get() == 1);
    verify(misuse([&] { (void)f.get(); }) == no_state);
    verify(misuse([&] { f.wait(); }) == no_state);
    verify(misuse([&] { (void)f.wait_for(0s); }) == no_state);
    verify(misuse([&] { (void)f.wait_until(now()); }) == no_state);
    verify(misuse([&] { (void)f.ready(); }) == no_state);

    weft::promise<int> moved = std::move(p);
    verify(misuse([&] { p.set_value(1); }) == no_state);  // NOLINT(bugprone-use-after-move)
    verify(misuse([&] { p.set_exception(std::make_exception_ptr(1)); }) == no_state);
    verify(misuse([&] { (void)p.get_future(); }) == no_state);
    verify(misuse([&] { moved.set_value(1); }) == already_set);
    swap(p, moved);
    verify(misuse([&] { p.set_value(1); }) == already_set);

    weft::shared_future<int> const empty;
    verify(!empty.valid());
    verify(misuse([&] { (void)empty.get(); }) == no_state);
    weft::shared_future<int> const of_empty{weft::future<int>{}};
    verify(misuse([&] { of_empty.wait(); }) == no_state);
  });
}

TEST_CASE("a value that cannot be made leaves the promise to be kept", "[future][bad-input]") {
  {
    weft::promise<counted> p;
    auto f = p.get_future();
    counted const fails{true};
    CHECK(throws<std::runtime_error>([&] { p.set_value(fails); }));
    CHECK_FALSE(f.ready());
    p.set_value(counted{});
    CHECK_FALSE(f.get().fails_when_copied);
    weft::promise<counted> never_taken;
    never_taken.set_value(counted{});
  }
  CHECK(counted::alive == 0);
}

TEST_CASE("a shared future shows one value to many, as often as they like", "[future]") {
  run_on(some_workers(), [] {
    weft::promise<std::unique_ptr<int>> p;
    auto shared = p.get_future().share();
    std::vector<weft::task<int const*>> readers;
    for (int i = 0; i < 100; ++i) {
      readers.push_back(weft::spawn([shared] {
        (void)shared.get();
        return static_cast<int const*>(shared.get().get());
      }));
    }
    weft::yield();
    p.set_value(std::make_unique<int>(7));
    for (auto& r : readers) verify(r.get() == shared.get().get());
    verify(*shared.get() == 7);
  });
}

TEST_CASE("rule 13: timed waits for a future answer with bool, and take exactly the time", "[future][rule13]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::promise<int> p;
    auto f = p.get_future();
    auto const begin = now();
    verify(!f.wait_for(0s));
    verify(!f.wait_for(-1h));
    verify(!f.wait_until(begin));
    verify(now() == begin);
    verify(!f.wait_for(1500ms));
    verify(now() == begin + 1500ms);
    verify(!f.wait_until(begin + 2s));
    verify(now() == begin + 2s);
    p.set_value(1);
    verify(f.wait_for(0s));
    verify(f.wait_for(std::chrono::hours::max()));
    verify(f.wait_until(weft::time_point::min()));
    verify(now() == begin + 2s);
    verify(f.get() == 1);
  });
}

TEST_CASE("a thread's timed wait for a future ends", "[future][rule18]") {
  weft::promise<int> p;
  auto f = p.get_future();
  CHECK_FALSE(f.wait_for(0s));
  CHECK_FALSE(f.wait_for(1ms));
  p.set_value(1);
  CHECK(f.wait_for(0s));
}

TEST_CASE("every wait for a future is a cancellation point, also where it need not wait", "[future][rule1]") {
  run_on(some_workers(), [] {
    weft::promise<int> open;
    auto f = open.get_future();
    weft::promise<int> kept;
    auto ready = kept.get_future();
    kept.set_value(5);
    weft::event parked;
    auto t = weft::spawn([&] {
      parked.set();
      verify(throws<weft::cancelled>([&] { (void)f.get(); }));  // cancelled meanwhile; from here on, before
      verify(throws<weft::cancelled>([&] { f.wait(); }));
      verify(throws<weft::cancelled>([&] { (void)f.wait_for(1h); }));
      verify(throws<weft::cancelled>([&] { (void)f.wait_for(0s); }));
      verify(throws<weft::cancelled>([&] { (void)ready.get(); }));
      verify(throws<weft::cancelled>([&] { (void)ready.wait_for(0s); }));
    });
    parked.wait();
    t.cancel();
    t.get();
    verify(f.valid() && ready.valid());  // nothing has been taken
    verify(ready.get() == 5);
    open.set_value(6);
    verify(f.get() == 6);
  });
}

TEST_CASE("of many who set a promise at once, one wins", "[future][stress]") {
  watchdog dog{"setters"};
  run_on(3, [&] {
    for (std::size_t round = 0; round < scaled(3'000); ++round) {
      weft::promise<int> p;
      auto f = p.get_future();
      std::atomic<int> won{0};
      std::vector<weft::task<void>> setters;
      for (int i = 0; i < 4; ++i) {
        setters.push_back(weft::spawn([&, i] {
          if (!misuse([&] { p.set_value(i); })) ++won;
        }));
      }
      auto const value = f.get();
      verify(value >= 0 && value < 4);
      for (auto& s : setters) s.get();
      verify(won == 1);
      dog.feed();
    }
  });
}

TEST_CASE("a promise may die as soon as its future is ready, while the setter is still on its way out",
          "[future][stress]") {
  watchdog dog{"promises"};
  weft::runtime rt{on(2)};
  // Set by a thread, and by a fiber of another worker; awaited by a fiber that at once frees all.
  auto const rounds = scaled(20'000);
  for (std::size_t round = 0; round < rounds; ++round) {
    auto p = std::make_unique<weft::promise<std::string>>();
    auto* const raw = p.get();
    auto waiting = rt.spawn([p = std::move(p)]() mutable {
      auto f = p->get_future();
      auto const text = f.get();
      f = {};
      p.reset();
      return text.size();
    });
    raw->set_value(std::string(40, 'x'));
    verify(waiting.get() == 40);
    dog.feed();
  }
  expect_no_leaks(rt);
}

TEST_CASE("H6: setting, time and cancellation race for a future's waiters", "[future][hazard][H6][stress]") {
  watchdog dog{"future waiters"};
  run_on(3, [&] {
    for (std::size_t round = 0; round < scaled(3'000); ++round) {
      weft::promise<int> p;
      auto shared = p.get_future().share();
      std::atomic<int> notified{0};
      std::atomic<int> timed_out{0};
      std::vector<weft::task<void>> waiting;
      for (int i = 0; i < 6; ++i) {
        waiting.push_back(weft::spawn([&, i, shared] {
          if (i % 2 == 0) {
            verify(shared.get() == 1);
            ++notified;
          } else {
            ++(shared.wait_for(std::chrono::microseconds(i)) ? notified : timed_out);
          }
        }));
      }
      auto setter = weft::spawn([&] { p.set_value(1); });
      waiting[0].cancel();
      int cancelled = 0;
      for (auto& w : waiting) {
        try {
          w.get();
        } catch (weft::cancelled const&) {
          ++cancelled;
        }
      }
      setter.get();
      verify(cancelled <= 1 && notified + timed_out + cancelled == 6);
      dog.feed();
    }
  });
}
