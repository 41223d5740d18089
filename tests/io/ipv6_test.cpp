/// @file
/// Streams and datagrams over IPv6 on loopback, and what an IPv6 socket gets from IPv4.

#include "io/both_networks.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/udp_socket.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace {

using namespace weft::io;
using weft::test::on_both_networks;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::verify;

constexpr endpoint anywhere_v6{ip_address::loopback_v6(), 0};

/// Asked of the system, not of what is tested.
bool has_ipv6() {
  int const s = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return false;
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  at.sin6_addr = in6addr_loopback;
  bool const has = ::bind(s, reinterpret_cast<sockaddr const*>(&at), sizeof at) == 0;
  ::close(s);
  if (!has) WARN("skipped: this machine has no IPv6");
  return has;
}

/// As the kernel shows 127.0.0.1 to an IPv6 socket.
ip_address mapped_loopback() { return ip_address::parse("::ffff:127.0.0.1"); }

std::string read_exactly(tcp_stream& from, std::size_t size) {
  std::string text(size, '\0');
  from.read_exactly(std::as_writable_bytes(std::span{text}));
  return text;
}

}  // namespace

TEST_CASE("a stream over IPv6: both ends tell the other's address", "[io][tcp][ipv6]") {
  if (!has_ipv6()) return;
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere_v6);
    auto const at = listener.local_endpoint();
    verify(at.address() == ip_address::loopback_v6() && at.port() != 0);
    auto here = tcp_stream::connect(at);
    endpoint from;
    auto there = listener.accept(&from);
    verify(from == here.local_endpoint() && there.remote_endpoint() == from && here.remote_endpoint() == at);
    here.write_all(std::string_view{"six"});
    verify(read_exactly(there, 3) == "six");
    there.write_all(std::string_view{"back"});
    verify(read_exactly(here, 4) == "back");
    verify(tcp_stream::connect("::1", at.port()).is_open());  // an address as text, by way of resolve()
  });
}

TEST_CASE("a listener at any IPv6 address takes IPv4 too, unless it is told not to", "[io][tcp][ipv6]") {
  if (!has_ipv6()) return;
  run_on(some_workers(), [] {
    endpoint const any{ip_address::any_v6(), 0};
    {
      auto both = tcp_listener::bind(any);
      auto here = tcp_stream::connect({ip_address::loopback_v4(), both.local_endpoint().port()});
      endpoint from;
      auto there = both.accept(&from);
      verify(from.address() == mapped_loopback() && from.port() == here.local_endpoint().port());
      here.write_all(std::string_view{"four"});
      verify(read_exactly(there, 4) == "four");
    }
    auto six = tcp_listener::bind(any, {.v6_only = true});
    std::error_code ec;
    (void)tcp_stream::connect({ip_address::loopback_v4(), six.local_endpoint().port()}, ec);
    verify(ec == std::errc::connection_refused);
    verify(tcp_stream::connect({ip_address::loopback_v6(), six.local_endpoint().port()}).is_open());
  });
}

TEST_CASE("datagrams over IPv6, and from IPv4 to an IPv6 socket and back", "[io][udp][ipv6]") {
  if (!has_ipv6()) return;
  run_on(some_workers(), [] {
    std::array<std::byte, 16> buffer{};
    auto const text = [&](datagram const& got) {
      return std::string_view{reinterpret_cast<char const*>(buffer.data()), got.size};
    };
    auto here = udp_socket::bind(anywhere_v6);
    auto client = udp_socket::connect(here.local_endpoint());
    client.send("six");
    auto got = here.receive_from(buffer);
    verify(text(got) == "six" && got.from == client.local_endpoint());
    here.send_to(got.from, "back");
    verify(text(client.receive_from(buffer)) == "back");

    auto any = udp_socket::bind({ip_address::any_v6(), 0});
    auto four = udp_socket::bind({ip_address::loopback_v4(), 0});
    four.send_to({ip_address::loopback_v4(), any.local_endpoint().port()}, "four");
    got = any.receive_from(buffer);
    verify(text(got) == "four" && got.from == endpoint{mapped_loopback(), four.local_endpoint().port()});
    any.send_to(got.from, "back");
    got = four.receive_from(buffer);
    verify(text(got) == "back" && got.from.port() == any.local_endpoint().port());

    auto six = udp_socket::bind({ip_address::any_v6(), 0}, {.v6_only = true});
    auto refused = udp_socket::connect({ip_address::loopback_v4(), six.local_endpoint().port()});
    refused.send("nobody");
    std::error_code ec;
    (void)refused.receive_from(buffer, ec);
    verify(ec == std::errc::connection_refused);
  });
}

TEST_CASE("both networks: IPv6 sockets reach IPv4 ones by their mapped addresses", "[io][udp][tcp][ipv6][simulation]") {
  if (!has_ipv6()) return;
  on_both_networks([] {
    std::array<std::byte, 16> buffer{};
    auto const text = [&](datagram const& got) {
      return std::string_view{reinterpret_cast<char const*>(buffer.data()), got.size};
    };
    auto any = udp_socket::bind({ip_address::any_v6(), 0});
    auto const port = any.local_endpoint().port();
    auto four = udp_socket::bind({ip_address::loopback_v4(), 0});
    four.send_to({ip_address::loopback_v4(), port}, "four");
    auto got = any.receive_from(buffer);
    verify(text(got) == "four" && got.from == endpoint{mapped_loopback(), four.local_endpoint().port()});
    any.send_to(got.from, "back");
    got = four.receive_from(buffer);
    verify(text(got) == "back" && got.from == endpoint{ip_address::loopback_v4(), port});
    auto connected = udp_socket::connect({ip_address::loopback_v4(), port});
    connected.send("connected");
    any.send_to(any.receive_from(buffer).from, "answer");
    verify(text(connected.receive_from(buffer)) == "answer");

    auto listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
    auto here = tcp_stream::connect({mapped_loopback(), listener.local_endpoint().port()});
    endpoint from;
    auto there = listener.accept(&from);
    verify(from == endpoint{ip_address::loopback_v4(), here.local_endpoint().port()});
    verify(here.remote_endpoint().address() == mapped_loopback());
    here.write_all(std::string_view{"four"});
    verify(read_exactly(there, 4) == "four");

    auto six = udp_socket::bind({ip_address::any_v6(), 0}, {.v6_only = true});
    std::error_code ec;
    six.send_to({mapped_loopback(), port}, std::span<std::byte const>{}, ec);
    verify(ec == std::errc::network_unreachable);
  });
}
