/// @file
/// Stream sockets and pipes of the simulated network, beside those of the kernel: each case runs on both.

#include "io/both_networks.hpp"
#include "support/verify.hpp"

#include <weft/io/readiness.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/select.hpp>

#include <cerrno>
#include <chrono>
#include <netinet/tcp.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using namespace weft::test;

endpoint anywhere() { return {ip_address::loopback_v4(), 0}; }

/// Two ends of a TCP connection.
struct connection {
  tcp_listener listener = tcp_listener::bind(anywhere());
  tcp_stream here = tcp_stream::connect(listener.local_endpoint());
  tcp_stream there = listener.accept();
};

/// What read_some() has, or "!" and the error.
std::string read(tcp_stream& from) {
  std::array<std::byte, 100> buffer{};
  std::error_code ec;
  auto const n = from.read_some(buffer, ec);
  if (ec) return "!" + std::to_string(ec.value());
  return {reinterpret_cast<char const*>(buffer.data()), n};
}

std::string read_all(tcp_stream& from) {
  std::string all;
  for (;;) {
    auto const part = read(from);
    if (part.empty() || part[0] == '!') return all + part;
    all += part;
  }
}

std::string failed(int error) { return "!" + std::to_string(error); }

/// Writes until that fails.
int write_until_it_fails(tcp_stream& to) {
  std::error_code ec;
  while (!ec) {
    to.write_all("x", ec);
    weft::sleep_for(1ms);
  }
  return ec.value();
}

/// Two ends of a TCP connection, without the classes that know what not to do.
struct plain_connection {
  plain_connection() : listener(AF_INET, SOCK_STREAM), here(AF_INET, SOCK_STREAM) {
    at = loopback(0);
    REQUIRE(listener.calls().bind(listener.number(), address_of(at), sizeof at) == 0);
    REQUIRE(listener.calls().listen(listener.number(), 5) == 0);
    unsigned size = sizeof at;
    REQUIRE(listener.calls().getsockname(listener.number(), address_of(at), &size) == 0);
    int const begun = here.calls().connect(here.number(), address_of(at), sizeof at);
    REQUIRE((begun == -EINPROGRESS || begun == -EINTR));
    there = plain_socket{accept(listener)};
    std::string none;
    CHECK(here.send("") == 0);  // waits until it is connected
  }
  static int accept(plain_socket& from) {
    std::error_code ec;
    auto const number = from.descriptor().perform(weft::detail::readiness::readable, 0, ec, [](auto& calls, int fd) {
      return static_cast<ssize_t>(calls.accept(fd, nullptr, nullptr));
    });
    REQUIRE_FALSE(ec);
    return static_cast<int>(number);
  }
  sockaddr_in at{};
  plain_socket listener;
  plain_socket here;
  plain_socket there;
};

/// All of `size` bytes have come, and are not read.
void await(plain_socket& at, std::size_t size) {
  std::string seen;
  while (seen.size() < size) {
    REQUIRE(at.receive(seen, 100, MSG_PEEK) == 0);
    if (seen.size() < size) weft::sleep_for(1ms);
  }
}

/// Two connected sockets of the Unix family.
struct unix_pair {
  explicit unix_pair(int type) {
    int fds[2]{};
    REQUIRE(weft::detail::current_calls().socketpair(AF_UNIX, type, 0, fds) == 0);
    here = plain_socket{fds[0]};
    there = plain_socket{fds[1]};
  }
  plain_socket here;
  plain_socket there;
};

}  // namespace

TEST_CASE("streams: of two ends of a pair each knows the other's process", "[io][simulation][unix]") {
  on_both_networks([] {
    auto [here, there] = unix_stream::pair();
    for (auto const* end : {&here, &there}) {
      auto const peer = end->peer_credentials();
      CHECK(peer.process == ::getpid());
      CHECK(peer.user == ::geteuid());
      CHECK(peer.group == ::getegid());
    }
  });
}

TEST_CASE("streams: ready is what can be read, accepted or written now", "[io][simulation][readiness]") {
  on_both_networks([] {
    tcp_listener listener = tcp_listener::bind(anywhere());
    CHECK_FALSE(wait_readable_for(listener, 0s));
    tcp_stream here = tcp_stream::connect(listener.local_endpoint());
    wait_readable(listener);
    tcp_stream there = listener.accept();
    CHECK_FALSE(wait_readable_for(listener, 0s));
    CHECK_FALSE(wait_readable_for(there, 0s));
    CHECK(wait_writable_for(there, 0s));
    for (int i = 0; i < 3; ++i) {
      here.write_all("abcd");
      wait_readable(there);
      std::byte one{};
      for (int left = 4; left > 0; --left) {
        wait_readable(there);  // in several packets, perhaps
        CHECK(there.read_some(std::span{&one, 1}) == 1);
      }
      CHECK_FALSE(wait_readable_for(there, 0s));
    }
    auto selecting = weft::spawn([&] { return weft::select(weft::on_readable(there), weft::on_readable(listener)); });
    tcp_stream const another = tcp_stream::connect(listener.local_endpoint());
    CHECK(selecting.get() == 1);
  });
}

TEST_CASE("both networks: each end of a connection has the other's name", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    CHECK(c.here.remote_endpoint() == c.listener.local_endpoint());
    CHECK(c.there.local_endpoint() == c.listener.local_endpoint());
    CHECK(c.here.local_endpoint() == c.there.remote_endpoint());
    CHECK(c.here.local_endpoint().address() == ip_address::loopback_v4());
    CHECK(c.here.local_endpoint().port() != c.listener.local_endpoint().port());
    endpoint from;
    auto const another = tcp_stream::connect(c.listener.local_endpoint());
    auto const accepted = c.listener.accept(&from);
    CHECK(from == another.local_endpoint());
    CHECK(from != c.here.local_endpoint());
  });
}

TEST_CASE("both networks: bytes go both ways, in order and all", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    constexpr std::size_t size = 300'000;
    auto const pattern = [](std::size_t i, std::size_t salt) { return static_cast<std::byte>((i * 7 + salt) % 251); };
    auto const send = [&](tcp_stream& to, std::size_t salt) {
      std::vector<std::byte> block(size);
      for (std::size_t i = 0; i < size; ++i) block[i] = pattern(i, salt);
      to.write_all(block);
      to.shutdown(direction::send);
    };
    auto const receive = [&](tcp_stream& from, std::size_t salt) {
      std::vector<std::byte> block(10'000);
      std::size_t got = 0;
      bool right = true;
      while (auto const n = from.read_some(block)) {
        for (std::size_t i = 0; i < n; ++i) right = right && block[i] == pattern(got + i, salt);
        got += n;
      }
      weft::test::verify(right);
      weft::test::verify(got == size);
    };
    auto one = weft::spawn([&] { send(c.here, 1); });
    auto two = weft::spawn([&] { send(c.there, 2); });
    auto three = weft::spawn([&] { receive(c.here, 2); });
    receive(c.there, 1);
    one.get();
    two.get();
    three.get();
  });
}

TEST_CASE("both networks: who writes no more can still read, and the other way round", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    c.here.write_all("question");
    c.here.shutdown(direction::send);
    CHECK(read_all(c.there) == "question");
    CHECK(read(c.there).empty());
    c.there.write_all("answer");
    c.there.close();
    CHECK(read_all(c.here) == "answer");
    CHECK(read(c.here).empty());
    std::error_code ec;
    c.here.write_all("more", ec);
    CHECK(ec == std::errc::broken_pipe);
  });
}

TEST_CASE("both networks: who reads no more gets the end at once", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    auto reader = weft::spawn({.start = weft::start::eager}, [&] { return read(c.here); });
    c.here.shutdown(direction::receive);
    CHECK(reader.get().empty());
    CHECK(read(c.here).empty());
    c.here.write_all("still");
    c.here.shutdown(direction::send);
    CHECK(read_all(c.there) == "still");
  });
}

TEST_CASE("both networks: the peer has closed: its end is read, and writing fails in the end", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    c.there.close();
    CHECK(read(c.here).empty());
    CHECK(write_until_it_fails(c.here) == EPIPE);
    CHECK(read(c.here).empty());
    std::error_code ec;
    c.here.write_all("x", ec);
    CHECK(ec == std::errc::broken_pipe);
    CHECK(c.here.remote_endpoint(ec) == endpoint{});
    CHECK(ec == std::errc::not_connected);
  });
}

TEST_CASE("both networks: closed with bytes unread: the peer is reset, and told once", "[io][simulation]") {
  on_both_networks([] {
    plain_connection c;
    std::string text;
    REQUIRE(c.here.send("a") == 0);
    await(c.there, 1);
    c.there.close();
    CHECK(c.here.receive(text) == ECONNRESET);
    CHECK(c.here.receive(text) == 0);
    CHECK(text.empty());
    CHECK(c.here.send("b") == EPIPE);
    CHECK(c.here.calls().shutdown(c.here.number(), SHUT_WR) == -ENOTCONN);
  });
}

TEST_CASE("both networks: bytes that have come can be read after a reset", "[io][simulation]") {
  on_both_networks([] {
    plain_connection c;
    std::string text;
    REQUIRE(c.there.send("x") == 0);
    await(c.here, 1);
    ::linger const none{.l_onoff = 1, .l_linger = 0};
    REQUIRE(c.there.calls().setsockopt(c.there.number(), SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    c.there.close();
    int error = 0;
    for (unsigned size = sizeof error; error == 0; weft::sleep_for(1ms)) {
      REQUIRE(c.here.calls().getsockopt(c.here.number(), SOL_SOCKET, SO_ERROR, &error, &size) == 0);
    }
    CHECK(error == ECONNRESET);
    CHECK(c.here.receive(text) == 0);
    CHECK(text == "x");
    CHECK(c.here.receive(text) == 0);
    CHECK(text.empty());
    CHECK(c.here.send("b") == EPIPE);
  });
}

TEST_CASE("both networks: nobody listens", "[io][simulation]") {
  on_both_networks([] {
    // Bound, so that nobody else takes the port meanwhile, but not listening.
    plain_socket deaf{AF_INET, SOCK_STREAM};
    auto name = loopback(0);
    unsigned size = sizeof name;
    REQUIRE(deaf.calls().bind(deaf.number(), address_of(name), size) == 0);
    REQUIRE(deaf.calls().getsockname(deaf.number(), address_of(name), &size) == 0);
    endpoint const at{ip_address::loopback_v4(), ntohs(name.sin_port)};
    std::error_code ec;
    for (int i = 0; i < 3; ++i) {
      (void)tcp_stream::connect(at, ec);
      CHECK(ec == std::errc::connection_refused);
    }
  });
}

TEST_CASE("both networks: a listener that closes resets who waits in its queue", "[io][simulation]") {
  on_both_networks([] {
    auto listener = tcp_listener::bind(anywhere());
    auto client = tcp_stream::connect(listener.local_endpoint());
    client.write_all("hello");
    listener.close();
    CHECK(read(client) == failed(ECONNRESET));
    CHECK(read(client).empty());
  });
}

TEST_CASE("both networks: a port is taken once, and free when it has been closed", "[io][simulation]") {
  on_both_networks([] {
    auto one = tcp_listener::bind(anywhere());
    auto const at = one.local_endpoint();
    std::error_code ec;
    (void)tcp_listener::bind(at, {}, ec);
    CHECK(ec == std::errc::address_in_use);
    (void)tcp_listener::bind({ip_address::any_v4(), at.port()}, {}, ec);
    CHECK(ec == std::errc::address_in_use);
    auto const other = tcp_listener::bind(anywhere());
    CHECK(other.local_endpoint().port() != at.port());
    one.close();
    one = tcp_listener::bind(at);
    CHECK(one.local_endpoint() == at);
    auto const shared = tcp_listener::bind(anywhere(), {.reuse_port = true});
    auto const second = tcp_listener::bind(shared.local_endpoint(), {.reuse_port = true});
    CHECK(second.local_endpoint() == shared.local_endpoint());
  });
}

TEST_CASE("both networks: what is asked of the wrong socket", "[io][simulation]") {
  on_both_networks([] {
    auto& calls = weft::detail::current_calls();
    plain_socket fresh{AF_INET, SOCK_STREAM};
    std::string text;
    int value = 0;
    unsigned size = sizeof value;
    CHECK(fresh.receive(text) == ENOTCONN);
    CHECK(fresh.send("x") == EPIPE);
    CHECK(calls.shutdown(fresh.number(), SHUT_WR) == -ENOTCONN);
    CHECK(calls.accept(fresh.number(), nullptr, nullptr) == -EINVAL);
    CHECK(calls.getsockopt(fresh.number(), SOL_SOCKET, SO_TYPE, &value, &size) == 0);
    CHECK(value == SOCK_STREAM);
    CHECK(calls.getsockopt(fresh.number(), SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0);
    CHECK(value == 0);
    plain_connection c;
    CHECK(calls.getsockopt(c.listener.number(), SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0);
    CHECK(value == 1);
    CHECK(calls.connect(c.here.number(), address_of(c.at), sizeof c.at) == 0);
    CHECK(calls.connect(c.here.number(), address_of(c.at), sizeof c.at) == -EISCONN);
    CHECK(calls.connect(c.there.number(), address_of(c.at), sizeof c.at) == -EISCONN);
    CHECK(calls.listen(c.here.number(), 5) == -EINVAL);
    CHECK(calls.bind(c.here.number(), address_of(c.at), sizeof c.at) == -EINVAL);
    CHECK(c.listener.receive(text) == ENOTCONN);
    CHECK(calls.socket(AF_INET, 77, 0) == -EINVAL);
    CHECK(calls.close(-1) == -EBADF);
    CHECK(calls.send(-1, "x", 1, 0) == -EBADF);
    auto const port = c.at.sin_port;
    c.at.sin_port = htons(static_cast<std::uint16_t>(ntohs(port) ^ 1));
    plain_socket other{AF_INET, SOCK_STREAM};
    CHECK(calls.bind(other.number(), address_of(c.at), 3) == -EINVAL);
  });
}

TEST_CASE("both networks: options are kept", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    CHECK_FALSE(c.here.nodelay());
    c.here.nodelay(true);
    CHECK(c.here.nodelay());
    CHECK_FALSE(c.there.nodelay());
    c.here.keepalive({});
  });
}

TEST_CASE("both networks: a look at what comes leaves it there", "[io][simulation]") {
  on_both_networks([] {
    plain_connection c;
    std::string text;
    REQUIRE(c.here.send("a") == 0);
    await(c.there, 1);
    CHECK(c.there.receive(text) == 0);
    CHECK(text == "a");
    c.here.close();
    CHECK(c.there.receive(text, 10, MSG_PEEK) == 0);
    CHECK(text.empty());
  });
}

TEST_CASE("both networks: several who read one stream get all of it between them", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    std::array<std::size_t, 3> got{};
    std::vector<weft::task<void>> readers;
    for (auto& mine : got) {
      readers.push_back(weft::spawn([&c, &mine] {
        std::array<std::byte, 7> buffer{};
        while (auto const n = c.there.read_some(buffer)) mine += n;
      }));
    }
    std::string const text(1000, 'x');
    for (int i = 0; i < 5; ++i) {
      c.here.write_all(text);
      weft::sleep_for(1ms);
    }
    c.here.shutdown(direction::send);
    for (auto& t : readers) t.get();
    CHECK(got[0] + got[1] + got[2] == 5000);
  });
}

TEST_CASE("both networks: a writer waits for its reader, until it is cancelled", "[io][simulation]") {
  on_both_networks([] {
    connection c;
    std::vector<std::byte> const block(10'000'000);
    auto writer = weft::spawn([&] { c.here.write_all(block); });
    weft::sleep_for(5ms);
    CHECK_FALSE(writer.ready());
    writer.cancel();
    CHECK_THROWS_AS(writer.get(), weft::cancelled);
    std::array<std::byte, 1> none{};
    CHECK(c.there.read_some(none) == 1);
    CHECK_THROWS_AS(weft::with_timeout(1ms, [&] { (void)read(c.here); }), weft::timeout_error);
  });
}

TEST_CASE("both networks: Unix stream sockets", "[io][simulation]") {
  on_both_networks([] {
    std::string text;
    {
      unix_pair pair{SOCK_STREAM};
      CHECK(pair.here.send("x") == 0);
      CHECK(pair.there.receive(text) == 0);
      CHECK(text == "x");
      pair.there.close();
      CHECK(pair.here.send("x") == EPIPE);
      CHECK(pair.here.receive(text) == 0);
      CHECK(text.empty());
    }
    {
      unix_pair pair{SOCK_STREAM};
      CHECK(pair.here.send("x") == 0);
      pair.there.close();
      CHECK(pair.here.receive(text) == ECONNRESET);
      CHECK(pair.here.receive(text) == 0);
    }
    {
      unix_pair pair{SOCK_STREAM};
      auto reader = weft::spawn({.start = weft::start::eager}, [&] { return pair.here.receive(text); });
      pair.there.close();
      CHECK(reader.get() == 0);
      CHECK(text.empty());
    }
    auto& calls = weft::detail::current_calls();
    abstract_name const name;
    plain_socket listener{AF_UNIX, SOCK_STREAM};
    plain_socket client{AF_UNIX, SOCK_STREAM};
    CHECK(calls.connect(client.number(), name.data(), name.size) == -ECONNREFUSED);
    CHECK(calls.listen(listener.number(), 3) == -EINVAL);
    CHECK(calls.bind(listener.number(), name.data(), name.size) == 0);
    CHECK(calls.connect(client.number(), name.data(), name.size) == -ECONNREFUSED);
    CHECK(calls.listen(listener.number(), 3) == 0);
    plain_socket twin{AF_UNIX, SOCK_STREAM};
    CHECK(calls.bind(twin.number(), name.data(), name.size) == -EADDRINUSE);
    CHECK(calls.connect(client.number(), name.data(), name.size) == 0);
    plain_socket server{plain_connection::accept(listener)};
    CHECK(client.send("y") == 0);
    CHECK(server.receive(text) == 0);
    CHECK(text == "y");
    sockaddr_un peer{};
    unsigned size = sizeof peer;
    CHECK(calls.getpeername(client.number(), reinterpret_cast<sockaddr*>(&peer), &size) == 0);
    CHECK(size == name.size);
    CHECK(std::memcmp(&peer, &name.at, size) == 0);
    size = sizeof peer;
    CHECK(calls.getpeername(server.number(), reinterpret_cast<sockaddr*>(&peer), &size) == 0);
    CHECK(size == sizeof(sa_family_t));
    CHECK(peer.sun_family == AF_UNIX);
    plain_socket waits{AF_UNIX, SOCK_STREAM};
    CHECK(calls.connect(waits.number(), name.data(), name.size) == 0);
    listener.close();
    CHECK(waits.receive(text) == ECONNRESET);
    CHECK(waits.receive(text) == 0);
    CHECK(waits.send("z") == EPIPE);
    CHECK(client.send("z") == 0);
  });
}

TEST_CASE("both networks: pipes", "[io][simulation]") {
  on_both_networks([] {
    auto& calls = weft::detail::current_calls();
    std::string text;
    int fds[2]{};
    REQUIRE(calls.pipe(fds) == 0);
    plain_socket out{fds[0]};
    plain_socket in{fds[1]};
    auto reader = weft::spawn({.start = weft::start::eager}, [&] { return out.read(text); });
    CHECK(in.write("x") == 0);
    CHECK(reader.get() == 0);
    CHECK(text == "x");
    CHECK(in.read(text) == EBADF);
    CHECK(out.write("x") == EBADF);
    CHECK(in.send("x") == ENOTSOCK);
    CHECK(in.write("y") == 0);
    in.close();
    CHECK(out.read(text) == 0);
    CHECK(text == "y");
    CHECK(out.read(text) == 0);
    CHECK(text.empty());
    REQUIRE(calls.pipe(fds) == 0);
    out = plain_socket{fds[0]};
    in = plain_socket{fds[1]};
    auto writer = weft::spawn({.start = weft::start::eager}, [&] {
      std::string const block(100'000, 'z');
      int error = 0;
      while (error == 0) error = in.write(block);
      return error;
    });
    weft::sleep_for(1ms);
    CHECK_FALSE(writer.ready());
    out.close();
    CHECK(writer.get() == EPIPE);
  });
}
