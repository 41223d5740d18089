/// @file
/// System calls of datagrams that fail, each with what the kernel may say of it; and at random.

#include "io/failing_calls.hpp"
#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/testing.hpp>
#include <weft/io/udp_socket.hpp>
#include <weft/runtime/spawn.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <net/if.h>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace weft::io;
using namespace weft::test;
using weft::testing::io_call;
using weft::testing::io_faults;

std::string next_of(udp_socket& at) {
  std::array<std::byte, 64> buffer{};
  auto const got = at.receive_from(buffer);
  return {reinterpret_cast<char const*>(buffer.data()), got.size};
}

/// The one sends to the other, and has two datagrams to receive from it.
struct udp_pair {
  udp_pair() {
    here.set_peer(at);
    for (int i = 0; i < 2; ++i) there.send_to(here.local_endpoint(), "0123");
  }
  udp_socket here = udp_socket::bind(anywhere());
  udp_socket there = udp_socket::bind(anywhere());
  endpoint at = there.local_endpoint();
};

/// What was said to be sent has been, and nothing else.
void expect_sent(udp_pair& p, bool first, std::string_view last) {
  if (first) verify(next_of(p.there) == "first");
  verify(next_of(p.there) == last);
}

std::vector<entry_point> of_datagrams() {
  using p = udp_pair;
  using code = std::error_code;
  using buffer = std::array<std::byte, 8>;
  std::vector<entry_point> table;
  auto const add = [&](char const* name, auto call) { table.push_back({name, std::move(call)}); };
  auto const add_bind = [&](char const* name, endpoint const& at, udp_options const& options) {
    add(name, [=](stage& s) {
      s.inject([&] { (void)udp_socket::bind(at, options); });
      verify(udp_socket::bind(at, options).local_endpoint().port() != 0);
    });
  };

  add_bind("bind", anywhere(), {.reuse_address = true, .reuse_port = true});
  endpoint const v6{ip_address::loopback_v6(), 0};
  if (code ec; udp_socket::bind(v6, {}, ec).is_open()) add_bind("bind, IPv6", v6, {.v6_only = true});
  add("bind, ec", [](stage& s) {
    s.inject_ec([](code& ec) {
      auto const made = udp_socket::bind(anywhere(), {}, ec);
      verify(made.is_open() == !ec);
    });
    (void)udp_pair{};
  });
  add("connect", [](stage& s) {
    udp_pair of;
    s.inject([&] { (void)udp_socket::connect(of.at); });
    udp_socket::connect(of.at).send("x");
    expect_sent(of, false, "x");
  });
  add("connect, ec", [](stage& s) {
    udp_pair const of;
    s.inject_ec([&](code& ec) {
      auto const made = udp_socket::connect(of.at, ec);
      verify(made.is_open() == !ec);
    });
    verify(udp_socket::connect(of.at).is_open());
  });
  add("set_peer", twice_on<p>([](p& of) { of.here.set_peer(of.at); }));
  add("set_peer, ec", twice_on_ec<p>([](p& of, code& ec) { of.here.set_peer(of.at, ec); }));
  add("send", [](stage& s) {
    udp_pair of;
    bool const sent = s.inject([&] { of.here.send("first"); });
    of.here.send("last");
    expect_sent(of, sent, "last");
  });
  add("send, ec", [](stage& s) {
    udp_pair of;
    bool const sent = s.inject_ec([&](code& ec) { of.here.send(bytes_of("first"), ec); });
    of.here.send("last");
    expect_sent(of, sent, "last");
  });
  add("send_to", [](stage& s) {
    udp_pair of;
    bool const sent = s.inject([&] { of.here.send_to(of.at, "first"); });
    of.here.send_to(of.at, "last");
    expect_sent(of, sent, "last");
  });
  add("send_to, ec", [](stage& s) {
    udp_pair of;
    bool const sent = s.inject_ec([&](code& ec) { of.here.send_to(of.at, bytes_of("first"), ec); });
    of.here.send_to(of.at, "last");
    expect_sent(of, sent, "last");
  });
  add("receive_from", twice_on<p>([](p& of) {
        buffer b{};
        auto const got = of.here.receive_from(b);
        verify(got.size == 4 && got.length == 4 && got.from == of.at);
      }));
  add("receive_from, ec", twice_on_ec<p>([](p& of, code& ec) {
        buffer b{};
        auto const got = of.here.receive_from(b, ec);
        verify(ec ? got.length == 0 : got.length == 4 && got.from == of.at);
      }));
  add("options", twice_on<p>([](p& of) {
        of.here.multicast_ttl(2);
        of.here.multicast_loop(false);
        of.here.multicast_interface(0);
        of.here.broadcast(true);
      }));
  add("options, ec", twice_on_ec<p>([](p& of, code& ec) {
        of.here.multicast_ttl(2, ec);
        if (!ec) of.here.multicast_loop(false, ec);
        if (!ec) of.here.multicast_interface(0, ec);
        if (!ec) of.here.broadcast(true, ec);
      }));
  add("local_endpoint", twice_on<p>([](p& of) { verify(of.there.local_endpoint() == of.at); }));
  add("local_endpoint, ec",
      twice_on_ec<p>([](p& of, code& ec) { verify((of.there.local_endpoint(ec) == of.at) == !ec); }));
  add("close", [](stage& s) {
    udp_pair of;
    s.inject([&] { of.here.close(); });
    verify(!of.here.is_open() && s.struck <= 1);  // to close again would close another's
  });

  auto const group = ip_address::parse("239.255.77.1");
  auto const loopback = ::if_nametoindex("lo");
  code no_multicast;
  udp_socket::bind(anywhere()).join(group, loopback, no_multicast);
  if (no_multicast) return table;
  add("join", [=](stage& s) {
    udp_pair of;
    if (!s.inject([&] { of.here.join(group, loopback); })) of.here.join(group, loopback);
    of.here.leave(group, loopback);
  });
  add("leave", [=](stage& s) {
    udp_pair of;
    of.here.join(group, loopback);
    if (!s.inject([&] { of.here.leave(group, loopback); })) of.here.leave(group, loopback);
    of.here.join(group, loopback);
  });
  return table;
}

void move_datagrams(udp_pair& p) {
  auto receiver = weft::spawn([&] {
    std::vector<std::string> received;
    while (received.empty() || received.back() != "end") {
      (void)succeeds([&] { received.push_back(next_of(p.there)); });
    }
    return received;
  });
  std::vector<std::string> sent;
  for (int i = 0; sent.empty() || sent.back() != "end"; ++i) {
    auto const text = i < 100 ? std::to_string(i) : std::string("end");
    if (succeeds([&] { i % 2 == 0 ? p.here.send(text) : p.here.send_to(p.at, text); })) sent.push_back(text);
  }
  auto const received = receiver.get();
  verify(sent.size() == received.size() && std::is_permutation(sent.begin(), sent.end(), received.begin()));
}

}  // namespace

TEST_CASE("each kind of call of datagrams fails, with each error that it has: told or tried again, and nothing is left",
          "[io][failures][udp]") {
  using enum std::errc;
  auto const workers = some_workers();
  auto const failures = fail_each(
      workers, of_datagrams(),
      {{{io_call::socket},
        fate::told,
        {too_many_files_open, too_many_files_open_in_system, not_enough_memory, no_buffer_space, permission_denied,
         address_family_not_supported}},
       {{io_call::bind}, fate::told, {address_in_use, address_not_available, permission_denied, not_enough_memory}},
       {{io_call::connect},
        fate::told,
        {resource_unavailable_try_again, network_unreachable, permission_denied, address_not_available}},
       {{io_call::setsockopt, io_call::getsockname},
        fate::told,
        {no_buffer_space, not_enough_memory, no_such_device, no_protocol_option, operation_not_permitted}},
       {{io_call::send, io_call::sendmsg},
        fate::told,
        {no_buffer_space, not_enough_memory, message_size, connection_refused, network_unreachable, host_unreachable,
         network_down, operation_not_permitted, permission_denied, invalid_argument}},
       {{io_call::recvmsg},
        fate::told,
        {connection_refused, host_unreachable, network_unreachable, message_size, not_enough_memory, no_buffer_space}},
       {{io_call::send, io_call::sendmsg, io_call::recvmsg},
        fate::hidden,
        {interrupted, resource_unavailable_try_again}},
       {{io_call::close}, fate::hidden, {interrupted, io_error}}});
  CHECK(failures >= 350);
}

TEST_CASE("calls that fail at random: datagrams that are said to be sent arrive once, and no others do",
          "[io][failures][udp]") {
  auto const workers = some_workers();
  auto const seed = GENERATE(1U, 2U, 3U, 4U);
  CAPTURE(seed);
  constexpr std::array often{std::errc::interrupted,      std::errc::resource_unavailable_try_again,
                             std::errc::no_buffer_space,  std::errc::not_enough_memory,
                             std::errc::connection_reset, std::errc::connection_refused,
                             std::errc::message_size,     std::errc::operation_not_permitted};
  with_faults(workers, [&](io_faults& faults, watchdog& dog) {
    std::array<udp_pair, 4> pairs;
    faults.fail_at_random(seed, 8, often);
    std::vector<weft::task<void>> moving;
    for (auto& p : pairs) moving.push_back(weft::spawn([&p] { move_datagrams(p); }));
    for (auto& m : moving) {
      m.get();
      dog.feed();
    }
    CHECK(faults.fail_no_more() > 50);
  });
}
