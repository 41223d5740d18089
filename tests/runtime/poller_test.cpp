/// @file
/// Where a worker sleeps: no wake-up is lost, whoever runs the loop.

#include "poller.hpp"

#include "support/catch.hpp"

#include <weft/runtime/clock.hpp>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using weft::detail::poller;

/// Whether it is woken, rather than ending by itself.
bool sleep_is_woken(poller& p, std::chrono::nanoseconds limit) {
  auto const deadline = weft::clock::now() + limit;
  p.sleep(deadline);
  return weft::clock::now() < deadline;
}

}  // namespace

TEST_CASE("a wake-up before the sleep ends it, once", "[runtime][poller]") {
  poller p;
  p.wake();
  p.wake();
  CHECK(sleep_is_woken(p, 60s));
  CHECK_FALSE(sleep_is_woken(p, 5ms));
}

TEST_CASE("a wake-up whose signal a neighbour's poll takes ends the sleep all the same", "[runtime][poller]") {
  poller p;
  p.wake();
  p.try_poll();
  CHECK(sleep_is_woken(p, 60s));
}
