/// @file
/// What idle stacks keep in memory: pages are counted, no time is taken.

#include "stack_pool.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <sys/mman.h>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::detail::stack;
using weft::detail::stack_pool;

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t kib = 1024;
constexpr std::uint8_t size_class = 4;  // 256 KiB
constexpr std::size_t touched_pages = 20;
/// On the worker's side: see stack_cache.
constexpr std::size_t held_by_a_worker = 65;

void never_entered(weft::detail::transfer) {}

/// The memory of one stack, which stays mapped as long as its pool.
struct place {
  std::byte* bottom = nullptr;
  std::size_t bytes = 0;
};
place place_of(stack const& s) { return {s.bottom, stack_pool::size_of(size_class)}; }

std::size_t resident(place const& of) {
  std::vector<unsigned char> pages(of.bytes / page);
  REQUIRE(::mincore(of.bottom, of.bytes, pages.data()) == 0);
  return static_cast<std::size_t>(std::count_if(pages.begin(), pages.end(), [](auto p) { return (p & 1U) != 0; }));
}
std::size_t resident(std::vector<place> const& all) {
  return std::accumulate(all.begin(), all.end(), std::size_t{0},
                         [](std::size_t sum, place const& p) { return sum + resident(p); });
}

/// Stacks of a pool, of each of which some pages below the topmost have been touched.
std::vector<stack*> touched_stacks(stack_pool& pool, std::size_t count) {
  std::vector<stack*> all;
  while (all.size() < count) {
    auto range = pool.make(size_class);
    REQUIRE(range.at != range.end);
    while (range.at != range.end) all.push_back(pool.describe(range, size_class));
  }
  for (stack* const s : all) {
    auto* const top = s->bottom + stack_pool::size_of(size_class);
    for (std::size_t n = 2; n <= touched_pages; ++n) *const_cast<std::byte volatile*>(top - n * page) = std::byte{1};
  }
  return all;
}

/// Gives them back, so that the first is the warmest.
void give(stack_pool& pool, std::vector<stack*> const& stacks) {
  for (std::size_t i = 0; i + 1 < stacks.size(); ++i) stacks[i]->next = stacks[i + 1];
  stacks.back()->next = nullptr;
  pool.give(stacks.front(), stacks.back());
}

std::vector<stack*> take(stack_pool& pool, std::size_t count) {
  std::vector<stack*> all;
  while (all.size() < count) {
    stack* s = pool.take(size_class, count - all.size());
    if (s == nullptr) break;
    for (; s != nullptr; s = s->next) all.push_back(s);
  }
  return all;
}

std::vector<place> places_of(std::vector<stack*> const& stacks) {
  std::vector<place> all;
  for (stack const* s : stacks) all.push_back(place_of(*s));
  return all;
}

}  // namespace

TEST_CASE("a stack that lay idle between two looks keeps the page of its description", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  auto const stacks = touched_stacks(pool, 100);
  auto const places = places_of(stacks);
  auto const n = stacks.size();
  give(pool, stacks);
  CHECK(pool.has_used());
  CHECK(pool.release_idle(0) == 0);  // given since the last look: not idle yet
  CHECK(resident(places) == n * touched_pages);
  CHECK(pool.release_idle(0) == n * (touched_pages - 1) * page);
  CHECK(resident(places) == n);
  CHECK_FALSE(pool.has_used());
  CHECK(pool.release_idle(0) == 0);
  // They can all be had again, are whole, and nothing was made instead.
  auto const again = take(pool, n);
  CHECK(std::set<stack*>(again.begin(), again.end()) == std::set<stack*>(stacks.begin(), stacks.end()));
  for (stack const* s : again) {
    CHECK(s->context != nullptr);
    CHECK(s->locals == nullptr);
    CHECK(*s->bottom == std::byte{0});
  }
  CHECK(pool.take(size_class, 1) == nullptr);
}

TEST_CASE("stacks that were taken between two looks are not idle, and those below them are", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  auto const stacks = touched_stacks(pool, 100);
  give(pool, stacks);
  (void)pool.release_idle(0);
  auto const busy = take(pool, 30);
  CHECK(busy == std::vector<stack*>(stacks.begin(), stacks.begin() + 30));
  give(pool, busy);
  (void)pool.release_idle(0);
  for (std::size_t i = 0; i < stacks.size(); ++i) CHECK(resident(place_of(*stacks[i])) == (i < 30 ? touched_pages : 1));
  (void)pool.release_idle(0);
  CHECK(resident(places_of(stacks)) == stacks.size());
}

TEST_CASE("the warmest stacks keep their memory, as much as the policy says", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  auto const stacks = touched_stacks(pool, 200);
  auto const n = stacks.size();
  give(pool, stacks);
  constexpr std::size_t keepers = 50;
  constexpr std::size_t keep = keepers * (touched_pages - 1) * page;
  (void)pool.release_idle(keep);
  CHECK(pool.release_idle(keep) == (n - keepers) * (touched_pages - 1) * page);
  for (std::size_t i = 0; i < n; ++i) CHECK(resident(place_of(*stacks[i])) == (i < keepers ? touched_pages : 1));
  CHECK(pool.release_idle(keep) == 0);
  // Those with memory are taken first.
  auto const warm = take(pool, keepers);
  CHECK(std::set<stack*>(warm.begin(), warm.end()) == std::set<stack*>(stacks.begin(), stacks.begin() + keepers));
  // What they kept is free for others.
  auto const cold = take(pool, n - keepers);
  CHECK(cold.size() == n - keepers);
  for (stack* const s : cold) *const_cast<std::byte volatile*>(s->bottom) = std::byte{1};
  give(pool, cold);
  (void)pool.release_idle(keep);
  CHECK(pool.release_idle(keep) == 0);
  give(pool, warm);
  CHECK(pool.release_all() == keep + (n - keepers) * page);
  CHECK(resident(places_of(stacks)) == n);
}

TEST_CASE("a stack that was hardly used has nothing to give back", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  std::vector<stack*> stacks;
  while (stacks.size() < 50) {
    auto range = pool.make(size_class);
    while (range.at != range.end) stacks.push_back(pool.describe(range, size_class));
  }
  give(pool, stacks);
  CHECK(pool.release_all() == 0);
  CHECK_FALSE(pool.has_used());
  CHECK(take(pool, stacks.size()).size() == stacks.size());
}

namespace {

/// Touches some pages of the fiber's stack.
[[gnu::noinline]] void touch_pages() {
  std::byte volatile frame[(touched_pages - 1) * page];  // NOLINT: std::array's members are not volatile
  for (std::size_t at = 0; at < sizeof(frame); at += page) frame[at] = std::byte{1};
}

/// A peak: all fibers are alive at once.  @returns where their stacks are
std::vector<place> peak(weft::runtime& rt, std::size_t fibers) {
  std::vector<place> places(fibers);
  rt.run([&] {
    weft::event gate;
    std::atomic<std::size_t> parked{0};
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < fibers; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        places[i] = place_of(*weft::detail::current_fiber()->place);
        touch_pages();
        parked.fetch_add(1);
        gate.wait();
      }));
    }
    while (parked.load() < fibers) weft::yield();
    gate.set();
    for (auto& t : tasks) t.get();
  });
  return places;
}

constexpr std::size_t at_peak = 2000;
constexpr std::size_t workers = 2;
/// Stacks that workers have at hand keep what they have, others a page each, or two where the context lies across.
constexpr std::size_t floor_pages = 2 * at_peak + workers * held_by_a_worker * (touched_pages + 1);

}  // namespace

TEST_CASE("after a peak of fibers, memory falls to what the policy says, and the stacks are used again", "[stack]") {
  if (under_sanitizer) return;  // their frames are larger, and lie elsewhere
  // With the monitor's other work, and without it; idle workers sleep meanwhile.
  auto const slow = GENERATE(0ns, std::chrono::nanoseconds{100ms});
  auto const keep = GENERATE(std::size_t{0}, std::size_t{8} * 1024 * 1024);
  weft::runtime rt{on(workers, {.stack_release = {.keep = keep, .after = 0ns}, .slow_callback_duration = slow})};
  for (int round = 0; round < 3; ++round) {
    auto const places = peak(rt, at_peak);
    auto const most = floor_pages + keep / page;
    REQUIRE(most < at_peak * touched_pages / 2);
    while (resident(places) > most) std::this_thread::yield();  // or the watchdog ends it
    if (keep != 0) CHECK(resident(places) >= keep / page);
  }
  CHECK(rt.stats().stacks < at_peak * 5 / 4);
}

TEST_CASE("memory can be given back at once, and is not without a policy", "[stack]") {
  if (under_sanitizer) return;
  weft::runtime rt{on(workers, {.stack_release = {.after = std::chrono::nanoseconds::max()}})};
  for (int round = 0; round < 3; ++round) {
    auto const places = peak(rt, at_peak);
    CHECK(resident(places) >= at_peak * touched_pages);
    auto const before = resident(places);
    auto const released = rt.release_stacks();
    CHECK(released >= (before - floor_pages) * page);
    CHECK(resident(places) <= floor_pages);
    CHECK(rt.release_stacks() <= floor_pages * page);
  }
  rt.shutdown();
  CHECK(rt.release_stacks() == 0);
}

TEST_CASE("stacks are released while fibers come and go", "[stack][stress]") {
  weft::runtime rt{on(3, {.stack_release = {.keep = 64 * kib, .after = 0ns}})};
  std::atomic<bool> stop{false};
  std::thread releaser{[&] {
    while (!stop.load()) (void)rt.release_stacks();
  }};
  for (int round = 0; round < 20; ++round) {
    rt.run([] {
      std::vector<weft::task<std::size_t>> tasks;
      for (std::size_t i = 0; i < 300; ++i) {
        tasks.push_back(weft::spawn([i] {
          std::size_t volatile here[512];  // NOLINT: as above
          for (auto& v : here) v = i;
          for (int turn = 0; turn < 3; ++turn) weft::yield();
          std::size_t sum = 0;
          for (auto const& v : here) sum += v;
          return sum;
        }));
      }
      for (std::size_t i = 0; i < tasks.size(); ++i) verify(tasks[i].get() == 512 * i);
    });
  }
  stop = true;
  releaser.join();
  expect_no_leaks(rt);
}
