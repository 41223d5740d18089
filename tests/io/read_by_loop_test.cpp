/// @file
/// Reads that the loop makes for who waits: what it may do, what it leaves, and what the reader gets.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/socket_pair.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/stream.hpp>
#include <weft/runtime/detail/polled_descriptor.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <system_error>
#include <utility>

using namespace weft::test;
using weft::detail::descriptor_node;
using weft::detail::polled_descriptor;
using weft::detail::read_by_loop;
using weft::detail::readiness;

namespace {

struct outcome {
  ssize_t result;
  std::string text;
  std::size_t bytes_left;
};

/// One who waits to read `size` bytes, and an event with so much of the loop's budget left.
outcome event_for_reader(polled_descriptor& polled, std::size_t size, std::size_t budget) {
  std::array<char, 16> buffer{};
  read_by_loop read{buffer.data(), size};
  weft::waiter self{"a read"};
  descriptor_node node{self, &read};
  verify(polled.enter_line(readiness::readable, node));
  auto left = budget;
  verify(!polled.take_event(readiness::readable, &left));
  verify(self.wait() == weft::wake_cause::notified);
  auto const got = read.result > 0 ? static_cast<std::size_t>(read.result) : 0;
  return {read.result, {buffer.data(), got}, left};
}

std::span<std::byte const> bytes(std::string_view text) { return std::as_bytes(std::span{text}); }

/// How many bytes have come that nobody has read.
int unread(weft::io::stream const& at) {
  int size = 0;
  verify(::ioctl(at.native_handle(), FIONREAD, &size) == 0);
  return size;
}

}  // namespace

TEST_CASE("the loop reads for who waits, as much as it may", "[io][read_by_loop]") {
  socket_pair const sockets;
  auto const polled = polled_descriptor::make(sockets.end(0));
  polled->exhausted(readiness::readable);
  REQUIRE(::send(sockets.end(1), "abcdef", 6, 0) == 6);

  auto const unasked = event_for_reader(*polled, 3, 2);
  CHECK(unasked.result == read_by_loop::not_made);
  CHECK(unasked.bytes_left == 2);

  auto const full = event_for_reader(*polled, 3, 10);
  CHECK(full.text == "abc");
  CHECK(full.bytes_left == 0);                      // for the call costs something, too
  CHECK(polled->seems_ready(readiness::readable));  // there may be more, of which nobody may be told again

  polled->exhausted(readiness::readable, polled->events());
  auto const rest = event_for_reader(*polled, 16, 1000);
  CHECK(rest.text == "def");
  CHECK(rest.bytes_left == 488);
  CHECK_FALSE(polled->seems_ready(readiness::readable));

  CHECK(event_for_reader(*polled, 16, 100).result == -EAGAIN);  // another was faster
  CHECK_FALSE(polled->seems_ready(readiness::readable));

  ::shutdown(sockets.end(1), SHUT_WR);
  CHECK(event_for_reader(*polled, 16, 100).result == 0);
}

TEST_CASE("an event for who only asks takes nothing", "[io][read_by_loop]") {
  socket_pair const sockets;
  auto const polled = polled_descriptor::make(sockets.end(0));
  polled->exhausted(readiness::readable);
  sockets.send(1);
  weft::waiter self{"readiness"};
  descriptor_node node{self};
  REQUIRE(polled->enter_line(readiness::readable, node));
  std::size_t left = 100;
  CHECK_FALSE(polled->take_event(readiness::readable, &left));
  CHECK(self.wait() == weft::wake_cause::notified);
  CHECK(left == 100);
  CHECK(sockets.take(0));
}

TEST_CASE("reads that wait give what comes, the end, and errors", "[io][read_by_loop]") {
  watchdog dog{"reads that wait"};
  auto const rounds = scaled(60);
  run_on(some_workers(), [&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      auto [one, other] = tcp_pair();
      auto reader = weft::spawn([&end = other] {
        std::string all;
        std::error_code ec;
        std::array<std::byte, 3> buffer{};
        while (auto const size = end.read_some(buffer, ec)) {
          all.append(reinterpret_cast<char const*>(buffer.data()), size);
        }
        return std::pair{all, ec};
      });
      weft::yield();
      for (auto const* part : {"ab", "cdefg", "h"}) {
        one.write_all(bytes(part));
        weft::yield();
      }
      bool const resets = round % 2 == 0;
      if (resets) {
        while (unread(other) != 0) weft::yield();  // the reset would overtake it
        linger const none{1, 0};
        verify(::setsockopt(one.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
      }
      one.close();
      auto const [all, ec] = reader.get();
      verify(all == "abcdefgh");
      verify(ec == (resets ? make_error_code(std::errc::connection_reset) : std::error_code{}));
      dog.feed();
    }
  });
}
