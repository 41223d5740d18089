/// @file
/// Datagrams on loopback. The system may drop some, though on loopback it does so only when a buffer is full.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"

#include <weft/io/udp_socket.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <net/if.h>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::anywhere;
using weft::test::run_on;
using weft::test::some_workers;

std::string text_of(std::span<std::byte const> buffer, datagram const& what) {
  return {reinterpret_cast<char const*>(buffer.data()), what.size};
}

}  // namespace

TEST_CASE("datagrams go there and back, and tell where they are from", "[io][udp]") {
  run_on(some_workers(), [] {
    auto here = udp_socket::bind(anywhere());
    auto there = udp_socket::bind(anywhere());
    auto echo = weft::spawn([&] {
      std::array<std::byte, 100> buffer{};
      for (int i = 0; i < 50; ++i) {
        auto const got = there.receive_from(buffer);
        there.send_to(got.from, std::span{buffer}.first(got.size));
      }
    });
    std::array<std::byte, 100> buffer{};
    for (int i = 0; i < 50; ++i) {
      std::string const text = i == 7 ? "" : "datagram " + std::to_string(i);
      here.send_to(there.local_endpoint(), text);
      auto const got = here.receive_from(buffer);
      CHECK(text_of(buffer, got) == text);
      CHECK(got.from == there.local_endpoint());
      CHECK_FALSE(got.truncated());
    }
    echo.get();
  });
}

TEST_CASE("a connected socket sends to its peer and hears of nobody else", "[io][udp]") {
  run_on(some_workers(), [] {
    auto server = udp_socket::bind(anywhere());
    auto stranger = udp_socket::bind(anywhere());
    auto client = udp_socket::connect(server.local_endpoint());
    stranger.send_to(client.local_endpoint(), "from a stranger");
    client.send("hello");
    std::array<std::byte, 100> buffer{};
    auto const got = server.receive_from(buffer);
    CHECK(text_of(buffer, got) == "hello");
    CHECK(got.from == client.local_endpoint());
    server.send_to(got.from, "welcome");
    CHECK(text_of(buffer, client.receive_from(buffer)) == "welcome");
    client.set_peer(stranger.local_endpoint());
    client.send("hello");
    CHECK(stranger.receive_from(buffer).from == client.local_endpoint());
  });
}

TEST_CASE("what is larger than the buffer is cut, and says so; larger than a datagram is refused",
          "[io][udp][bad-input]") {
  run_on(some_workers(), [] {
    auto here = udp_socket::bind(anywhere());
    here.send_to(here.local_endpoint(), "0123456789");
    here.send_to(here.local_endpoint(), "next");
    std::array<std::byte, 4> buffer{};
    auto const cut = here.receive_from(buffer);
    CHECK(cut.truncated());
    CHECK(cut.size == 4);
    CHECK(cut.length == 10);
    auto const whole = here.receive_from(buffer);
    CHECK_FALSE(whole.truncated());
    CHECK(text_of(buffer, whole) == "next");
    here.send_to(here.local_endpoint(), "x");
    auto const nothing = here.receive_from({});
    CHECK(nothing.length == 1);
    CHECK(nothing.truncated());

    std::vector<std::byte> most(65'507);
    here.send_to(here.local_endpoint(), most);
    std::vector<std::byte> room(70'000);
    CHECK(here.receive_from(room).size == most.size());
    std::error_code ec;
    for (std::size_t const size : {65'508U, 65'536U, 1'000'000U}) {
      here.send_to(here.local_endpoint(), std::vector<std::byte>(size), ec);
      CHECK(ec == std::errc::message_size);
    }
    CHECK_THROWS_WITH(here.send_to(here.local_endpoint(), std::vector<std::byte>(65'508)),
                      Catch::Matchers::Contains("65508 bytes to 127.0.0.1"));
  });
}

TEST_CASE("nobody there, an address in use, a closed socket", "[io][udp][bad-input]") {
  run_on(some_workers(), [] {
    auto here = udp_socket::bind(anywhere());
    std::error_code ec;
    CHECK_FALSE(udp_socket::bind(here.local_endpoint(), {}, ec).is_open());
    CHECK(ec == std::errc::address_in_use);
    CHECK_THROWS_WITH(udp_socket::bind(here.local_endpoint()),
                      Catch::Matchers::Contains(here.local_endpoint().to_string()));
    // Who hears of somebody else only is not there for others.
    auto const deaf = udp_socket::connect(here.local_endpoint());
    auto client = udp_socket::connect(deaf.local_endpoint());
    client.send("into the void");
    std::array<std::byte, 4> buffer{};
    (void)client.receive_from(buffer, ec);
    CHECK(ec == std::errc::connection_refused);
    auto waiting = weft::spawn([&] {
      std::error_code why;
      (void)here.receive_from(buffer, why);
      return why;
    });
    for (int i = 0; i < 20; ++i) weft::yield();
    here.close();
    CHECK(waiting.get() == std::errc::bad_file_descriptor);
    CHECK_THROWS_AS(here.send("x"), std::system_error);
    CHECK_THROWS_AS(here.broadcast(true), std::system_error);
    CHECK_THROWS_AS(udp_socket{}.local_endpoint(), std::system_error);
  });
}

TEST_CASE("a datagram is waited for until the deadline", "[io][udp]") {
  run_on(some_workers(), [] {
    auto here = udp_socket::bind(anywhere());
    std::array<std::byte, 4> buffer{};
    CHECK_THROWS_AS(weft::with_timeout(1ms, [&] { (void)here.receive_from(buffer); }), weft::timeout_error);
    here.send_to(here.local_endpoint(), "late");
    CHECK(text_of(buffer, here.receive_from(buffer)) == "late");
  });
}

TEST_CASE("members of a group on loopback receive what is sent to it", "[io][udp]") {
  run_on(some_workers(), [] {
    auto const loopback = ::if_nametoindex("lo");
    if (loopback == 0) return;
    auto const group = ip_address::parse("239.255.77.1");
    auto member = udp_socket::bind({ip_address::any_v4(), 0});
    endpoint const at{group, member.local_endpoint().port()};
    std::error_code ec;
    member.join(group, loopback, ec);
    auto sender = udp_socket::bind(anywhere());
    if (!ec) sender.multicast_interface(loopback, ec);
    if (ec) {
      WARN("no multicast here: " << ec.message());
      return;
    }
    sender.multicast_ttl(1);
    sender.multicast_loop(true);
    sender.send_to(at, std::as_bytes(std::span{"hello", 5}), ec);
    if (ec) {
      WARN("no multicast here: " << ec.message());
      return;
    }
    std::array<std::byte, 10> buffer{};
    CHECK(text_of(buffer, member.receive_from(buffer)) == "hello");
    member.leave(group, loopback);
    sender.send_to(at, "not received");
    sender.send_to({ip_address::loopback_v4(), at.port()}, "direct");
    CHECK(text_of(buffer, member.receive_from(buffer)) == "direct");
  });
}

TEST_CASE("a group of IPv6 is joined on the interface that its address names", "[io][udp][ipv6]") {
  auto const loopback = ::if_nametoindex("lo");
  if (loopback == 0) return;
  run_on(1, [&] {
    std::error_code ec;
    auto here = udp_socket::bind({ip_address::any_v6(), 0}, {}, ec);
    if (ec) return;
    auto const group = ip_address::parse("ff02::7:1234%lo");
    here.join(group, 0, ec);
    if (ec) {
      WARN("no multicast here: " << ec.message());
      return;
    }
    auto const lines = weft::io::read_file("/proc/net/igmp6");
    auto const at = lines.find("ff020000000000000000000000071234");
    REQUIRE(at != std::string::npos);
    auto const line = lines.rfind('\n', at) + 1;  // or 0
    CHECK(lines.substr(line, at - line).find(" lo ") != std::string::npos);
    here.leave(group);
    here.join(group, loopback + 1, ec);
    CHECK(ec == std::errc::invalid_argument);
  });
}

TEST_CASE("options that cannot be are refused", "[io][udp][bad-input]") {
  run_on(some_workers(), [] {
    auto here = udp_socket::bind(anywhere());
    std::error_code ec;
    here.join(ip_address::loopback_v4(), 0, ec);
    CHECK(ec == std::errc::invalid_argument);
    here.multicast_ttl(256, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK_THROWS_AS(here.leave(ip_address::parse("239.1.2.3")), std::system_error);
    here.send_to({ip_address::parse("255.255.255.255"), 9}, std::span<std::byte const>{}, ec);
    CHECK((ec == std::errc::permission_denied || ec == std::errc::network_unreachable));
    here.broadcast(true);
  });
}
