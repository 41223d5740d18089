/// @file
/// The stack pool by itself: sizes, places, guards, reuse.

#include "stack_pool.hpp"

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/scale.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <stdexcept>
#include <vector>

using namespace weft::test;
using weft::detail::guard_kind;
using weft::detail::stack;
using weft::detail::stack_cache;
using weft::detail::stack_pool;

namespace {

constexpr std::size_t kib = 1024;

void never_entered(weft::detail::transfer) {}

/// Takes `count` new stacks.
std::vector<stack*> make_stacks(stack_pool& pool, std::uint8_t size_class, std::size_t count) {
  std::vector<stack*> all;
  while (all.size() < count) {
    auto range = pool.make(size_class);
    REQUIRE(range.at != range.end);
    while (range.at != range.end) all.push_back(pool.describe(range, size_class));
  }
  return all;
}

}  // namespace

TEST_CASE("the class of a stack is the smallest that has room", "[stack]") {
  for (std::size_t const bytes :
       {16 * kib, 16 * kib + 1, 32 * kib, 60 * kib, 64 * kib, 256 * kib, std::size_t{1} << 30U}) {
    auto const c = stack_pool::class_of(bytes);
    CHECK(stack_pool::size_of(c) >= bytes);
    CHECK((c == 0 || stack_pool::size_of(static_cast<std::uint8_t>(c - 1)) < bytes));
    CHECK(c < stack_pool::classes);
  }
  CHECK_THROWS_AS(stack_pool::class_of(0), std::invalid_argument);
  CHECK_THROWS_AS(stack_pool::class_of(16 * kib - 1), std::invalid_argument);
  CHECK_THROWS_AS(stack_pool::class_of((std::size_t{1} << 30U) + 1), std::invalid_argument);
}

TEST_CASE("stacks are whole, apart, and can be written from end to end", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  auto const stacks = make_stacks(pool, 0, 300);
  CHECK(pool.made() >= stacks.size());
  std::set<std::byte const*> bottoms;
  for (auto* s : stacks) {
    CHECK(s->size_class == 0);
    CHECK(s->size <= stack_pool::size_of(0));
    CHECK(s->size >= stack_pool::size_of(0) - 4 * kib);
    CHECK(s->bottom + s->size == reinterpret_cast<std::byte*>(s));
    CHECK(reinterpret_cast<std::uintptr_t>(s) % 64 == 0);
    CHECK(s->context != nullptr);
    bottoms.insert(s->bottom);
  }
  CHECK(bottoms.size() == stacks.size());
  for (std::byte const* last = nullptr; auto const* b : bottoms) {
    if (last != nullptr) CHECK(b - last >= static_cast<std::ptrdiff_t>(stack_pool::size_of(0)));
    last = b;
  }
  auto* const context = static_cast<std::byte*>(stacks[7]->context);
  std::memset(stacks[7]->bottom, 1, static_cast<std::size_t>(context - stacks[7]->bottom));
}

TEST_CASE("tops of stacks spread over cache sets and pages", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  auto const stacks = make_stacks(pool, 2, 64);
  std::set<std::uintptr_t> lines;
  std::set<std::uintptr_t> pages;
  for (auto* s : stacks) {
    lines.insert(reinterpret_cast<std::uintptr_t>(s) / 64 % 64);
    pages.insert(reinterpret_cast<std::uintptr_t>(s) / 4096 % 16);
  }
  CHECK(lines.size() >= 16);
  CHECK(pages.size() >= 8);
}

TEST_CASE("H12: the page below a stack cannot be touched", "[stack][hazard][H12]") {
  if (under_sanitizer) return;  // they handle the fault themselves
  auto const size_class = GENERATE(std::uint8_t{0}, std::uint8_t{2}, std::uint8_t{4});
  // The first few are guarded one by one, later ones many at once.
  auto const number = GENERATE(std::size_t{0}, std::size_t{250});
  auto const below = GENERATE(std::size_t{1}, std::size_t{4096});
  auto const d = run_in_child([&] {
    stack_pool pool{64 * kib, &never_entered};
    auto const stacks = make_stacks(pool, size_class, number + 1);
    *const_cast<std::byte volatile*>(stacks[number]->bottom - below) = std::byte{1};
  });
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGSEGV);
}

TEST_CASE("without a guard there is none", "[stack]") {
  stack_pool pool{0, &never_entered};
  CHECK(pool.guard() == guard_kind::none);
  auto const stacks = make_stacks(pool, 0, 4);
  CHECK(stacks.size() >= 4);
}

TEST_CASE("the pool gives out what it was given, never more than asked for", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  CHECK(pool.take(0, 1) == nullptr);
  auto const stacks = make_stacks(pool, 0, 10);
  for (std::size_t i = 0; i + 1 < 10; ++i) stacks[i]->next = stacks[i + 1];
  stacks[9]->next = nullptr;
  pool.give(stacks[0], stacks[9]);
  CHECK(pool.take(1, 5) == nullptr);
  std::set<stack const*> seen;
  for (std::size_t const expected : {4U, 4U, 2U}) {
    std::size_t n = 0;
    for (auto const* s = pool.take(0, 4); s != nullptr; s = s->next, ++n) seen.insert(s);
    CHECK(n == expected);
  }
  CHECK(seen == std::set<stack const*>(stacks.begin(), stacks.begin() + 10));
  CHECK(pool.take(0, 4) == nullptr);
}

TEST_CASE("a cache hands out the warmest stack, and makes new ones only when all are in use", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  stack_cache cache{pool};
  auto* const first = cache.take(0);
  REQUIRE(first != nullptr);
  cache.give(first);
  CHECK(cache.take(0) == first);
  cache.give(first);
  std::vector<stack*> held;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 500; ++i) held.push_back(cache.take(0));
    CHECK(std::set<stack*>(held.begin(), held.end()).size() == 500);
    for (auto* s : held) cache.give(s);
    held.clear();
  }
  CHECK(pool.made() < 700);  // 500, and what was made at once with the last of them
}

TEST_CASE("what a cache has too much of serves others", "[stack]") {
  stack_pool pool{64 * kib, &never_entered};
  stack_cache mine{pool};
  std::set<stack*> held;
  for (int i = 0; i < 200; ++i) held.insert(mine.take(0));
  for (auto* s : held) mine.give(s);
  stack_cache other{pool};
  for (int i = 0; i < 100; ++i) CHECK(held.count(other.take(0)) == 1);
  mine.flush();
  for (int i = 0; i < 100; ++i) CHECK(held.count(other.take(0)) == 1);
}
