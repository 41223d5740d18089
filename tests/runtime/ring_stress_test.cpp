/// @file
/// The ring under thieves and rescuers: what is pushed comes out once.

#include <weft/runtime/detail/ring.hpp>

#include "support/catch.hpp"
#include "support/scale.hpp"
#include "support/watchdog.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

struct item {
  std::uint64_t payload = 0;  // plain: a missing edge between who pushes and who takes is a race that TSan sees
  std::atomic<std::uint32_t> taken{0};
};

template <std::uint32_t Capacity>
void storm(std::uint32_t seed, std::size_t thieves, std::size_t count) {
  INFO("seed " << seed << ", capacity " << Capacity << ", thieves " << thieves);
  weft::test::watchdog dog{"ring storm"};
  auto ring = std::make_unique<weft::detail::basic_ring<item*, Capacity>>();
  std::vector<item> items(count);
  std::atomic<std::size_t> out{0};
  std::atomic<std::size_t> bad{0};
  std::atomic<bool> rescued_any{false};
  auto const consume = [&](item* i) {
    auto const index = static_cast<std::uint64_t>(i - items.data());
    if (i->payload != index * 3 + 1) bad.fetch_add(1);
    if (i->taken.fetch_add(1) != 0) bad.fetch_add(1);
    out.fetch_add(1);
    dog.feed();
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < thieves; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random{static_cast<std::uint32_t>(seed * 31 + t)};
      while (out.load(std::memory_order_relaxed) < count) {
        if (random() % 32 == 0 && weft::detail::thread_barrier::asymmetric()) {
          if (ring->rescue(consume) != 0) rescued_any.store(true);
        } else if (item* const i = ring->steal()) {
          consume(i);
        } else if (random() % 4 == 0) {
          std::this_thread::yield();
        }
      }
    });
  }
  std::minstd_rand random{seed};
  std::size_t pushed = 0;
  while (out.load(std::memory_order_relaxed) < count) {
    auto const burst = random() % (Capacity + 2);
    item* last = nullptr;
    for (std::size_t n = 0; n < burst && pushed < count; ++n) {
      items[pushed].payload = pushed * 3 + 1;
      if (!ring->push(&items[pushed])) break;
      last = &items[pushed++];
    }
    if (last != nullptr && random() % 2 == 0 && ring->retake(last)) consume(last);
    for (auto n = random() % (Capacity + 2); n > 0; --n) {
      // As worker::yield() does; what it does not get, take() does.
      bool const in_steps = random() % 2 == 0 && (ring->has_leased() || ring->lease());
      item* i = in_steps ? ring->take_leased() : nullptr;
      if (i == nullptr) i = ring->take();
      if (i == nullptr) break;
      if (random() % 4 == 0 && ring->put_back(i)) continue;
      consume(i);
    }
  }
  for (auto& thread : threads) thread.join();
  CHECK(bad.load() == 0);
  CHECK(out.load() == count);
  CHECK(ring->take() == nullptr);
  CHECK(ring->steal() == nullptr);
}

}  // namespace

TEST_CASE("H5: each fiber pushed is taken, stolen, taken back or rescued once", "[ring][stress][hazard][H5][rule27]") {
  auto const seed = GENERATE(1U, 2U, 3U);
  auto const thieves = GENERATE(std::size_t{1}, std::size_t{3});
  storm<4>(seed, thieves, weft::test::scaled(200'000));
  storm<64>(seed, thieves, weft::test::scaled(400'000));
}

TEST_CASE("the last item of a ring goes to the owner that takes it back, or to a thief", "[ring][stress]") {
  weft::test::watchdog dog{"retake against steal"};
  auto const rounds = weft::test::scaled(300'000);
  weft::detail::basic_ring<item*, 4> ring;
  std::vector<item> items(rounds);
  std::atomic<std::size_t> stolen{0};
  std::atomic<bool> done{false};
  std::thread thief{[&] {
    while (!done.load(std::memory_order_relaxed)) {
      if (item* const i = ring.steal()) {
        i->taken.fetch_add(1);
        stolen.fetch_add(1);
      }
    }
  }};
  std::size_t retaken = 0;
  for (auto& i : items) {
    if (!ring.push(&i)) FAIL("the ring is full");
    if (ring.retake(&i)) {
      i.taken.fetch_add(1);
      ++retaken;
    }
    dog.feed();
  }
  while (stolen.load() + retaken < rounds) std::this_thread::yield();
  done.store(true);
  thief.join();
  std::size_t wrong = 0;
  for (auto const& i : items) wrong += i.taken.load() == 1 ? 0U : 1U;
  CHECK(wrong == 0);
}
