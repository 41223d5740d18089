/// @file
/// Addresses and endpoints as text and back.

#include "support/catch.hpp"

#include <weft/io/endpoint.hpp>

#include <string>
#include <system_error>

using weft::io::endpoint;
using weft::io::ip_address;

TEST_CASE("an address is read from its text and written as it", "[io][endpoint]") {
  for (std::string const text : {"127.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::ff00:42:8329"}) {
    CHECK(ip_address::parse(text).to_string() == text);
  }
  CHECK(ip_address::parse("fe80::1%7").scope() == 7);
  CHECK(ip_address::parse("fe80::1%7").to_string() == "fe80::1%7");
  CHECK(ip_address::parse("127.0.0.1") == ip_address::loopback_v4());
  CHECK(ip_address::parse("::1") == ip_address::loopback_v6());
}

TEST_CASE("what is no address is refused, and named", "[io][endpoint]") {
  using Catch::Matchers::Contains;
  for (std::string const text : {"", "localhost", "127.0.0.1:80", "1.2.3", "1.2.3.4.5", "256.1.1.1", "[::1]",
                                 ":::", "127.0.0.1%1", "fe80::1%", "fe80::1%no-such-interface", "1.2.3.4 "}) {
    std::error_code ec;
    CHECK(ip_address::parse(text, ec) == ip_address{});
    CHECK(ec == std::errc::invalid_argument);
    CHECK_THROWS_WITH(ip_address::parse(text), Contains("`" + text + "`"));
  }
  std::error_code ec;
  (void)ip_address::parse(std::string(100'000, '1'), ec);
  CHECK(ec == std::errc::invalid_argument);
  (void)ip_address::parse(std::string("127.0.0.1\0", 10), ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("an address knows what it is for", "[io][endpoint]") {
  CHECK(ip_address::parse("127.3.2.1").is_loopback());
  CHECK(ip_address::parse("::1").is_loopback());
  CHECK_FALSE(ip_address::parse("128.0.0.1").is_loopback());
  CHECK(ip_address::parse("224.0.0.1").is_multicast());
  CHECK(ip_address::parse("ff02::1").is_multicast());
  CHECK_FALSE(ip_address::parse("223.0.0.1").is_multicast());
}

TEST_CASE("an endpoint is written as URLs have it", "[io][endpoint]") {
  CHECK(endpoint{"127.0.0.1", 80}.to_string() == "127.0.0.1:80");
  CHECK(endpoint{"::1", 65535}.to_string() == "[::1]:65535");
  CHECK(endpoint{}.to_string() == "0.0.0.0:0");
}
