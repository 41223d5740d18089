/// @file
/// The ring's edges, as one thread sees them. Concurrency: ring_stress_test.cpp.

#include <weft/runtime/detail/ring.hpp>

#include "support/catch.hpp"

#include <array>
#include <vector>

namespace {

using weft::detail::thread_barrier;
using ring = weft::detail::basic_ring<int*, 64>;

std::array<int, 256> items{};
int* item(std::size_t i) { return &items[i]; }

void fill(ring& r, std::size_t from, std::size_t count) {
  for (std::size_t i = from; i < from + count; ++i) REQUIRE(r.push(item(i)));
}

}  // namespace

TEST_CASE("an empty ring gives nothing", "[ring]") {
  ring r;
  CHECK(r.take() == nullptr);
  CHECK(r.steal() == nullptr);
  CHECK_FALSE(r.retake(item(0)));
  CHECK(r.size() == 0);
  CHECK(r.owned() == 0);
  CHECK_FALSE(r.has_leased());
}

TEST_CASE("the owner takes in the order of pushing", "[ring]") {
  ring r;
  fill(r, 0, 64);
  for (std::size_t i = 0; i < 64; ++i) CHECK(r.take() == item(i));
  CHECK(r.take() == nullptr);
}

TEST_CASE("a full ring refuses, and takes again when there is room", "[ring]") {
  ring r;
  fill(r, 0, 64);
  CHECK_FALSE(r.push(item(64)));
  CHECK(r.owned() == 64);
  REQUIRE(r.take() == item(0));
  CHECK(r.push(item(64)));
  CHECK_FALSE(r.push(item(65)));
  for (std::size_t i = 1; i <= 64; ++i) CHECK(r.take() == item(i));
  CHECK(r.take() == nullptr);
}

TEST_CASE("a ring that thieves emptied has room for as many again", "[ring]") {
  ring r;
  for (int round = 0; round < 5; ++round) {
    fill(r, 0, 64);
    for (std::size_t i = 0; i < 64; ++i) REQUIRE(r.steal() == item(i));
    CHECK(r.steal() == nullptr);
  }
}

TEST_CASE("order survives many turns around the ring", "[ring]") {
  ring r;
  std::size_t pushed = 0;
  std::size_t taken = 0;
  while (taken < 10'000) {
    for (std::size_t n = pushed % 64 + 1; n > 0 && r.push(item(pushed % 256)); --n) ++pushed;
    for (std::size_t n = taken % 48 + 1; n > 0; --n) {
      int* const got = n % 5 == 0 && !r.has_leased() ? r.steal() : r.take();
      if (got == nullptr) break;
      REQUIRE(got == item(taken % 256));
      ++taken;
    }
    REQUIRE(r.owned() == pushed - taken);
  }
}

TEST_CASE("thieves take from the front, past the owner's lease", "[ring]") {
  ring r;
  fill(r, 0, 48);
  REQUIRE(r.take() == item(0));
  std::size_t const leased = thread_barrier::asymmetric() ? 48 / 16 : 1;
  CHECK(r.size() == 48 - leased);
  CHECK(r.owned() == 47);
  CHECK(r.steal() == item(leased));
  for (std::size_t i = 1; i < leased; ++i) CHECK(r.take() == item(i));
  CHECK(r.take() == item(leased + 1));
}

TEST_CASE("a lease is at most one in sixteen, and at most sixteen", "[ring][rule27]") {
  weft::detail::basic_ring<int*, 1024> r;
  for (std::size_t i = 0; i < 1024; ++i) REQUIRE(r.push(item(i % 256)));
  REQUIRE(r.take() != nullptr);
  CHECK(1024 - r.size() <= 16);
  ring few;
  fill(few, 0, 15);
  REQUIRE(few.take() == item(0));
  CHECK(few.size() == 14);
}

TEST_CASE("what was taken last can be put back to the front", "[ring]") {
  if (!thread_barrier::asymmetric()) return;  // then nothing may stay in a lease
  ring r;
  fill(r, 0, 64);
  REQUIRE(r.take() == item(0));  // leases 0 to 3
  CHECK(r.put_back(item(0)));
  CHECK(r.owned() == 64);
  CHECK_FALSE(r.push(item(64)));
  CHECK(r.take() == item(0));
  CHECK_FALSE(r.put_back(item(1)));
  REQUIRE(r.take() == item(1));
  CHECK(r.put_back(item(1)));
  std::vector<int*> rescued;
  auto const sink = [&](int* i) { rescued.push_back(i); };
  CHECK(r.rescue(sink) == 3);
  CHECK(rescued == std::vector<int*>{item(1), item(2), item(3)});
  CHECK(r.take() == item(4));
}

TEST_CASE("what was taken before a rescue and put back after it is the owner's", "[ring][rule27]") {
  if (!thread_barrier::asymmetric()) return;
  ring r;
  fill(r, 0, 64);
  REQUIRE(r.take() == item(0));
  std::vector<int*> rescued;
  CHECK(r.rescue([&](int* i) { rescued.push_back(i); }) == 3);
  CHECK(r.put_back(item(0)));
  CHECK(r.take() == item(0));
  CHECK(r.take() == item(4));
}

TEST_CASE("a take that meets a rescue takes nothing, and the next one settles it", "[ring][rule27]") {
  if (!thread_barrier::asymmetric()) return;
  ring r;
  fill(r, 0, 64);
  std::vector<int*> rescued;
  auto const sink = [&](int* i) { rescued.push_back(i); };
  REQUIRE(r.take() == item(0));
  CHECK(r.rescue(sink) == 3);
  REQUIRE(r.has_leased());
  CHECK(r.take_leased() == nullptr);
  CHECK(r.take_leased() == nullptr);
  CHECK(r.take() == item(4));
  CHECK(rescued == std::vector<int*>{item(1), item(2), item(3)});
}

TEST_CASE("a rescue that comes too late for a lease takes nothing of the next", "[ring][rule27]") {
  if (!thread_barrier::asymmetric()) return;
  ring r;
  fill(r, 0, 20);
  REQUIRE(r.take() == item(0));
  REQUIRE_FALSE(r.has_leased());
  CHECK(r.rescue([](int*) { FAIL("there was nothing to rescue"); }) == 0);
  REQUIRE(r.lease());
  CHECK(r.take_leased() == nullptr);
  for (std::size_t i = 1; i < 20; ++i) CHECK(r.take() == item(i));
  CHECK_FALSE(r.lease());
  fill(r, 0, 64);  // as much room as ever
  CHECK_FALSE(r.push(item(64)));
}

TEST_CASE("the newest can be taken back, and nothing else", "[ring]") {
  ring r;
  fill(r, 0, 3);
  CHECK_FALSE(r.retake(item(0)));
  CHECK_FALSE(r.retake(item(1)));
  CHECK(r.retake(item(2)));
  CHECK_FALSE(r.retake(item(2)));
  CHECK(r.retake(item(1)));
  CHECK(r.retake(item(0)));
  CHECK_FALSE(r.retake(item(0)));
  CHECK(r.take() == nullptr);
  fill(r, 0, 64);
  CHECK_FALSE(r.push(item(64)));
  CHECK(r.retake(item(63)));
  CHECK(r.push(item(64)));
  for (std::size_t i = 0; i < 63; ++i) CHECK(r.take() == item(i));
  CHECK(r.take() == item(64));
}

TEST_CASE("what is leased, taken or stolen cannot be taken back", "[ring]") {
  ring r;
  fill(r, 0, 1);
  REQUIRE(r.take() == item(0));
  CHECK_FALSE(r.retake(item(0)));
  fill(r, 1, 1);
  REQUIRE(r.steal() == item(1));
  CHECK_FALSE(r.retake(item(1)));
  fill(r, 2, 1);
  CHECK(r.take() == item(2));
}

TEST_CASE("rescue takes what is left of the lease, once", "[ring][rule27]") {
  if (!thread_barrier::asymmetric()) return;  // then nothing is leased ahead
  ring r;
  fill(r, 0, 64);
  auto const before = r.progress();
  CHECK((before & 1U) == 0);
  REQUIRE(r.take() == item(0));  // leases 0 to 3
  CHECK((r.progress() & 1U) == 1);
  CHECK(r.progress() == r.progress());
  std::vector<int*> rescued;
  auto const sink = [&](int* i) { rescued.push_back(i); };
  CHECK(r.rescue(sink) == 3);
  CHECK(rescued == std::vector<int*>{item(1), item(2), item(3)});
  CHECK(r.rescue(sink) == 0);  // until the owner has settled the first
  for (std::size_t i = 4; i < 64; ++i) CHECK(r.take() == item(i));
  CHECK(r.take() == nullptr);
  CHECK((r.progress() & 1U) == 0);
}

TEST_CASE("a rescue that finds nothing leaves the owner's next lease alone", "[ring][rule27]") {
  if (!thread_barrier::asymmetric()) return;
  ring r;
  fill(r, 0, 1);
  REQUIRE(r.take() == item(0));
  CHECK(r.rescue([](int*) { FAIL("there was nothing to rescue"); }) == 0);
  fill(r, 1, 40);
  for (std::size_t i = 1; i <= 40; ++i) CHECK(r.take() == item(i));
  CHECK(r.take() == nullptr);
}

TEST_CASE("what was rescued makes room once the owner has noticed", "[ring][rule27]") {
  if (!thread_barrier::asymmetric()) return;
  ring r;
  fill(r, 0, 64);
  REQUIRE(r.take() == item(0));
  std::size_t rescued = r.rescue([](int*) {});
  REQUIRE(rescued == 3);
  CHECK(r.push(item(64)));
  CHECK_FALSE(r.push(item(65)));  // the owner does not know yet
  CHECK(r.take() == item(4));
  std::size_t more = 0;
  while (r.push(item(65 + more))) ++more;
  CHECK(more == 4);
  for (std::size_t i = 5; i < 65 + more; ++i) CHECK(r.take() == item(i));
}

TEST_CASE("progress tells whether the owner has taken anything", "[ring][rule27]") {
  ring r;
  fill(r, 0, 64);
  REQUIRE(r.take() != nullptr);
  auto const before = r.progress();
  CHECK(r.progress() == before);
  fill(r, 64, 1);
  CHECK(r.progress() == before);
  REQUIRE(r.take() != nullptr);
  CHECK(r.progress() != before);
}
