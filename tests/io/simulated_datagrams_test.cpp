/// @file
/// Datagram sockets of the simulated network, beside those of the kernel: each case runs on both.

#include "io/both_networks.hpp"

#include <weft/runtime/this_fiber.hpp>

#include <cerrno>
#include <chrono>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::test;

/// A UDP socket, with the calls that tell and take addresses.
struct udp : plain_socket {
  udp() : plain_socket(AF_INET, SOCK_DGRAM) {}
  std::uint16_t bind(std::uint16_t port = 0) {
    auto at = loopback(port);
    REQUIRE(calls().bind(number(), address_of(at), sizeof at) == 0);
    return this->port();
  }
  [[nodiscard]] std::uint16_t port() const {
    sockaddr_in at{};
    unsigned size = sizeof at;
    REQUIRE(calls().getsockname(number(), address_of(at), &size) == 0);
    return ntohs(at.sin_port);
  }
  int connect(std::uint16_t port) {
    auto const at = loopback(port);
    return calls().connect(number(), address_of(at), sizeof at);
  }
  /// Bytes sent, or the negative error.
  ssize_t send_to(std::uint16_t port, std::string const& text) {
    auto at = loopback(port);
    iovec piece{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_name = &at;
    message.msg_namelen = sizeof at;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    for (;;) {
      auto const done = calls().sendmsg(number(), &message, 0);
      if (done != -EINTR) return done;
    }
  }
  struct datagram {
    std::string text;
    std::uint16_t from = 0;
    bool truncated = false;
  };
  datagram receive_from(std::size_t most = 100) {
    datagram got;
    got.text.assign(most, '?');
    sockaddr_in at{};
    iovec piece{got.text.data(), most};
    msghdr about{};
    about.msg_name = &at;
    about.msg_namelen = sizeof at;
    about.msg_iov = &piece;
    about.msg_iovlen = 1;
    std::error_code ec;
    auto const n = descriptor().perform(weft::detail::readiness::readable, 0, ec,
                                        [&](auto& calls, int fd) { return calls.recvmsg(fd, &about, 0); });
    REQUIRE_FALSE(ec);
    got.text.resize(static_cast<std::size_t>(n));
    got.from = ntohs(at.sin_port);
    got.truncated = (about.msg_flags & MSG_TRUNC) != 0;
    CHECK(about.msg_namelen == sizeof at);
    return got;
  }
};

/// Nothing is there, and nothing will come.
bool is_empty(udp& socket) {
  weft::sleep_for(20ms);
  char byte = 0;
  for (;;) {
    auto const got = socket.calls().recv(socket.number(), &byte, 1, 0);
    if (got != -EINTR) return got == -EAGAIN;
  }
}

}  // namespace

TEST_CASE("both networks: datagrams keep their limits, and say who sent them", "[io][simulation]") {
  on_both_networks([] {
    udp here;
    udp there;
    auto const at = there.bind();
    CHECK(here.send_to(at, "one") == 3);
    CHECK(here.port() != 0);
    auto got = there.receive_from();
    CHECK(got.text == "one");
    CHECK(got.from == here.port());
    CHECK_FALSE(got.truncated);
    CHECK(here.send_to(at, "") == 0);
    CHECK(there.receive_from().text.empty());
    CHECK(here.send_to(at, "a long one") == 10);
    got = there.receive_from(6);
    CHECK(got.text == "a long");
    CHECK(got.truncated);
    std::string const large(65'507, 'l');
    CHECK(here.send_to(at, large) == 65'507);
    CHECK(there.receive_from(70'000).text == large);
    CHECK(here.send_to(at, std::string(65'508, 'l')) == -EMSGSIZE);
    CHECK(here.send_to(0, "x") == -EINVAL);
    CHECK(here.send("x") == EDESTADDRREQ);
    CHECK(is_empty(there));
  });
}

TEST_CASE("both networks: who is connected hears its peer only, and that nobody is there", "[io][simulation]") {
  on_both_networks([] {
    udp here;
    udp there;
    udp other;
    std::string text;
    auto const at = there.bind();
    CHECK(here.connect(at) == 0);
    CHECK(here.send("to you") == 0);
    CHECK(there.receive_from().from == here.port());
    auto const mine = here.port();
    CHECK(other.send_to(mine, "not for you") == 11);
    CHECK(is_empty(here));
    CHECK(there.send_to(mine, "for you") == 7);
    CHECK(here.receive(text) == 0);
    CHECK(text == "for you");
    there.close();
    CHECK(here.send("gone") == 0);
    CHECK(here.receive(text) == ECONNREFUSED);
    CHECK(other.send_to(at, "nobody learns") == 13);
    CHECK(is_empty(other));
    sockaddr const none{.sa_family = AF_UNSPEC, .sa_data = {}};
    CHECK(here.calls().connect(here.number(), &none, sizeof none) == 0);
    CHECK(here.send("x") == EDESTADDRREQ);
  });
}

TEST_CASE("both networks: datagram ports are taken once", "[io][simulation]") {
  on_both_networks([] {
    udp one;
    udp two;
    auto const at = one.bind();
    auto const same = loopback(at);
    CHECK(two.calls().bind(two.number(), address_of(same), sizeof same) == -EADDRINUSE);
    CHECK(one.calls().bind(one.number(), address_of(same), sizeof same) == -EINVAL);
    one.close();
    CHECK(two.bind(at) == at);
    CHECK(two.calls().listen(two.number(), 1) == -EOPNOTSUPP);
    CHECK(two.calls().accept(two.number(), nullptr, nullptr) == -EOPNOTSUPP);
  });
}

TEST_CASE("both networks: a pair of Unix datagram sockets", "[io][simulation]") {
  on_both_networks([] {
    int fds[2]{};
    REQUIRE(weft::detail::current_calls().socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
    plain_socket here{fds[0]};
    plain_socket there{fds[1]};
    std::string text;
    CHECK(here.send("one") == 0);
    CHECK(here.send("two") == 0);
    CHECK(there.receive(text, 100, MSG_PEEK) == 0);
    CHECK(text == "one");
    CHECK(there.receive(text) == 0);
    CHECK(text == "one");
    CHECK(there.receive(text, 2) == 0);
    CHECK(text == "tw");
    there.close();
    CHECK(here.send("three") == ECONNREFUSED);
  });
}
