/// @file
/// Cancellation before, during and beside the completion of each operation: what was cancelled has done nothing, so
/// nothing is lost and nothing comes twice.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/pipe.hpp>
#include <weft/io/udp_socket.hpp>
#include <weft/io/unix_listener.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <unistd.h>
#include <utility>

namespace {

using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::tcp_pair;
using weft::test::throws;
using weft::test::verify;

constexpr int rounds = 60;

/// Runs `operation` and lets `happen()`, for which it waits, race with its cancellation: first the one, then the other,
/// then both, some turns of the others apart.
/// @returns what it gave; nothing: it was cancelled
template <class Operation, class Happen>
auto race_with_cancel(int round, Operation operation, Happen happen) {
  std::optional<decltype(operation())> result;
  auto waiting = weft::spawn([&] { result.emplace(operation()); });
  for (int i = 0; i < round % 4; ++i) weft::yield();
  if (round % 3 == 0) waiting.cancel();
  happen();
  for (int i = 0; i < round % 5; ++i) weft::yield();
  if (round % 3 == 1) waiting.cancel();
  if (round % 3 == 2) {
    auto other = weft::spawn([&] { waiting.cancel(); });
    other.get();
  }
  bool const cancelled = throws<weft::cancelled>([&] { waiting.get(); });
  verify(cancelled != result.has_value());
  return result;
}

/// Each line comes once, in order, by whatever reads it.
template <class Ends, class Read>
void expect_every_line(Ends ends, Read read) {
  auto& [from, to] = ends;
  for (int round = 0; round < rounds; ++round) {
    auto const line = std::to_string(1000 + round) + "\n";
    auto const got = race_with_cancel(round, [&] { return read(from); }, [&] { to.write_all(line); });
    verify(got.has_value() ? *got == line : read(from) == line);
  }
  to.close();
  verify(from.read_all(10).empty());
}

template <class Stream>
std::string by_some(Stream& from) {
  std::string text(5, ' ');
  std::size_t const first = from.read_some(std::as_writable_bytes(std::span{text}));
  verify(first == text.size());  // that short a write comes in one piece
  return text;
}

template <class Ends>
void expect_nothing_lost(Ends make()) {
  using stream_type = typename std::remove_reference_t<decltype(make().first)>;
  expect_every_line(make(), by_some<stream_type>);
  expect_every_line(make(), [](stream_type& from) { return from.read_line().value_or("") + "\n"; });
  expect_every_line(make(), [](stream_type& from) { return from.read_until("\n"); });
  expect_every_line(make(), [](stream_type& from) { return from.read_exactly(5); });
  expect_every_line(make(), [](stream_type& from) {
    std::string text(5, ' ');
    from.read_exactly(std::as_writable_bytes(std::span{text}));
    return text;
  });
}

std::pair<stream, stream> pipe_pair() {
  auto ends = weft::io::pipe();
  return {std::move(ends.reader), std::move(ends.writer)};
}

}  // namespace

TEST_CASE("a cancelled read has taken no byte", "[io][cancel]") {
  run_on(some_workers(), [] {
    expect_nothing_lost(tcp_pair);
    expect_nothing_lost<std::pair<unix_stream, unix_stream>>(unix_stream::pair);
    expect_nothing_lost(pipe_pair);
  });
}

TEST_CASE("a cancelled exact read that had some of it gives it back", "[io][cancel]") {
  run_on(some_workers(), [] {
    auto [from, to] = tcp_pair();
    for (int round = 0; round < rounds; ++round) {
      std::string text(10, ' ');
      auto const got = race_with_cancel(
          round,
          [&, &from = from] {
            from.read_exactly(std::as_writable_bytes(std::span{text}));
            return text;
          },
          [&, &to = to] {
            to.write_all("01234");
            for (int i = 0; i < round % 7; ++i) weft::yield();
            to.write_all("56789");
          });
      verify(got.value_or(std::string{}) == "0123456789" || from.read_exactly(10) == "0123456789");
    }
  });
}

TEST_CASE("a cancelled write_some has written nothing, and one that is not tells how much", "[io][cancel]") {
  run_on(some_workers(), [] {
    auto [from, to] = unix_stream::pair();
    auto reader = weft::spawn([&, &from = from] {
      std::size_t count = 0;
      std::array<std::byte, 50'000> buffer{};
      while (auto const n = from.read_some(buffer)) count += n;
      return count;
    });
    std::array<std::byte, 100'000> block{};
    std::size_t written = 0;
    for (int round = 0; round < rounds; ++round) {
      auto const some = race_with_cancel(round, [&, &to = to] { return to.write_some(block); }, [] { weft::yield(); });
      written += some.value_or(0);
    }
    to.close();
    verify(reader.get() == written);
  });
}

TEST_CASE("a cancelled accept has taken no connection", "[io][cancel]") {
  run_on(some_workers(), [] {
    auto const expect_all = [](auto& listener, auto connect) {
      for (int round = 0; round < rounds; ++round) {
        decltype(connect()) client;
        auto const got = race_with_cancel(
            round, [&] { return listener.accept().is_open(); }, [&] { client = connect(); });
        verify(got.has_value() || listener.accept().is_open());
        verify(client.read_all(1).empty());
      }
    };
    auto tcp = tcp_listener::bind(weft::test::anywhere());
    expect_all(tcp, [&] { return tcp_stream::connect(tcp.local_endpoint()); });
    auto local = unix_listener::bind(unix_endpoint::abstract("weft-cancel-" + std::to_string(::getpid())));
    expect_all(local, [&] { return unix_stream::connect(local.local_endpoint()); });
  });
}

TEST_CASE("a cancelled receive has taken no datagram", "[io][cancel]") {
  run_on(some_workers(), [] {
    auto here = udp_socket::bind(weft::test::anywhere());
    std::array<std::byte, 20> buffer{};
    auto const receive = [&] {
      auto const got = here.receive_from(buffer);
      return std::string(reinterpret_cast<char const*>(buffer.data()), got.size);
    };
    for (int round = 0; round < rounds; ++round) {
      auto const text = std::to_string(round);
      auto const got = race_with_cancel(round, receive, [&] { here.send_to(here.local_endpoint(), text); });
      verify(got.has_value() ? *got == text : receive() == text);
    }
  });
}

TEST_CASE("a cancelled connect leaves nothing behind, and neither does one that is too late", "[io][cancel]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(weft::test::anywhere());
    int connected = 0;
    for (int round = 0; round < rounds; ++round) {
      auto const got = race_with_cancel(
          round, [&] { return tcp_stream::connect(listener.local_endpoint()).is_open(); }, [] {});
      connected += got.has_value() ? 1 : 0;
    }
    // Whatever was begun is at its end by now.
    auto last = tcp_stream::connect(listener.local_endpoint());
    last.write_all("last");
    int ended = 0;
    while (listener.accept().read_all(4) != "last") {
      ++ended;
      last.close();
    }
    verify(ended >= connected && ended <= rounds);
  });
}

TEST_CASE("who is cancelled already does nothing, though nothing need be waited for", "[io][cancel]") {
  run_on(some_workers(), [] {
    auto const refused = [](auto&& operation) {
      weft::cancel_scope scope;
      return !scope.run([&] {
        scope.cancel();
        operation();
      });
    };
    auto tcp = tcp_listener::bind(weft::test::anywhere());
    auto const at = tcp.local_endpoint();
    auto client = tcp_stream::connect(at);
    CHECK(refused([&] { (void)tcp.accept(); }));
    CHECK(refused([&] { (void)tcp_stream::connect(at); }));
    auto accepted = tcp.accept();
    auto local = unix_listener::bind(unix_endpoint::abstract("weft-refused-" + std::to_string(::getpid())));
    CHECK(refused([&] { (void)unix_stream::connect(local.local_endpoint()); }));
    auto there = unix_stream::connect(local.local_endpoint());
    CHECK(refused([&] { (void)local.accept(); }));
    auto here = local.accept();
    auto udp = udp_socket::bind(weft::test::anywhere());
    auto const own = udp.local_endpoint();
    CHECK(refused([&] { udp.send_to(own, "x"); }));
    udp.send_to(own, "y");
    std::array<std::byte, 4> buffer{};
    CHECK(refused([&] { (void)udp.receive_from(buffer); }));
    CHECK(udp.receive_from(buffer).size == 1);
    CHECK(buffer.front() == std::byte{'y'});
    CHECK(refused([&] { here.write_all("x"); }));
    here.close();
    CHECK(there.read_all(1).empty());
  });
}
