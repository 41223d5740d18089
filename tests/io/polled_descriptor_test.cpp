/// @file
/// Waiting for descriptors: who is woken, what is remembered, and how it ends.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/socket_pair.hpp"
#include "support/verify.hpp"

#include <weft/runtime/detail/polled_descriptor.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace std::chrono_literals;
using weft::detail::descriptor_outcome;
using weft::detail::owned_descriptor;
using weft::detail::polled_descriptor;
using weft::detail::readiness;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::verify;

descriptor_outcome wait(polled_descriptor& for_it, readiness what, weft::time_point deadline = weft::never) {
  polled_descriptor::use in_use{for_it};
  return in_use.wait(what, deadline);
}

}  // namespace

TEST_CASE("each event wakes one that waits, the first first", "[io][polled_descriptor]") {
  run_on(some_workers(), [] {
    weft::test::socket_pair sockets;
    auto const polled = polled_descriptor::make(sockets.end(0));
    polled->exhausted(readiness::readable);
    std::atomic<int> bytes{0};
    std::vector<weft::task<void>> readers;
    for (int i = 0; i < 4; ++i) {
      readers.push_back(weft::spawn([&] {
        for (;;) {
          polled_descriptor::use in_use{*polled};
          if (in_use.wait(readiness::readable) == descriptor_outcome::closed) return;
          char byte = 0;
          while (::read(sockets.end(0), &byte, 1) == 1) ++bytes;
        }
      }));
    }
    for (int i = 0; i < 1000; ++i) {
      REQUIRE(::write(sockets.end(1), "x", 1) == 1);
      while (bytes != i + 1) weft::yield();
    }
    CHECK(polled->close());
    CHECK_FALSE(polled->close());
    for (auto& t : readers) t.get();
  });
}

TEST_CASE("readiness that nobody waited for is remembered, and forgotten when used up", "[io][polled_descriptor]") {
  run_on(some_workers(), [] {
    weft::test::socket_pair sockets;
    auto const polled = polled_descriptor::make(sockets.end(0));
    CHECK(polled->seems_ready(readiness::readable));
    CHECK(wait(*polled, readiness::readable) == descriptor_outcome::ready);  // used up
    CHECK_FALSE(polled->seems_ready(readiness::readable));
    CHECK(wait(*polled, readiness::readable, weft::clock::now()) == descriptor_outcome::timed_out);
    REQUIRE(::write(sockets.end(1), "x", 1) == 1);
    while (!polled->seems_ready(readiness::readable)) weft::yield();  // it stayed armed
    CHECK(wait(*polled, readiness::readable) == descriptor_outcome::ready);
    CHECK(wait(*polled, readiness::readable) == descriptor_outcome::ready);  // it still is, and says so again
    char byte = 0;
    REQUIRE(::read(sockets.end(0), &byte, 1) == 1);
    polled->exhausted(readiness::readable);
    CHECK(wait(*polled, readiness::writable) == descriptor_outcome::ready);
    polled->exhausted(readiness::writable);
    CHECK(wait(*polled, readiness::writable) == descriptor_outcome::ready);
    CHECK(wait(*polled, readiness::readable, weft::clock::now()) == descriptor_outcome::timed_out);
  });
}

TEST_CASE("an event that nobody waits for is worth one report, whether or not it was asked for",
          "[io][polled_descriptor]") {
  weft::test::socket_pair sockets;
  auto const polled = polled_descriptor::make(sockets.end(0));
  polled->exhausted(readiness::readable);
  CHECK_FALSE(polled->take_event(readiness::readable));  // it is remembered
  CHECK(polled->seems_ready(readiness::readable));
  CHECK(polled->take_event(readiness::readable));  // else the loop would go round and round
  CHECK(polled->seems_ready(readiness::readable));
}

TEST_CASE("what is wrong with a descriptor comes out of the first wait", "[io][polled_descriptor]") {
  run_on(1, [] {
    int const file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    {
      auto const polled = polled_descriptor::make(file);
      polled->exhausted(readiness::readable);
      CHECK_THROWS_AS(wait(*polled, readiness::readable), std::system_error);
      CHECK_THROWS_AS(wait(*polled, readiness::readable), std::system_error);
    }
    ::close(file);
  });
}

TEST_CASE("a descriptor outlives the runtime that watched it, and is watched by another", "[io][polled_descriptor]") {
  weft::test::socket_pair sockets;
  auto const polled = polled_descriptor::make(sockets.end(0));
  auto const workers = some_workers();
  for (int round = 0; round < 3; ++round) {
    run_on(workers, [&] {
      polled->exhausted(readiness::readable);
      CHECK(wait(*polled, readiness::readable, weft::clock::now()) == descriptor_outcome::timed_out);
      REQUIRE(::write(sockets.end(1), "x", 1) == 1);
      CHECK(wait(*polled, readiness::readable) == descriptor_outcome::ready);
      char byte = 0;
      REQUIRE(::read(sockets.end(0), &byte, 1) == 1);
      polled->exhausted(readiness::readable);
    });
  }
  polled->exhausted(readiness::readable);
  CHECK_THROWS_AS(wait(*polled, readiness::readable), weft::no_runtime);
}

TEST_CASE("two objects may wait for the same number", "[io][polled_descriptor]") {
  run_on(some_workers(), [] {
    weft::test::socket_pair sockets;
    auto const one = polled_descriptor::make(sockets.end(0));
    auto const other = polled_descriptor::make(sockets.end(0));
    auto const until_readable = [](polled_descriptor& d) {
      d.exhausted(readiness::readable);
      verify(wait(d, readiness::readable) == descriptor_outcome::ready);
    };
    auto first = weft::spawn([&] { until_readable(*one); });
    auto second = weft::spawn([&] { until_readable(*other); });
    weft::yield();
    REQUIRE(::write(sockets.end(1), "x", 1) == 1);
    first.get();
    second.get();
  });
}

TEST_CASE("H9: closing one of two objects of a number, which is not armed, leaves the other's events alone",
          "[io][polled_descriptor]") {
  run_on(1, [] {
    weft::test::socket_pair sockets;
    auto first = polled_descriptor::make(sockets.end(0));
    first->exhausted(readiness::readable);
    CHECK(wait(*first, readiness::readable, weft::clock::now()) == descriptor_outcome::timed_out);
    // Events that find nobody: it is disarmed.
    REQUIRE(::write(sockets.end(1), "x", 1) == 1);
    for (int looks = 0; looks < 4; ++looks) weft::sleep_for(1ms);
    char byte = 0;
    REQUIRE(::read(sockets.end(0), &byte, 1) == 1);

    auto const second = polled_descriptor::make(sockets.end(0));
    second->exhausted(readiness::readable);
    auto waits = weft::spawn(weft::spawn_options{.start = weft::start::eager},
                             [&] { return wait(*second, readiness::readable, weft::clock::now() + 60s); });
    weft::sleep_for(1ms);  // by now the loop watches for it
    first.reset();
    REQUIRE(::write(sockets.end(1), "x", 1) == 1);
    CHECK(waits.get() == descriptor_outcome::ready);
  });
}

TEST_CASE("H9: closing under those who wait, with the number used again at once, wakes nobody else's",
          "[io][polled_descriptor]") {
  run_on(some_workers(), [] {
    for (int round = 0; round < 2000; ++round) {
      std::array<int, 2> ends{};
      REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
      int const kept = ::dup(ends[0]);  // so that closing does not take it out of the kernel's list
      auto const polled = polled_descriptor::make(ends[0]);
      polled->exhausted(readiness::readable);
      auto reader = weft::spawn(weft::spawn_options{.start = weft::start::eager},
                                [&] { return wait(*polled, readiness::readable); });
      CHECK(polled->close());
      ::close(ends[0]);
      std::array<int, 2> next{};
      REQUIRE(::pipe2(next.data(), O_NONBLOCK | O_CLOEXEC) == 0);
      CHECK(next[0] == ends[0]);
      auto const successor = polled_descriptor::make(next[0]);
      successor->exhausted(readiness::readable);
      auto waits = weft::spawn(weft::spawn_options{.start = weft::start::eager},
                               [&] { return wait(*successor, readiness::readable, weft::clock::now()); });
      REQUIRE(::write(ends[1], "x", 1) == 1);  // for the one that has been closed
      CHECK(waits.get() == descriptor_outcome::timed_out);
      CHECK_FALSE(successor->seems_ready(readiness::readable));
      CHECK(reader.get() == descriptor_outcome::closed);
      CHECK(successor->close());
      for (int const end : {ends[1], kept, next[0], next[1]}) ::close(end);
    }
  });
}

TEST_CASE("who simulates a descriptor is asked by each that waits, and its report wakes all",
          "[io][polled_descriptor]") {
  struct simulator final : weft::detail::readiness_source {
    void wanted(polled_descriptor& of, readiness what) noexcept override {
      ++asked;
      if (is_ready) of.became_ready(what);
    }
    std::atomic<int> asked{0};
    std::atomic<bool> is_ready{false};
  };
  run_on(some_workers(), [] {
    simulator source;
    auto const polled = polled_descriptor::make(1 << 24, weft::detail::descriptor_kind::simulated);
    polled->reported_by(source);
    polled->exhausted(readiness::readable);
    std::vector<weft::task<descriptor_outcome>> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(weft::spawn([&] { return wait(*polled, readiness::readable); }));
    while (source.asked != 3) weft::yield();
    polled->became_ready(readiness::readable);
    for (auto& t : waiting) CHECK(t.get() == descriptor_outcome::ready);
    CHECK(wait(*polled, readiness::readable, weft::clock::now()) == descriptor_outcome::timed_out);
    polled->became_ready(readiness::readable);  // nobody waits: it is remembered, once
    CHECK(wait(*polled, readiness::readable) == descriptor_outcome::ready);
    CHECK(source.asked == 4);
    source.is_ready = true;
    for (int i = 0; i < 3; ++i) CHECK(wait(*polled, readiness::readable) == descriptor_outcome::ready);
    CHECK(source.asked == 7);
    CHECK(wait(*polled, readiness::writable) == descriptor_outcome::ready);
    CHECK(polled->close());
    CHECK(wait(*polled, readiness::readable) == descriptor_outcome::closed);
  });
}
