/// @file
/// The lock of channels, which a worker that takes it again and again is given on bias.

#include <weft/runtime/detail/biased_lock.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/select.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <thread>
#include <vector>

using namespace weft::test;

namespace {

/// Given to whoever counts for it once, whatever came before.
using easily_biased = weft::detail::basic_biased_lock<weft::detail::std_atomics, 0>;

/// In place of a worker, of which only the address counts.
struct alignas(64) party {};

constexpr std::size_t more_than_bias_needs = 5'000;

}  // namespace

TEST_CASE("a lock that is given on bias is held by one at a time", "[biased][stress]") {
  // Many locks, for each is given on bias a few times only. The parties go from one to the next, and meet at most.
  struct guarded {
    easily_biased lock;
    std::uint64_t count = 0;  // no atomic, so that a second holder loses some
  };
  std::vector<guarded> all(under_sanitizer ? 5'000 : 100'000);
  constexpr std::size_t parties = 3;
  constexpr std::size_t most_at_one = 12;
  std::vector<std::vector<std::uint64_t>> taken(parties, std::vector<std::uint64_t>(all.size()));
  std::vector<party> who(parties);
  std::vector<std::thread> threads;
  std::atomic<std::size_t> ready{0};
  for (std::size_t n = 0; n < parties; ++n) {
    threads.emplace_back([&, n] {
      std::minstd_rand random{static_cast<unsigned>(n) + 1};
      ready.fetch_add(1);
      while (ready.load() < parties) std::this_thread::yield();
      for (std::size_t at = 0; at < all.size(); ++at) {
        for (auto left = random() % most_at_one; left != 0; --left) {
          void const* const me = random() % 8 == 0 ? nullptr : &who[n];
          easily_biased::section held{all[at].lock, me};
          held.count(me);
          ++all[at].count;
          ++taken[n][at];
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::size_t wrong = 0;
  for (std::size_t at = 0; at < all.size(); ++at) {
    std::uint64_t sum = 0;
    for (auto const& of : taken) sum += of[at];
    wrong += all[at].count == sum ? 0U : 1U;
  }
  CHECK(wrong == 0);
}

TEST_CASE("a flag that is set under another's bias is seen by it", "[biased]") {
  easily_biased lock;
  party first;
  party second;
  for (int i = 0; i < 4; ++i) easily_biased::section{lock, &first}.count(&first);
  CHECK(!lock.flagged());
  bool called = false;
  lock.set_flag([&]() noexcept { called = true; });
  CHECK(called);
  CHECK(lock.flagged());
  for (void const* const who : {&first, &first, &first, &second, &second, &second}) {
    easily_biased::section held{lock, who};
    held.count(who);
    CHECK(held.flagged());
  }
}

TEST_CASE("a channel that one worker has used for long serves threads, select and close as before", "[biased]") {
  weft::channel<std::size_t> channel{4};
  run_with({.workers = 1}, [&] {
    std::size_t next = 0;
    auto const use_for_long = [&] {
      for (std::size_t i = 0; i < more_than_bias_needs; ++i) {
        auto receiver = weft::spawn([&] { return channel.receive(); });
        weft::this_fiber::yield();  // it waits
        verify(channel.try_send(std::size_t{next}));
        verify(receiver.get() == next++);
      }
    };
    use_for_long();
    weft::offload([&] {
      verify(channel.try_send(std::size_t{next}));
      verify(channel.try_send(next + 1));
      verify(channel.try_receive() == next);
    });
    verify(channel.receive() == next + 1);
    use_for_long();
    std::optional<std::size_t> selected;
    verify(channel.try_send(std::size_t{7}));
    (void)weft::select(weft::on_receive(channel, [&](std::optional<std::size_t> value) { selected = value; }));
    verify(selected == 7U);
    use_for_long();
    verify(channel.try_send(std::size_t{8}));
    weft::offload([&] { channel.close(); });
    verify(channel.closed());
    verify(channel.receive() == 8U);
    verify(!channel.receive());
    bool refused = false;
    try {
      channel.send(std::size_t{9});
    } catch (weft::channel_closed const&) {
      refused = true;
    }
    verify(refused);
  });
}
