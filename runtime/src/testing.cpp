#include <weft/runtime/testing.hpp>

#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/waiter.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <thread>

namespace weft::inline v0 {

namespace detail {
struct runtime_insight {
  /// Calls `f` with the running scheduler, if there is one; it is not taken down meanwhile.
  template <class F>
  static void look(runtime const& rt, F&& f) {
    std::unique_lock const lock{rt.mutex_};
    if (rt.scheduler_ != nullptr) f(*rt.scheduler_);
  }
};
}  // namespace detail

namespace testing {

using namespace weft::detail;

namespace {

/// The caller's runtime, which was made with one worker.
scheduler& home_with_one_worker(char const* caller) {
  if (current_fiber() == nullptr) throw no_runtime(std::string("weft::testing::") + caller + ": not called on a fiber");
  scheduler& home = current_worker()->home;
  if (home.options.workers != 1) {
    throw error(std::string("weft::testing::") + caller + ": the runtime has " + std::to_string(home.options.workers) +
                " workers, and must have one");
  }
  return home;
}

std::string plural(std::uint64_t count, char const* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

/// What the live fibers wait for, and how many for each. The names of fibers that may run meanwhile cannot be read.
std::string reasons(scheduler& home) {
  std::map<std::string, std::uint64_t> count;
  home.records->for_each_live([&count](fiber_record& fiber) {
    char const* const reason = fiber.waits_for.load(std::memory_order_relaxed);
    ++count[reason != nullptr ? std::string("waiting for '") + reason + "'" : std::string("ready or running")];
  });
  std::string text;
  for (auto const& [reason, n] : count) text += (text.empty() ? ": " : ", ") + std::to_string(n) + " " + reason;
  return text;
}

}  // namespace

time_point now() noexcept { return deadline_after(std::chrono::nanoseconds{0}); }

void run_until_blocked() {
  scheduler& home = home_with_one_worker("run_until_blocked");
  waiter self{"the others to come to rest"};
  wait_node node{self};
  {
    wait_list::section list{home.until_quiet};
    list.push_back(node);
  }
  auto const cause = self.wait();
  if (cause == wake_cause::notified) return sanitizer_acquire(&home);  // pairs with what park() releases: see there
  {
    wait_list::section list{home.until_quiet};
    list.remove(node);
  }
  self.rethrow(cause);
}

void expect_no_leaks(runtime const& rt) {
  using namespace std::chrono_literals;
  for (bool resting = false;;) {
    bool done = true;
    runtime_insight::look(rt, [&](scheduler& home) {
      if (worker const* const w = current_worker(); w != nullptr && &w->home == &home) {
        throw error("weft::testing::expect_no_leaks: on one of the runtime's own fibers, call it without the runtime");
      }
      // In this order: who has come to rest has counted all that it did.
      auto const resting_ones = home.away.asleep();
      resting = home.idle.all_parked(static_cast<std::uint32_t>(home.workers.size() - resting_ones)) &&
                home.away.asleep() == resting_ones;
      auto const live = home.live_fibers();
      if (live != 0) {
        throw leak("weft: " + plural(live, "fiber") + (live == 1 ? " lives" : " live") + " where none should" +
                   reasons(home));
      }
      auto const out = home.records_out();
      done = out == 0;
      if (!done && resting) {
        throw leak("weft: " + plural(static_cast<std::uint64_t>(out), "handle") + (out == 1 ? " refers" : " refer") +
                   " to tasks where none should");
      }
    });
    if (done) return;
    std::this_thread::sleep_for(100us);  // a worker is about to give a record back, and then to rest
  }
}

void expect_no_leaks() {
  scheduler& home = home_with_one_worker("expect_no_leaks");
  if (home.workers.size() != 1) {
    throw error(
        "weft::testing::expect_no_leaks: others stood in for the runtime's worker, which was away in weft::blocking or "
        "in a fiber that went on for long, and may run fibers just now; call it without the runtime");
  }
  fiber_record const* const self = current_fiber();
  std::string fibers;
  std::int64_t live = 0;
  // No other fiber runs, and this is the thread on which they do: their names can be read.
  home.records->for_each_live([&](fiber_record& fiber) {
    if (&fiber == self) return;
    char const* const reason = fiber.waits_for.load(std::memory_order_relaxed);
    fibers += live++ == 0 ? ": " : ", ";
    char const* const name = fiber.name();
    fibers += name != nullptr ? std::string("'") + name + "'" : std::string("one without a name");
    fibers += reason != nullptr ? std::string(" waiting for '") + reason + "'" : std::string(" ready");
  });
  auto const ended = home.records_out() - static_cast<std::int64_t>(home.live_fibers());
  if (live == 0 && ended == 0) return;
  std::string text = "weft: left over:";
  if (live != 0) text.append(" ").append(plural(static_cast<std::uint64_t>(live), "fiber")).append(fibers);
  if (ended != 0) {
    text.append(live != 0 ? "; " : " ")
        .append(plural(static_cast<std::uint64_t>(ended), "handle"))
        .append(" of ended tasks");
  }
  throw leak(text);
}

}  // namespace testing
}  // namespace weft::inline v0
