/// @file
/// Guards of stacks where the kernel cannot install them by advice, and where it cannot install them at all.

#include "faults.hpp"

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/gather.hpp>
#include <weft/runtime/generator.hpp>
#include <weft/runtime/race.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include "stack_pool.hpp"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

using namespace weft::test;
using weft::detail::guard_kind;
using weft::detail::stack;
using weft::detail::stack_cache;
using weft::detail::stack_pool;

namespace {

void never_entered(weft::detail::transfer) {}

/// For as long as it lives, the kernel behaves as said.
class kernel {
public:
  kernel(bool without_advice, bool without_protection)
      : advice_(faults::no_guard_advice.exchange(without_advice)),
        protection_(faults::no_protection.exchange(without_protection)) {}
  kernel(kernel const&) = delete;
  ~kernel() {
    faults::no_guard_advice.store(advice_);
    faults::no_protection.store(protection_);
  }

private:
  bool advice_;
  bool protection_;
};

/// Spawns fibers that all need stacks at once.  @returns how many ran
int run_at_once(int count) {
  std::atomic<int> ran{0};
  int without_stack = 0;
  weft::event go;
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < count; ++i) {
    tasks.push_back(weft::spawn([&] {
      ran.fetch_add(1);
      go.wait();
    }));
  }
  weft::testing::run_until_blocked();
  go.set();
  for (auto& t : tasks) {
    try {
      t.get();
    } catch (weft::stack_unavailable const&) {
      ++without_stack;
    }
  }
  verify(ran.load() + without_stack == count);
  return ran.load();
}

}  // namespace

TEST_CASE("H13: where advice cannot guard stacks, protection does", "[stack][failure][hazard][H12][H13]") {
  kernel const old{true, false};
  auto const before = faults::protections_made.load();
  {
    stack_pool pool{64 * 1024, &never_entered};
    CHECK(pool.guard() == guard_kind::protection);
  }
  auto const number = GENERATE(std::size_t{0}, std::size_t{250});
  auto const below = GENERATE(std::size_t{1}, std::size_t{4096});
  auto const d = run_in_child([&] {
    stack_pool pool{64 * 1024, &never_entered};
    stack_cache cache{pool};
    stack* last = nullptr;
    for (std::size_t i = 0; i <= number; ++i) last = cache.take(2);
    *const_cast<std::byte volatile*>(last->bottom) = std::byte{1};  // the stack itself is no guard
    *const_cast<std::byte volatile*>(last->bottom - below) = std::byte{1};
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGSEGV);
  run_with({.workers = 1}, [] { verify(run_at_once(300) == 300); });
  CHECK(faults::protections_made.load() >= before + 300);
}

TEST_CASE("H13: a stack that cannot be protected is never used, and its task ends with stack_unavailable",
          "[stack][failure][hazard][H13][rule17]") {
  kernel const old{true, false};
  weft::runtime rt{{.workers = 1}};
  {
    kernel const at_its_limit{true, true};
    CHECK_THROWS_AS(rt.run([] {}), weft::stack_unavailable);
    CHECK(rt.live_fibers() == 0);
  }
  rt.run([] { verify(run_at_once(50) == 50); });
  {
    kernel const at_its_limit{true, true};
    // On the stacks that are there.
    rt.run([] {
      auto const ran = run_at_once(300);
      verify(ran >= 49 && ran < 300);
    });
  }
  rt.run([] { verify(run_at_once(300) == 300); });
  weft::testing::expect_no_leaks(rt);
}

TEST_CASE("H13: where memory advice fails later on, protection takes its place, or there is no stack",
          "[stack][failure][hazard][H13][rule17]") {
  {
    stack_pool pool{64 * 1024, &never_entered};
    if (pool.guard() != guard_kind::advice) return;  // this kernel never had it
  }
  weft::runtime rt{{.workers = 1}};
  {
    kernel const without_any{true, true};
    CHECK_THROWS_AS(rt.run([] {}), weft::stack_unavailable);
  }
  auto const before = faults::protections_made.load();
  {
    kernel const of_locked_memory{true, false};
    rt.run([] { verify(run_at_once(100) == 100); });
  }
  CHECK(faults::protections_made.load() >= before + 100);
  rt.run([] { verify(run_at_once(200) == 200); });
}

TEST_CASE("rule 17: a sibling that gets no stack has failed, and the others are cancelled",
          "[gather][failure][rule11][rule17]") {
  watchdog dog{"siblings without a stack"};
  weft::runtime rt{{.workers = 1}};
  rt.run([] {
    weft::event never_set;
    std::atomic<int> cancelled{0};
    std::vector<std::function<void()>> waits(1000, [&] {  // more than have been guarded before
      try {
        never_set.wait();
      } catch (weft::cancelled const& c) {
        if (c.reason() == weft::cancel_reason::sibling_failed || c.reason() == weft::cancel_reason::handle_dropped) {
          ++cancelled;
        }
        throw;
      }
    });
    for (bool const all : {true, false}) {
      kernel const at_its_limit{true, true};
      cancelled = 0;
      verify(throws<weft::stack_unavailable>([&] {
        if (all) {
          (void)weft::gather(waits);
        } else {
          (void)weft::race(waits);
        }
      }));
      verify(cancelled > 0);
    }
    verify(run_at_once(300) == 300);
  });
  weft::testing::expect_no_leaks(rt);
}

TEST_CASE("H13: stacks that cannot be guarded use up no address space", "[stack][failure][hazard][H13]") {
  weft::runtime rt{{.workers = 1}};
  rt.run([] { verify(run_at_once(30) == 30); });
  auto const mappings = faults::mappings_made.load();
  {
    kernel const without_guards{true, true};
    for (int i = 0; i < 200; ++i) rt.run([] { verify(run_at_once(60) < 60); });
  }
  CHECK(faults::mappings_made.load() <= mappings + 1);
  rt.run([] { verify(run_at_once(300) == 300); });
}

TEST_CASE("H13: a generator for whose body no guarded stack can be had says so, and may begin later",
          "[stack][failure][hazard][H13][generator]") {
  auto const on_fiber = GENERATE(false, true);
  auto const body = [] {
    int alive = 0;
    struct counted {
      int& alive;
      explicit counted(int& of) : alive(of) { ++alive; }
      ~counted() { --alive; }
    };
    auto const make = [&alive] {
      // A size that nobody else here uses: none lies idle.
      return weft::generator<int>({.stack_size = std::size_t{32} * 1024}, [&alive](auto& yield) {
        counted const c{alive};
        yield(1);
      });
    };
    std::vector<weft::generator<int>> begun;
    auto refused = make();
    bool was_refused = false;
    {
      kernel const at_its_limit{true, true};
      // What has been guarded before is used up first.
      for (int i = 0; i < 1000 && !was_refused; ++i) {
        try {
          (void)refused.begin();
          begun.push_back(std::move(refused));
          refused = make();
        } catch (weft::stack_unavailable const&) {
          was_refused = true;
        }
      }
    }
    verify(was_refused);
    verify(alive == static_cast<int>(begun.size()));
    verify(*refused.begin() == 1);
    refused = {};
    begun.clear();
    verify(alive == 0);
  };
  on_fiber ? run_with({.workers = 1}, body) : body();
}
