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

TEST_CASE("a wait that has ended cannot be claimed, and its key opens no other", "[ticket]") {
  ticket t;
  auto const first = t.begin(true);
  REQUIRE(first);
  REQUIRE(t.notify(first, wake_cause::timed_out) == outcome::won);
  CHECK_FALSE(t.claim(first));
  CHECK(t.notify(first, wake_cause::notified) == outcome::lost);
  CHECK(t.claim_or_end(first, wake_cause::notified) == outcome::lost);
  CHECK(t.cause() == wake_cause::timed_out);
  auto const second = t.begin(true);
  REQUIRE(second);
  CHECK(t.has_ended(first));
  CHECK_FALSE(t.has_ended(second));
  CHECK_FALSE(t.claim(first));
  CHECK(t.park(second));
  CHECK(t.notify(first, wake_cause::notified) == outcome::lost);
  CHECK(t.claim_or_end(first, wake_cause::notified) == outcome::lost);
  CHECK(t.notify(second, wake_cause::notified) == outcome::runnable);
}

TEST_CASE("a wait that is opened and not used leaves nothing", "[ticket]") {
  ticket t;
  REQUIRE(t.begin(true));
  CHECK_FALSE(t.parked());
  auto const wait = t.begin(false);
  REQUIRE(wait);
  CHECK(t.park(wait));
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK(t.notify(wait, wake_cause::notified) == outcome::runnable);
}

TEST_CASE("a party that claims its own wait need not wait, and its next one is open", "[ticket]") {
  ticket t;
  auto const first = t.begin(true);
  REQUIRE(t.claim(first));
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK_FALSE(t.begin(true));
  auto const second = t.begin(false);
  REQUIRE(second);
  CHECK_FALSE(t.has_ended(second));
  CHECK(t.park(second));
  CHECK(t.notify(second, wake_cause::notified) == outcome::runnable);
  CHECK(t.has_ended(second));
}

TEST_CASE("woken before parking: the party goes on by itself", "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  REQUIRE(wait);
  CHECK_FALSE(t.has_ended(wait));
  REQUIRE(t.claim(wait));
  CHECK_FALSE(t.has_ended(wait));
  CHECK(t.ends(wait));
  CHECK_FALSE(t.wake(wake_cause::notified));  // nothing to make runnable
  CHECK(t.has_ended(wait));
  CHECK_FALSE(t.park(wait));  // whoever parks it makes it runnable at once
  CHECK(t.cause() == wake_cause::notified);
}

TEST_CASE("woken after parking: the winner makes the party runnable", "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  CHECK(t.park(wait));
  CHECK(t.parked());
  REQUIRE(t.claim(wait));
  CHECK(t.wake(wake_cause::timed_out));
  CHECK_FALSE(t.parked());
  CHECK(t.cause() == wake_cause::timed_out);
}

TEST_CASE("parked between claim and wake: the winner makes the party runnable", "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  REQUIRE(t.claim_or_end(wait, wake_cause::notified) == outcome::won);
  CHECK(t.park(wait));
  CHECK_FALSE(t.has_ended(wait));
  CHECK(t.wake(wake_cause::notified));
  CHECK(t.has_ended(wait));
}

TEST_CASE("a claim of a party that is parked ends its wait", "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  CHECK(t.park(wait));
  CHECK(t.claim_or_end(wait, wake_cause::notified) == outcome::runnable);
  CHECK(t.has_ended(wait));
  CHECK_FALSE(t.parked());
}

TEST_CASE("H6: of several claims one wins", "[ticket][hazard][H6]") {
  ticket t;
  auto const wait = t.begin(true);
  CHECK(t.claim(wait));
  CHECK_FALSE(t.claim(wait));
  CHECK(t.claim_or_end(wait, wake_cause::notified) == outcome::lost);
  CHECK(t.notify(wait, wake_cause::timed_out) == outcome::lost);
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK_FALSE(t.wake(wake_cause::notified));
  CHECK(t.cause() == wake_cause::notified);
}

TEST_CASE("rule 3: a cancellation that loses the claim strikes at the next wait", "[ticket][rule3]") {
  ticket t;
  auto const wait = t.begin(true);
  bool const parked = GENERATE(false, true);
  if (parked) REQUIRE(t.park(wait));
  REQUIRE(t.notify(wait, wake_cause::notified) == (parked ? outcome::runnable : outcome::won));
  CHECK(t.request_cancel(cancel_reason::shutdown) == outcome::lost);
  CHECK(t.cause() == wake_cause::notified);
  CHECK(t.cancel_requested());
  CHECK_FALSE(t.begin(true));
  CHECK(t.reason() == cancel_reason::shutdown);
}

TEST_CASE("a cancellation ends a cancellable wait only", "[ticket]") {
  ticket t;
  auto const wait = t.begin(false);
  CHECK(t.park(wait));
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK_FALSE(t.has_ended(wait));
  CHECK_FALSE(t.goes_on(wait));
  CHECK(t.notify(wait, wake_cause::notified) == outcome::runnable);
  CHECK(t.begin(false));
  CHECK_FALSE(t.begin(true));
}

TEST_CASE("a cancellation of a parked party makes it runnable, once", "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  CHECK(t.park(wait));
  CHECK(t.request_cancel(cancel_reason::deadline) == outcome::runnable);
  CHECK(t.cause() == wake_cause::cancelled);
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK(t.reason() == cancel_reason::deadline);
  CHECK(t.notify(wait, wake_cause::notified) == outcome::lost);
}

TEST_CASE("a cancellation of a party that still runs keeps it from being parked, unless another has claimed its wait",
          "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  CHECK(t.request_cancel(cancel_reason::user) == outcome::lost);
  CHECK(t.goes_on(wait));
  CHECK_FALSE(t.park(wait));
  SECTION("the party ends its wait itself") {
    CHECK(t.notify(wait, wake_cause::cancelled) == outcome::won);
    CHECK(t.has_ended(wait));
  }
  SECTION("another was first") {
    REQUIRE(t.claim(wait));
    CHECK(t.notify(wait, wake_cause::cancelled) == outcome::lost);
    CHECK(t.park(wait));
    CHECK(t.wake(wake_cause::notified));
    CHECK(t.cause() == wake_cause::notified);
  }
}

TEST_CASE("a poke takes a parked party out of its parking, and its wait stays open", "[ticket]") {
  ticket t;
  auto const wait = t.begin(true);
  CHECK(t.park(wait));
  CHECK(t.poke());
  CHECK_FALSE(t.parked());
  CHECK_FALSE(t.poke());
  CHECK_FALSE(t.has_ended(wait));
  CHECK_FALSE(t.park(wait));  // it is to look first
  t.heed_poke(true);
  CHECK(t.park(wait));
  REQUIRE(t.claim(wait));
  CHECK_FALSE(t.poke());
  CHECK(t.wake(wake_cause::notified));
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
  std::vector<weft::detail::wait_key> waits;
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
  for (auto& t : tickets) waits.push_back(t.begin(true));
  auto const settle = [&](std::size_t i, outcome o) {
    if (o == outcome::lost) return;
    winners[i].fetch_add(1);
    if (o == outcome::runnable) resumptions[i].fetch_add(1);
  };
  std::array<std::thread, 4> threads{
      party([&](std::size_t i) {
        if (tickets[i].park(waits[i])) return;
        // Whoever was first has ended the wait, or it is a cancellation, and then the party looks.
        while (!tickets[i].has_ended(waits[i])) {
          if (tickets[i].notify(waits[i], wake_cause::cancelled) != outcome::lost) {
            winners[i].fetch_add(1);
          } else if (tickets[i].park(waits[i])) {
            return;
          }
        }
        resumptions[i].fetch_add(1);
      }),
      party([&](std::size_t i) {
        if (!tickets[i].claim(waits[i])) return;
        winners[i].fetch_add(1);
        if (tickets[i].wake(wake_cause::notified)) resumptions[i].fetch_add(1);
      }),
      party([&](std::size_t i) { settle(i, tickets[i].notify(waits[i], wake_cause::timed_out)); }),
      party([&](std::size_t i) { settle(i, tickets[i].request_cancel(cancel_reason::user)); })};
  for (auto& thread : threads) thread.join();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rounds; ++i) {
    wrong += winners[i].load() == 1 && resumptions[i].load() == 1 && tickets[i].has_ended(waits[i]) ? 0U : 1U;
  }
  CHECK(wrong == 0);
}
