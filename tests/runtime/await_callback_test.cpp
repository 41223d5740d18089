/// @file
/// await_callback: an answer at once, later, from anywhere, twice, never, and one that comes too late.

#include <weft/runtime/await_callback.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::await_callback;
using weft::await_callback_for;
using weft::resolver;

static_assert(std::is_nothrow_copy_constructible_v<resolver<int>>);
static_assert(std::is_nothrow_invocable_v<resolver<int> const&, int>);
static_assert(std::is_nothrow_invocable_v<resolver<void> const&>);
static_assert(std::is_invocable_v<resolver<std::string> const&, char const*>);
static_assert(!std::is_invocable_v<resolver<int> const&, std::string>);

namespace {

/// An API of the old kind: answers on a thread of its own.
class service {
public:
  ~service() {
    for (auto& t : threads_) t.join();
  }
  void ask(int question, std::function<void(int)> answer) {
    threads_.emplace_back([question, answer = std::move(answer)] { answer(question * 2); });
  }
  /// As C has it.
  void ask(int question, void (*answer)(void*, int), void* data) {
    threads_.emplace_back([question, answer, data] { answer(data, question * 3); });
  }

private:
  std::vector<std::thread> threads_;
};

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved const&) { throw std::runtime_error("not to be had"); }
};

}  // namespace

TEST_CASE("the answer may come at once, from a fiber, or from a thread", "[await_callback]") {
  service s;
  run_on(some_workers(), [&] {
    verify(await_callback<int>([](auto resolve) { verify(resolve(5)); }) == 5);
    weft::task<void> answering;
    verify(await_callback<std::string>([&](auto resolve) {
             answering = weft::spawn([resolve] {
               weft::sleep_for(10us);
               verify(resolve("later"));
             });
           }) == "later");
    answering.get();
    for (int i = 0; i < 20; ++i) verify(await_callback<int>([&](auto resolve) { s.ask(i, resolve); }) == 2 * i);
    // In C, through a pointer.
    for (int i = 0; i < 20; ++i) {
      verify(await_callback<int>([&](auto resolve) {
               using handle = decltype(resolve);
               s.ask(
                   i,
                   [](void* data, int answer) {
                     std::unique_ptr<handle> const owned{static_cast<handle*>(data)};
                     (*owned)(answer);
                   },
                   new handle(resolve));
             }) == 3 * i);
    }
  });
  // On a plain thread.
  CHECK(await_callback<int>([&](auto resolve) { s.ask(21, resolve); }) == 42);
}

TEST_CASE("answers may be void, references, and what can only be moved", "[await_callback]") {
  run_on(some_workers(), [] {
    bool told = false;
    await_callback<void>([&](auto resolve) { told = resolve(); });
    verify(told);
    int here = 0;
    verify(&await_callback<int&>([&](auto resolve) { resolve(here); }) == &here);
    auto p = await_callback<std::unique_ptr<int>>([](auto resolve) { resolve(std::make_unique<int>(3)); });
    verify(*p == 3);
  });
}

TEST_CASE("a second answer is refused, from whichever copy", "[await_callback]") {
  run_on(some_workers(), [] {
    std::optional<resolver<int>> kept;
    verify(await_callback<int>([&](auto resolve) {
             kept = resolve;
             verify(resolve(1));
             verify(!resolve(2));
             verify(!resolve.reject(std::runtime_error("no")));
           }) == 1);
    verify(!(*kept)(3));
    verify(!kept->reject(std::make_exception_ptr(4)));
  });
}

TEST_CASE("reject throws where the answer is awaited, and so does a value that cannot be made",
          "[await_callback][bad-input]") {
  run_on(some_workers(), [] {
    verify(throws<std::out_of_range>(
        [] { (void)await_callback<int>([](auto resolve) { verify(resolve.reject(std::out_of_range("far"))); }); }));
    verify(throws<int>(
        [] { (void)await_callback<int>([](auto resolve) { resolve.reject(std::make_exception_ptr(7)); }); }));
    verify(throws<std::invalid_argument>(
        [] { (void)await_callback<int>([](auto resolve) { resolve.reject(std::exception_ptr{}); }); }));
    verify(throws<std::runtime_error>([] {
      (void)await_callback<throws_when_moved>([](auto resolve) {
        throws_when_moved const value;
        verify(resolve(value));  // an answer all the same
        verify(!resolve(value));
      });
    }));
  });
}

TEST_CASE("what leaves start leaves await_callback, and an answer after that is refused", "[await_callback]") {
  run_on(some_workers(), [] {
    std::optional<resolver<int>> kept;
    verify(throws<std::logic_error>([&] {
      (void)await_callback<int>([&](auto resolve) {
        kept = resolve;
        throw std::logic_error("cannot ask");
      });
    }));
    (void)(*kept)(1);  // touches nothing of the caller's
  });
}

TEST_CASE("an answer that can never come is an error, never a hang", "[await_callback][bad-input]") {
  run_on(some_workers(), [] {
    auto const broken = [](auto start) {
      try {
        (void)await_callback<int>(start);
        return false;
      } catch (weft::broken_promise const& e) {
        return std::string(e.what()).find("await_callback") != std::string::npos;
      }
    };
    verify(broken([](auto) {}));
    verify(broken([](auto resolve) {
      auto copy = std::make_unique<resolver<int>>(resolve);
      std::vector<resolver<int>> more(10, *copy);
    }));
    // Dropped later, elsewhere.
    std::vector<weft::task<void>> holders;
    verify(broken([&](auto resolve) {
      for (int i = 0; i < 3; ++i) {
        holders.push_back(weft::spawn([resolve, i] { weft::sleep_for(std::chrono::microseconds(i)); }));
      }
    }));
    for (auto& t : holders) t.get();
    // A copy that dies after another has answered changes nothing.
    verify(await_callback<int>([](auto resolve) {
             auto copy = std::make_unique<resolver<int>>(resolve);
             (*copy)(5);
           }) == 5);
  });
}

TEST_CASE("a caller that is cancelled leaves at once; a late answer is refused and touches nothing",
          "[await_callback][cancel]") {
  run_on(some_workers(), [] {
    std::optional<resolver<std::string>> kept;
    weft::event asked;
    auto caller = weft::spawn([&] {
      return await_callback<std::string>([&](auto resolve) {
        kept = std::move(resolve);
        asked.set();
      });
    });
    asked.wait();
    caller.cancel();
    verify(throws<weft::cancelled>([&] { (void)caller.get(); }));
    verify(!(*kept)("late"));
    kept.reset();
    // Cancelled before: nothing is begun.
    bool begun = false;
    auto early = weft::spawn({.start = weft::start::eager}, [&] {
      while (!weft::this_fiber::cancel_requested()) {
        weft::waiter w{"the cancellation", weft::cancellation::ignored};
        (void)w.wait(weft::detail::deadline_after(1us));
      }
      (void)await_callback<int>([&](auto resolve) {
        begun = true;
        resolve(1);
      });
    });
    early.cancel();
    early.wait();
    verify(!begun);
  });
}

TEST_CASE("a limit: an answer in time, none in time, and one that comes while start runs", "[await_callback]") {
  run_with(weft::testing::in_virtual_time(), [] {
    std::vector<weft::task<bool>> late;
    auto const ask = [&](std::chrono::milliseconds answers_after) {
      return [&late, answers_after](auto resolve) {
        late.push_back(weft::spawn([resolve, answers_after] {
          weft::sleep_for(answers_after);
          return resolve(1);
        }));
      };
    };
    auto const begin = weft::testing::now();
    verify(await_callback_for<int>(20ms, ask(10ms)) == 1);
    verify(weft::testing::now() - begin == 10ms);
    verify(late.back().get());
    verify(throws<weft::timeout_error>([&] { (void)await_callback_for<int>(20ms, ask(30ms)); }));
    verify(weft::testing::now() - begin == 30ms);
    verify(!late.back().get());  // refused
    verify(weft::await_callback_until<int>(weft::testing::now() + 20ms, ask(10ms)) == 1);
    // With no time it must come at once.
    verify(await_callback_for<int>(0ms, [](auto resolve) { resolve(6); }) == 6);
    verify(throws<weft::timeout_error>([&] { (void)await_callback_for<int>(0ms, ask(0ms)); }));
    verify(throws<weft::timeout_error>([&] { (void)await_callback_for<int>(-1h, ask(0ms)); }));
    verify(await_callback_for<int>(std::chrono::hours::max(), ask(1ms)) == 1);
    for (auto& t : late) t.wait();
  });
}

TEST_CASE("an accepted answer arrives, whatever races with it: an answer, a cancellation, a deadline",
          "[await_callback][stress]") {
  std::atomic<std::size_t> accepted{0};
  std::atomic<std::size_t> arrived{0};
  auto const rounds = scaled(3000);
  run_on(some_workers(), [&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      weft::task<void> first;
      weft::task<void> second;
      weft::event asked;
      auto caller = weft::spawn([&] {
        std::chrono::nanoseconds const limit = i % 4 == 1 ? std::chrono::nanoseconds{24h}
                                                          : std::chrono::microseconds(i % 7);
        (void)await_callback_for<std::unique_ptr<int>>(limit, [&](auto resolve) {
          auto const answer = [&accepted, resolve] {
            if (resolve(std::make_unique<int>(1))) ++accepted;
          };
          first = weft::spawn(answer);
          second = weft::spawn(answer);
          asked.set();
        });
        ++arrived;
      });
      asked.wait();
      if (i % 3 == 0) caller.cancel();
      caller.wait();
      (void)caller.exception();
      first.get();
      second.get();
    }
  });
  CHECK(accepted == arrived);
  CHECK(accepted > 0);
}

TEST_CASE("the same for 2000 seeds in a simulation", "[await_callback][simulation]") {
  std::size_t cancelled = 0;
  std::size_t answered = 0;
  for (std::uint64_t seed = 0; seed < scaled(2000); ++seed) {
    weft::testing::simulation sim{seed};
    sim.run([&] {
      std::atomic<int> accepted{0};
      std::atomic<int> arrived{0};
      std::vector<weft::task<void>> answering;
      auto caller = weft::spawn([&] {
        (void)await_callback<int>([&](auto resolve) {
          for (int i = 0; i < 2; ++i) {
            answering.push_back(weft::spawn([&accepted, resolve] {
              weft::yield();
              accepted += resolve(1) ? 1 : 0;
            }));
          }
        });
        ++arrived;
      });
      for (int i = 0; i < 3; ++i) weft::yield();
      caller.cancel();
      caller.wait();
      for (auto& t : answering) t.get();
      verify(accepted == arrived);
      (arrived != 0 ? answered : cancelled) += 1;
    });
  }
  CHECK(cancelled > 0);
  CHECK(answered > 0);
}
