/// @file
/// The ticket's states, one by one, and all parties at once.

#include <weft/runtime/detail/wait_ticket.hpp>

#include "support/catch.hpp"
#include "support/scale.hpp"
#include "support/watchdog.hpp"

#include <array>
#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

namespace {

using weft::cancel_reason;
using weft::wake_cause;
using ticket = weft::detail::wait_ticket;
using outcome = ticket::outcome;

}  // namespace

TEST_CASE("a ticket without an open wait cannot be claimed", "[ticket]") {
  ticket t;
  CHECK_FALSE(t.claim());
  CHECK(t.notify(wake_cause::notified) == outcome::lost);
}

TEST_CASE("woken before parking: the party goes on by itself", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(true));
  CHECK_FALSE(t.woken());
  REQUIRE(t.claim());
  CHECK_FALSE(t.woken());
  CHECK_FALSE(t.wake(wake_cause::notified));  // nothing to make runnable
  CHECK(t.woken());
  CHECK_FALSE(t.park());  // whoever parks it makes it runnable at once
  CHECK(t.cause() == wake_cause::notified);
}

TEST_CASE("woken after parking: the winner makes the party runnable", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(true));
  CHECK(t.park());
  REQUIRE(t.claim());
  CHECK(t.wake(wake_cause::timed_out));
  CHECK(t.cause() == wake_cause::timed_out);
}

TEST_CASE("parked between claim and wake: the winner makes the party runnable", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(true));
  REQUIRE(t.claim());
  CHECK(t.park());
  CHECK(t.wake(wake_cause::notified));
}

TEST_CASE("H6: of several claims one wins", "[ticket][hazard][H6]") {
  ticket t;
  REQUIRE(t.begin(true));
  CHECK(t.claim());
  CHECK_FALSE(t.claim());
  CHECK(t.notify(wake_cause::timed_out) == outcome::lost);
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK_FALSE(t.wake(wake_cause::notified));
  CHECK(t.cause() == wake_cause::notified);
}

TEST_CASE("rule 3: a cancellation that loses the claim strikes at the next wait", "[ticket][rule3]") {
  ticket t;
  REQUIRE(t.begin(true));
  REQUIRE(t.notify(wake_cause::notified) == outcome::won);
  CHECK(t.request_cancel(cancel_reason::shutdown) == outcome::lost);
  CHECK(t.cause() == wake_cause::notified);
  CHECK(t.cancel_requested());
  CHECK_FALSE(t.begin(true));
  CHECK(t.reason() == cancel_reason::shutdown);
}

TEST_CASE("a cancellation ends a cancellable wait only", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(false));
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK_FALSE(t.woken());
  CHECK(t.park());
  CHECK(t.notify(wake_cause::notified) == outcome::runnable);
  CHECK(t.begin(false));
  CHECK_FALSE(t.begin(true));
}

TEST_CASE("a cancellation of a parked party makes it runnable, once", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(true));
  CHECK(t.park());
  CHECK(t.request_cancel(cancel_reason::deadline) == outcome::runnable);
  CHECK(t.cause() == wake_cause::cancelled);
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK(t.reason() == cancel_reason::deadline);
  CHECK(t.notify(wake_cause::notified) == outcome::lost);
}

TEST_CASE("a cancellation of a party that still runs is seen when it parks", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(true));
  CHECK(t.request_cancel(cancel_reason::user) == outcome::won);
  CHECK(t.woken());
  CHECK_FALSE(t.park());
}

TEST_CASE("every reason survives", "[ticket]") {
  auto const reason = GENERATE(cancel_reason::user, cancel_reason::deadline, cancel_reason::sibling_failed,
                               cancel_reason::shutdown, cancel_reason::handle_dropped);
  ticket t;
  CHECK(t.start());
  CHECK(t.request_cancel(reason) == outcome::lost);
  CHECK(t.reason() == reason);
  CHECK_FALSE(t.start());
}

TEST_CASE("H6: wake, time and cancellation race for each wait, and one of them resumes the party once",
          "[ticket][stress][hazard][H6]") {
  weft::test::watchdog dog{"ticket race"};
  auto const rounds = weft::test::scaled(60'000);
  std::vector<ticket> tickets(rounds);  // one a round: cancellation is for good
  std::vector<std::atomic<int>> winners(rounds);
  std::vector<std::atomic<int>> resumptions(rounds);
  std::barrier gate{4};
  auto const party = [&](auto step) {
    return std::thread([&, step] {
      for (std::size_t i = 0; i < rounds; ++i) {
        if (i % 16 == 0) gate.arrive_and_wait();
        step(i);
        dog.feed();
      }
    });
  };
  for (auto& t : tickets) (void)t.begin(true);
  auto const settle = [&](std::size_t i, outcome o) {
    if (o == outcome::lost) return;
    winners[i].fetch_add(1);
    if (o == outcome::runnable) resumptions[i].fetch_add(1);
  };
  std::array<std::thread, 4> threads{
      party([&](std::size_t i) {
        if (!tickets[i].park()) resumptions[i].fetch_add(1);
      }),
      party([&](std::size_t i) {
        if (!tickets[i].claim()) return;
        winners[i].fetch_add(1);
        if (tickets[i].wake(wake_cause::notified)) resumptions[i].fetch_add(1);
      }),
      party([&](std::size_t i) { settle(i, tickets[i].notify(wake_cause::timed_out)); }),
      party([&](std::size_t i) { settle(i, tickets[i].request_cancel(cancel_reason::user)); })};
  for (auto& thread : threads) thread.join();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rounds; ++i) {
    wrong += winners[i].load() == 1 && resumptions[i].load() == 1 && tickets[i].woken() ? 0U : 1U;
  }
  CHECK(wrong == 0);
}
