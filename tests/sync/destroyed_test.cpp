/// @file
/// What is destroyed while somebody waits for it.

#include "support/catch.hpp"
#include "support/death.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/barrier.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/latch.hpp>
#include <weft/sync/rate_limiter.hpp>
#include <weft/sync/semaphore.hpp>
#include <weft/sync/wait_group.hpp>

#include <chrono>
#include <optional>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// @param wait  on another fiber: waits for the `T` that is made of `args`
template <class T, class Wait, class... Args>
bool says_so(char const* message, Wait wait, Args... args) {
  return aborts_with(message, [&] {
    weft::run(
        [&] {
          std::optional<T> awaited{std::in_place, args...};
          auto const waiting = weft::spawn([&] { wait(*awaited); });
          weft::yield();
          awaited.reset();
        },
        weft::testing::fifo());
  });
}

}  // namespace

TEST_CASE("what is destroyed while somebody waits for it says so", "[sync][bad-input]") {
  auto const wait = [](auto& awaited) { awaited.wait(); };
  auto const acquire = [](auto& awaited) { awaited.acquire(); };
  CHECK(says_so<weft::event>("an event is destroyed while somebody waits for it", wait));
  CHECK(says_so<weft::auto_reset_event>("an auto_reset_event is destroyed while somebody waits for it", wait));
  CHECK(says_so<weft::latch>("a latch is destroyed while somebody waits for it", wait, 1));
  CHECK(says_so<weft::barrier>("a barrier is destroyed while somebody waits at it", wait, 2));
  CHECK(says_so<weft::semaphore>("a semaphore is destroyed while somebody waits for a permit", acquire, 0));
  CHECK(says_so<weft::bounded_semaphore>("a semaphore is destroyed while somebody waits for a permit", acquire, 0));
  auto const counted = [](auto& group) {
    group.add();
    group.wait();
  };
  CHECK(says_so<weft::wait_group>("a wait_group is destroyed while somebody waits for it", counted));
  auto const twice = [](auto& rate) {
    rate.acquire();
    rate.acquire();
  };
  CHECK(says_so<weft::rate_limiter>("a rate_limiter is destroyed while somebody waits for it", twice, 1, 1h));
}
