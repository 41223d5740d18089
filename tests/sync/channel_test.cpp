/// @file
/// channel: what it promises, bad input, and waits that end in every way. Storms: channel_stress_test.cpp.

#include <weft/sync/channel.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::channel;

static_assert(std::ranges::input_range<channel<int>>);
static_assert(std::ranges::input_range<channel<std::unique_ptr<int>>>);

TEST_CASE("a buffered channel holds as many values as it has room for, in order", "[channel]") {
  channel<int> ch{3};
  CHECK(ch.capacity() == 3);
  for (int round = 0; round < 5; ++round) {
    ch.send(1);
    ch.send(2);
    CHECK(ch.size() == 2);
    CHECK(ch.try_send(3));
    CHECK_FALSE(ch.try_send(4));
    CHECK_FALSE(ch.send_for(4, 0s));
    CHECK(ch.size() == 3);
    CHECK(ch.receive() == 1);
    CHECK(ch.try_receive() == 2);
    CHECK(ch.receive_for(0s) == 3);
    CHECK(ch.size() == 0);
    CHECK_FALSE(ch.try_receive().has_value());
    CHECK_THROWS_AS(ch.receive_for(0s), weft::timeout_error);
  }
}
