/// @file
/// The place of a worker's next fiber: what is put there is taken once, by its owner or by a thief.

#include <weft/runtime/detail/next_slot.hpp>

#include "support/catch.hpp"
#include "support/scale.hpp"
#include "support/watchdog.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

struct item {
  std::uint64_t payload = 0;  // plain: a missing edge between who puts and who takes is a race that TSan sees
  std::atomic<std::uint32_t> taken{0};
};

using slot = weft::detail::basic_next_slot<item*>;

}  // namespace

TEST_CASE("a theft that the owner has yet to notice hides nothing, and is noticed once", "[slot]") {
  auto const one = std::make_unique<slot>();
  item first;
  item second;
  CHECK(one->take() == nullptr);
  CHECK(one->steal() == nullptr);
  one->put(&first);
  CHECK(one->waits());
  CHECK(one->steal() == &first);
  CHECK(!one->waits());
  CHECK(one->steal() == nullptr);
  SECTION("it takes") { CHECK(one->take() == nullptr); }
  SECTION("it takes simply, which leaves the theft to be noticed") {
    CHECK(one->take_simply() == nullptr);
    CHECK(one->look() == &first);
    CHECK(one->steal() == nullptr);
    CHECK(one->take() == nullptr);
  }
  SECTION("it replaces") {
    CHECK(one->replace(&second) == nullptr);
    CHECK(one->take() == &second);
  }
  SECTION("the same comes again") {
    CHECK(one->replace(&first) == nullptr);
    CHECK(one->waits());
    CHECK(one->take() == &first);
  }
  CHECK(one->look() == nullptr);
  one->put(&second);
  CHECK(one->steal() == &second);
}

TEST_CASE("what nobody has stolen is taken simply, where there is an asymmetric barrier", "[slot]") {
  auto const one = std::make_unique<slot>();
  item first;
  CHECK(one->take_simply() == nullptr);
  one->put(&first);
  bool const simple = weft::detail::std_atomics::barrier::asymmetric();
  CHECK(one->take_simply() == (simple ? &first : nullptr));
  CHECK(one->look() == (simple ? nullptr : &first));
  CHECK(one->take() == (simple ? nullptr : &first));
}

TEST_CASE("each that is put is taken, pushed out or stolen once", "[slot][stress]") {
  auto const count = static_cast<std::size_t>(weft::test::under_sanitizer ? 100'000 : 1'000'000);
  weft::test::watchdog dog{"slot storm"};
  auto const one = std::make_unique<slot>();
  std::vector<item> items(count);
  std::atomic<std::size_t> out{0};
  std::atomic<std::size_t> bad{0};
  auto const consume = [&](item* i) {
    if (i == nullptr) return;
    if (i->payload != static_cast<std::uint64_t>(i - items.data()) * 3 + 1) bad.fetch_add(1);
    if (i->taken.fetch_add(1) != 0) bad.fetch_add(1);
    out.fetch_add(1);
    dog.feed();
  };
  std::vector<std::thread> thieves;
  for (unsigned t = 0; t < 2; ++t) {
    thieves.emplace_back([&] {
      while (out.load(std::memory_order_relaxed) < count) {
        if (one->waits()) {
          consume(one->steal());
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  std::minstd_rand random{1};
  for (std::size_t put = 0; put < count; ++put) {
    items[put].payload = put * 3 + 1;
    if (one->look() == nullptr) {
      one->put(&items[put]);
    } else {
      consume(one->replace(&items[put]));
    }
    if (random() % 16 == 0) std::this_thread::yield();
    switch (random() % 4) {
      case 0: consume(one->take()); break;
      case 1: consume(one->take_simply()); break;
      default: break;
    }
  }
  while (out.load(std::memory_order_relaxed) < count) consume(one->take());
  for (auto& thief : thieves) thief.join();
  CHECK(bad.load() == 0);
  CHECK(out.load() == count);
  CHECK(one->look() == nullptr);
}
