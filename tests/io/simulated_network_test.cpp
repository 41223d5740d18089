/// @file
/// What the simulated network does that the kernel's does not: virtual time, faults, deadlocks, runs that begin anew.

#include <weft/io/testing/simulated_network.hpp>

#include "io/both_networks.hpp"
#include "support/verify.hpp"

#include <weft/io/resolve.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using namespace weft::test;
using weft::testing::network_options;
using weft::testing::simulated_network;
using weft::testing::simulation;

simulation quiet(std::uint64_t seed) {
  weft::testing::simulation_options options{.report_failure = false};
  options.runtime.on_unhandled_exception = [](std::exception_ptr const&, std::string_view) {};
  return simulation{seed, std::move(options)};
}

endpoint at(std::uint16_t port) { return {ip_address::loopback_v4(), port}; }

/// `f()` in a simulation with that network.  @returns its trace's hash
template <class F>
std::uint64_t simulate(std::uint64_t seed, network_options const& options, F&& f) {
  simulation sim{seed};
  simulated_network net{sim, options};
  sim.run([&] {
    f();
    weft::testing::expect_no_leaks();
  });
  CHECK(net.open_descriptors() == 0);
  return sim.trace_hash();
}

/// How often each error comes out of `calls` calls.
template <class F>
std::map<int, int> errors(int calls, F&& call) {
  std::map<int, int> count;
  for (int i = 0; i < calls; ++i) ++count[call()];
  return count;
}

/// A UDP socket on that port; 0: any.
plain_socket udp(std::uint16_t port) {
  plain_socket s{AF_INET, SOCK_DGRAM};
  auto const name = loopback(port);
  REQUIRE(s.calls().bind(s.number(), address_of(name), sizeof name) == 0);
  return s;
}

/// What numbers arrive at one socket of the 1,000 that another sends.
std::vector<int> arrivals(network_options const& options) {
  std::vector<int> got;
  simulate(3, options, [&] {
    auto const receiver = udp(53);
    auto sender = udp(0);
    auto const to = loopback(53);
    REQUIRE(sender.calls().connect(sender.number(), address_of(to), sizeof to) == 0);
    for (int i = 0; i < 1000; ++i) {
      REQUIRE(sender.send(std::to_string(i)) == 0);
      weft::sleep_for(50us);
    }
    weft::sleep_for(1s);
    std::array<char, 10> text{};
    for (;;) {
      auto const n = receiver.calls().recv(receiver.number(), text.data(), text.size(), 0);
      if (n < 0) break;
      got.push_back(std::stoi(std::string(text.data(), static_cast<std::size_t>(n))));
    }
  });
  return got;
}

}  // namespace

TEST_CASE("simulated network: packets take virtual time, within the limits", "[io][simulation]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    simulate(seed, {.min_latency = 3ms, .max_latency = 5ms}, [] {
      auto listener = tcp_listener::bind(at(80));
      auto const begun = weft::testing::now();
      auto here = tcp_stream::connect(at(80));
      auto const connected = weft::testing::now();
      CHECK(connected - begun >= 6ms);
      CHECK(connected - begun <= 10ms);
      auto there = listener.accept();
      here.write_all("x");
      CHECK(weft::testing::now() == connected);
      std::array<std::byte, 1> byte{};
      there.read_exactly(byte);
      CHECK(weft::testing::now() - connected >= 3ms);
      CHECK(weft::testing::now() - connected <= 5ms);
    });
  }
}

TEST_CASE("simulated network: all that wait for packets that nobody sends are a deadlock", "[io][simulation]") {
  simulation sim = quiet(1);
  simulated_network net{sim};
  auto const both_wait = [] {
    auto listener = tcp_listener::bind(at(80));
    auto here = tcp_stream::connect(at(80));
    auto there = listener.accept();
    here.write_all("x");
    auto const read = [](tcp_stream& s) {
      std::array<std::byte, 2> two{};
      s.read_exactly(two);
    };
    auto reader = weft::spawn([&] { read(here); });
    read(there);
  };
  CHECK_THROWS_WITH(sim.run(both_wait),
                    Catch::Matchers::Contains("deadlock") && Catch::Matchers::Contains("'readable descriptor'"));
  CHECK(net.open_descriptors() == 0);
  CHECK_THROWS_AS(sim.run([] { (void)tcp_listener::bind(at(80)).accept(); }), weft::deadlock);
}

TEST_CASE("simulated network: without one sockets are the kernel's, and cannot be waited for", "[io][simulation]") {
  simulation sim = quiet(1);
  CHECK_THROWS_AS(sim.run([] { (void)tcp_listener::bind(at(0)).accept(); }), weft::error);
  auto outside = tcp_listener::bind(at(0));
  simulated_network net{sim};
  CHECK_THROWS_AS(sim.run([&] { (void)outside.accept(); }), weft::error);
}

TEST_CASE("simulated network: a stream that could hold nothing is refused", "[io][simulation][bad-input]") {
  weft::testing::simulation sim{1};
  weft::testing::network_options options;
  options.stream_buffer = 0;
  CHECK_THROWS_AS((weft::testing::simulated_network{sim, options}), std::invalid_argument);
}

TEST_CASE("simulated network: each run begins with nothing", "[io][simulation]") {
  simulation sim{1};
  simulated_network net{sim};
  std::optional<tcp_listener> left;
  auto const leave = [&] {
    left = tcp_listener::bind(at(80));
    (void)tcp_stream::connect(at(80));
  };
  sim.run(leave);
  CHECK(net.open_descriptors() == 1);
  auto const hash = sim.trace_hash();
  auto older = std::move(left);
  sim.run(leave);
  CHECK(sim.trace_hash() == hash);
  older.reset();  // of a run that is over: closes nobody else's
  CHECK(net.open_descriptors() == 1);
  left.reset();
  CHECK(net.open_descriptors() == 0);
}

TEST_CASE("simulated network: it may go before its simulation, and the other way round", "[io][simulation]") {
  auto net = std::unique_ptr<simulated_network>{};
  {
    simulation sim{1};
    net = std::make_unique<simulated_network>(sim);
    {
      simulated_network const other{sim};
    }
    sim.run([] { (void)tcp_listener::bind(at(80)); });
  }
  CHECK(net->open_descriptors() == 0);
}

TEST_CASE("simulated network: a queue that is full makes clients wait, and ask again", "[io][simulation]") {
  simulate(1, {}, [] {
    auto listener = tcp_listener::bind(at(80), {.backlog = 1});
    auto one = tcp_stream::connect(at(80));
    auto two = tcp_stream::connect(at(80));
    auto const begun = weft::testing::now();
    auto three = weft::spawn([] { return tcp_stream::connect(at(80)); });
    weft::sleep_for(500ms);
    CHECK_FALSE(three.ready());
    auto const accepted = listener.accept();
    CHECK(three.get().is_open());
    CHECK(weft::testing::now() - begun >= 1s);
    CHECK(weft::testing::now() - begun < 2s);
    auto four = weft::spawn([] {
      std::error_code ec;
      (void)tcp_stream::connect(at(80), ec);
      return ec;
    });
    CHECK(four.get() == std::errc::timed_out);
    CHECK(weft::testing::now() - begun >= 127s);
    CHECK_THROWS_AS(weft::with_timeout(1s, [] { (void)tcp_stream::connect(at(80)); }), weft::timeout_error);
    auto five = weft::spawn({.start = weft::start::eager}, [] { (void)tcp_stream::connect(at(80)); });
    five.cancel();
    CHECK_THROWS_AS(five.get(), weft::cancelled);
  });
}

TEST_CASE("simulated network: calls fail as often as they should", "[io][simulation]") {
  constexpr int calls = 2000;
  auto const about = [](int n, double share) { return n > calls * share * 0.8 && n < calls * share * 1.2; };
  simulate(1, {.interrupted = 0.3}, [&] {
    auto const s = udp(53);
    char byte = 0;
    auto const seen = errors(calls, [&] { return static_cast<int>(s.calls().recv(s.number(), &byte, 1, 0)); });
    CHECK(about(seen.at(-EINTR), 0.3));
    CHECK(about(seen.at(-EAGAIN), 0.7));
  });
  simulate(1, {.refused = 0.2}, [&] {
    auto listener = tcp_listener::bind(at(80));
    auto const seen = errors(calls, [&] {
      std::error_code ec;
      (void)tcp_stream::connect(at(80), ec);
      if (!ec) (void)listener.accept();
      return ec.value();
    });
    CHECK(about(seen.at(ECONNREFUSED), 0.2));
    CHECK(about(seen.at(0), 0.8));
  });
  simulate(1, {.no_descriptors = 0.25}, [&] {
    auto listener = tcp_listener::bind(at(80));
    auto const seen = errors(calls, [&] {
      auto const client = tcp_stream::connect(at(80));
      std::error_code ec;
      (void)listener.accept(ec);
      for (std::error_code again = ec; again;) (void)listener.accept(again);
      return ec.value();
    });
    CHECK(about(seen.at(EMFILE), 0.25));
    CHECK(about(seen.at(0), 0.75));
  });
  simulate(1, {.reset = 0.3}, [&] {
    auto listener = tcp_listener::bind(at(80));
    auto const seen = errors(calls, [&] {
      auto here = tcp_stream::connect(at(80));
      auto there = listener.accept();
      here.write_all("x");
      std::array<std::byte, 1> byte{};
      std::error_code ec;
      (void)there.read_some(byte, ec);
      return ec.value();
    });
    CHECK(about(seen.at(ECONNRESET), 0.3));
    CHECK(about(seen.at(0), 0.7));
  });
}

TEST_CASE("simulated network: reads and writes move less than they could", "[io][simulation]") {
  simulate(1, {.partial = 0.5}, [] {
    auto listener = tcp_listener::bind(at(80));
    auto here = tcp_stream::connect(at(80));
    auto there = listener.accept();
    std::vector<std::byte> block(10);
    std::set<std::size_t> written;
    std::set<std::size_t> read;
    for (int i = 0; i < 500; ++i) {
      auto const n = here.write_some(block);
      written.insert(n);
      weft::sleep_for(1ms);
      for (std::size_t left = n; left > 0;) {
        auto const part = there.read_some(block);
        read.insert(part);
        left -= part;
      }
    }
    CHECK(written.size() == 10);
    CHECK(read.size() == 10);
  });
}

TEST_CASE("simulated network: datagrams are lost, doubled and overtaken, if that is asked for", "[io][simulation]") {
  constexpr std::size_t plenty = 1'000'000;
  auto const plain = arrivals({.datagram_buffer = plenty});
  REQUIRE(plain.size() == 1000);
  for (int i = 0; i < 1000; ++i) REQUIRE(plain[static_cast<std::size_t>(i)] == i);

  auto const lossy = arrivals({.datagram_buffer = plenty, .loss = 0.2});
  CHECK(lossy.size() > 700);
  CHECK(lossy.size() < 900);
  CHECK(std::is_sorted(lossy.begin(), lossy.end()));

  auto const doubled = arrivals({.datagram_buffer = plenty, .duplicate = 0.2});
  CHECK(doubled.size() > 1100);
  CHECK(doubled.size() < 1300);
  CHECK(std::set<int>(doubled.begin(), doubled.end()).size() == 1000);

  auto const mixed = arrivals({.datagram_buffer = plenty, .reorder = 0.2});
  CHECK(mixed.size() == 1000);
  CHECK(std::set<int>(mixed.begin(), mixed.end()).size() == 1000);
  CHECK_FALSE(std::is_sorted(mixed.begin(), mixed.end()));

  auto const small_buffer = arrivals({.datagram_buffer = 10'000});
  CHECK(small_buffer.size() < 100);
  CHECK_FALSE(small_buffer.empty());
}

TEST_CASE("simulated network: all members of a group get what is sent to it", "[io][simulation]") {
  simulate(1, {}, [] {
    auto const group = loopback(53);
    std::vector<plain_socket> members;
    int const one = 1;
    for (int i = 0; i < 4; ++i) {
      plain_socket s{AF_INET, SOCK_DGRAM};
      REQUIRE(s.calls().setsockopt(s.number(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
      sockaddr_in any{};
      any.sin_family = AF_INET;
      any.sin_port = htons(53);
      REQUIRE(s.calls().bind(s.number(), address_of(any), sizeof any) == 0);
      ip_mreq join{};
      join.imr_multiaddr.s_addr = htonl(0xE0000001);
      if (i < 3) REQUIRE(s.calls().setsockopt(s.number(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) == 0);
      members.push_back(std::move(s));
    }
    plain_socket sender{AF_INET, SOCK_DGRAM};
    auto to = group;
    to.sin_addr.s_addr = htonl(0xE0000001);
    REQUIRE(sender.calls().connect(sender.number(), address_of(to), sizeof to) == 0);
    REQUIRE(sender.send("all") == 0);
    std::string text;
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(members[i].receive(text) == 0);
      CHECK(text == "all");
    }
    char byte = 0;
    CHECK(members[3].calls().recv(members[3].number(), &byte, 1, 0) == -EAGAIN);
  });
}

TEST_CASE("simulated network: seeds lead to different runs, and each to the same again", "[io][simulation]") {
  auto const exchange = [] {
    auto listener = tcp_listener::bind(at(80));
    auto here = tcp_stream::connect(at(80));
    auto there = listener.accept();
    here.write_all("hello");
    std::array<std::byte, 5> text{};
    there.read_exactly(text);
  };
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    auto const hash = simulate(seed, {}, exchange);
    hashes.insert(hash);
    CHECK(simulate(seed, {}, exchange) == hash);
  }
  CHECK(hashes.size() == 100);
  CHECK(simulate(1, {}, exchange) != simulate(1, {.partial = 1}, exchange));
}

TEST_CASE("simulated network: hosts have the addresses that they were given", "[io][simulation]") {
  simulation sim{1};
  simulated_network net{sim};
  net.add_host("db.example", {ip_address::parse("10.1.2.3"), ip_address::parse("fd00::1")});
  CHECK(net.addresses_of("DB.example").size() == 2);
  CHECK(net.addresses_of("localhost").front() == ip_address::loopback_v4());
  CHECK(net.addresses_of("nowhere.example").empty());
  sim.run([&] {
    for (auto const& address : net.addresses_of("db.example")) {
      auto listener = tcp_listener::bind({address, 5432});
      auto const s = tcp_stream::connect({address, 5432});
      CHECK(s.local_endpoint().address() == address);
      CHECK(listener.accept().remote_endpoint() == s.local_endpoint());
    }
    CHECK(weft::io::resolve("DB.example", "http").front().to_string() == "10.1.2.3:80");
    std::error_code ec;
    CHECK(weft::io::resolve("nowhere.example", 80, {}, ec).empty());
    CHECK(ec == weft::io::name_error::no_such_name);
    CHECK(weft::io::resolve("db.example", "no-such-service", {}, ec).empty());
    CHECK(ec == weft::io::name_error::no_such_service);
    CHECK(weft::io::reverse({"10.1.2.3", 443}).host == "db.example");
    CHECK(weft::io::reverse({"10.9.9.9", 443}).service == "https");
    {
      auto listener = tcp_listener::bind({"fd00::1", 81});
      auto const by_name = tcp_stream::connect("db.example", 81);  // the first address refuses
      CHECK(by_name.remote_endpoint().to_string() == "[fd00::1]:81");
    }
    auto listener = tcp_listener::bind({ip_address::any_v6(), 80}, {.v6_only = false});
    auto const s = tcp_stream::connect({"10.0.0.7", 80});
    CHECK(listener.accept().remote_endpoint().address() == ip_address::parse("::ffff:10.0.0.7"));
  });
}
