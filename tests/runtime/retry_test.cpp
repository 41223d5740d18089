/// @file
/// retry: how often, how long between, and what ends it; in virtual time.

#include <weft/runtime/retry.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::retry_policy;

namespace {

using times = std::vector<std::chrono::nanoseconds>;

/// Calls, and when they were made since the beginning; all but the last of `fail` calls fail.
struct flaky {
  explicit flaky(unsigned calls_that_fail) : fail(calls_that_fail) {}
  unsigned fail;
  weft::time_point begin = weft::testing::now();
  times at{};

  int operator()(unsigned attempt) {
    at.push_back(weft::testing::now() - begin);
    verify(attempt == at.size());
    if (attempt <= fail) throw std::runtime_error("call " + std::to_string(attempt));
    return static_cast<int>(attempt);
  }
};

std::string message(retry_policy const& how) {
  try {
    weft::retry(how, [] {});
    return "accepted";
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("calls are made until one returns; each wait is twice as long as the one before, up to a limit", "[retry]") {
  run_with(weft::testing::in_virtual_time(), [] {
    flaky f{6};
    verify(weft::retry({.attempts = 10, .backoff = 100ms, .max_backoff = 1s, .jitter = 0}, f) == 7);
    verify(f.at == times{0ms, 100ms, 300ms, 700ms, 1500ms, 2500ms, 3500ms});
    flaky tripled{3};
    verify(weft::retry({.attempts = 4, .backoff = 10ms, .factor = 3, .jitter = 0}, tripled) == 4);
    verify(tripled.at == times{0ms, 10ms, 40ms, 130ms});
    flaky at_once{0};
    verify(weft::retry({}, at_once) == 1);
    verify(at_once.at == times{0ms});
    flaky without_waits{3};
    verify(weft::retry({.attempts = 4, .backoff = 0ns}, without_waits) == 4);
    verify(without_waits.at == times(4, 0ms));
  });
}

TEST_CASE("when the attempts are used up, the last exception leaves", "[retry]") {
  run_with(weft::testing::in_virtual_time(), [] {
    flaky f{100};
    std::string what;
    try {
      weft::retry(weft::policy{.attempts = 3, .backoff = 1s, .jitter = 0}, f);
    } catch (std::runtime_error const& e) {
      what = e.what();
    }
    verify(what == "call 3");
    verify(f.at == times{0s, 1s, 3s});
    int calls = 0;
    verify(throws<int>([&] {
      weft::retry({.attempts = 1}, [&] {
        ++calls;
        throw 5;
      });
    }));
    verify(calls == 1);
  });
}

TEST_CASE("a budget counts calls and waits: a wait that would end later is not begun", "[retry]") {
  run_with(weft::testing::in_virtual_time(), [] {
    flaky f{100};
    verify(throws<std::runtime_error>(
        [&] { weft::retry({.attempts = 100, .backoff = 1s, .jitter = 0, .budget = 7s}, f); }));
    verify(f.at == times{0s, 1s, 3s, 7s});
    auto const begin = weft::testing::now();
    unsigned calls = 0;
    verify(throws<int>([&] {
      weft::retry({.attempts = 100, .backoff = 1s, .factor = 1, .jitter = 0, .budget = 10s}, [&] {
        ++calls;
        weft::sleep_for(3s);
        throw 1;
      });
    }));
    verify(calls == 3 && weft::testing::now() - begin == 11s);  // the third call began in time
    calls = 0;
    verify(throws<int>([&] {
      weft::retry({.attempts = 3, .backoff = 1ns, .jitter = 0, .budget = 0s}, [&] {
        ++calls;
        throw 1;
      });
    }));
    verify(calls == 1);
  });
}

TEST_CASE("a predicate says which exceptions are worth another call", "[retry]") {
  run_with(weft::testing::in_virtual_time(), [] {
    std::vector<int> seen;
    auto const fails_with_more = [&]() -> int {
      seen.push_back(static_cast<int>(seen.size()));
      if (seen.size() == 1) throw std::system_error(std::make_error_code(std::errc::timed_out));
      if (seen.size() == 2) throw std::out_of_range("range");
      throw std::logic_error("a bug");
    };
    retry_policy how{.attempts = 10};
    how.retry_if = weft::retry_on<std::system_error, std::out_of_range>();
    verify(throws<std::logic_error>([&] { weft::retry(how, fails_with_more); }));
    verify(seen.size() == 3);
    // One that throws itself: that is what leaves.
    how.retry_if = [](std::exception_ptr const&) -> bool { throw 8; };
    verify(throws<int>([&] { weft::retry(how, []() -> int { throw std::runtime_error("x"); }); }));
  });
}

TEST_CASE("cancelled is never retried, neither while f runs nor between two calls", "[retry][cancel]") {
  run_on(some_workers(), [] {
    int calls = 0;
    weft::event running;
    auto in_f = weft::spawn([&] {
      weft::retry({.attempts = 5, .backoff = 0ns}, [&] {
        ++calls;
        running.set();
        weft::sleep_for(24h);
      });
    });
    running.wait();
    in_f.cancel();
    verify(throws<weft::cancelled>([&] { in_f.get(); }));
    verify(calls == 1);

    calls = 0;
    weft::event failed;
    auto between = weft::spawn([&] {
      weft::retry({.attempts = 5, .backoff = 24h, .max_backoff = 24h, .jitter = 0}, [&] {
        ++calls;
        failed.set();
        throw 1;
      });
    });
    failed.wait();
    between.cancel();
    verify(throws<weft::cancelled>([&] { between.get(); }));
    verify(calls == 1);

    // Without waits, too; and one that turns its cancellation into a failure of its own is stopped all the same.
    calls = 0;
    auto stubborn = weft::spawn([&] {
      weft::retry({.attempts = 5, .backoff = 0ns}, [&] {
        ++calls;
        while (!weft::this_fiber::cancel_requested()) std::this_thread::yield();
        throw std::runtime_error("swallowed");
      });
    });
    stubborn.cancel();
    verify(throws<weft::cancelled>([&] { stubborn.get(); }));
    verify(calls <= 1);
    // Somebody else's cancellation is not retried either.
    calls = 0;
    auto child = weft::spawn([] { weft::sleep_for(24h); });
    child.cancel();
    verify(throws<weft::cancelled>([&] {
      weft::retry({.attempts = 5, .backoff = 0ns}, [&] {
        ++calls;
        child.get();
      });
    }));
    verify(calls == 1);
  });
}

TEST_CASE("jitter draws within its part of the wait, differs between seeds, and repeats with its seed",
          "[retry][simulation]") {
  auto const run = [](std::uint64_t seed, double jitter) {
    weft::testing::simulation sim{seed};
    return sim.run([jitter] {
      flaky f{5};
      weft::retry({.attempts = 6, .backoff = 1s, .factor = 1, .jitter = jitter}, f);
      times waits;
      for (std::size_t i = 1; i < f.at.size(); ++i) waits.push_back(f.at[i] - f.at[i - 1]);
      return waits;
    });
  };
  std::set<times> different;
  auto shortest = std::chrono::nanoseconds::max();
  std::chrono::nanoseconds longest{0};
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    auto const waits = run(seed, 1.0);
    CHECK(waits == run(seed, 1.0));
    different.insert(waits);
    for (auto const w : waits) {
      CHECK((w >= 0ns && w <= 1s));
      shortest = std::min(shortest, w);
      longest = std::max(longest, w);
    }
    for (auto const w : run(seed, 0.1)) CHECK((w >= 900ms && w <= 1s));
    CHECK(run(seed, 0) == times(5, 1s));
  }
  CHECK(different.size() == 200);
  CHECK(shortest < 50ms);  // of 1000 draws
  CHECK(longest > 950ms);
}

TEST_CASE("on a thread, and in real time, it does the same", "[retry]") {
  int calls = 0;
  auto const second_time_lucky = [&] {
    if (++calls % 2 == 1) throw std::runtime_error("not yet");
    return std::make_unique<int>(calls);
  };
  CHECK(*weft::retry({.backoff = 1us}, second_time_lucky) == 2);
  run_on(some_workers(), [&] {
    calls = 0;
    verify(*weft::retry({.backoff = 1us}, second_time_lucky) == 2);
    int here = 0;
    verify(&weft::retry({}, [&]() -> int& { return here; }) == &here);
  });
}

TEST_CASE("a policy out of range is refused by name", "[retry][bad-input]") {
  CHECK(message({.attempts = 0}).find("attempts is 0") != std::string::npos);
  CHECK(message({.backoff = -1ns}).find("backoff is negative") != std::string::npos);
  CHECK(message({.factor = 0.5}).find("factor is 0.5") != std::string::npos);
  CHECK(message({.factor = std::numeric_limits<double>::quiet_NaN()}).find("factor") != std::string::npos);
  CHECK(message({.max_backoff = -1s}).find("max_backoff is negative") != std::string::npos);
  CHECK(message({.jitter = -0.1}).find("jitter is -0.1") != std::string::npos);
  CHECK(message({.jitter = 1.5}).find("jitter is 1.5") != std::string::npos);
  CHECK(message({.jitter = std::numeric_limits<double>::quiet_NaN()}).find("jitter") != std::string::npos);
  CHECK(message({.budget = -1s}).find("budget is negative") != std::string::npos);
  CHECK(message({.factor = std::numeric_limits<double>::infinity(), .max_backoff = std::chrono::nanoseconds::max()}) ==
        "accepted");
}

TEST_CASE("the longest waits there are do not overflow", "[retry][bad-input]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto sleeper = weft::spawn([] {
      constexpr auto longest = std::chrono::nanoseconds::max();
      weft::retry({.attempts = 3, .backoff = longest, .factor = 1e300, .max_backoff = longest, .jitter = 0},
                  [] { throw 1; });
    });
    weft::sleep_for(24h);
    verify(!sleeper.ready());
    sleeper.cancel();
    verify(throws<weft::cancelled>([&] { sleeper.get(); }));
    flaky f{3};
    weft::retry({.attempts = 4, .backoff = 1ns, .factor = 1e18, .max_backoff = 10s, .jitter = 0}, f);
    verify(f.at == times{0ns, 1ns, 10s + 1ns, 20s + 1ns});
  });
}
