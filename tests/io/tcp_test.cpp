/// @file
/// TCP connections on loopback.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/io/error.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::verify;

endpoint anywhere() { return {ip_address::loopback_v4(), 0}; }

std::string read_to_end(tcp_stream& from) {
  std::string all;
  std::array<std::byte, 100> buffer{};
  while (auto const n = from.read_some(buffer)) all.append(reinterpret_cast<char const*>(buffer.data()), n);
  return all;
}

void echo(tcp_stream s) {
  std::array<std::byte, 4096> buffer{};
  while (auto const n = s.read_some(buffer)) s.write_all(std::span{buffer}.first(n));
}

}  // namespace

TEST_CASE("what is sent is echoed, on many connections at once", "[io][tcp]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    auto const at = listener.local_endpoint();
    constexpr int connections = 50;
    auto server = weft::spawn([&] {
      std::vector<weft::task<void>> serving;
      for (int i = 0; i < connections; ++i) {
        serving.push_back(weft::spawn([s = listener.accept()]() mutable { echo(std::move(s)); }));
      }
      for (auto& t : serving) t.get();
    });
    std::vector<weft::task<void>> clients;
    for (int i = 0; i < connections; ++i) {
      clients.push_back(weft::spawn([&, i] {
        auto s = tcp_stream::connect(at);
        s.nodelay(true);
        verify(s.nodelay());
        for (int round = 0; round < 20; ++round) {
          auto const text = "message " + std::to_string(round) + " of " + std::to_string(i);
          s.write_all(text);
          std::string answer(text.size(), ' ');
          s.read_exactly(std::as_writable_bytes(std::span{answer}));
          verify(answer == text);
        }
        s.shutdown(direction::send);
        verify(read_to_end(s).empty());
      }));
    }
    for (auto& t : clients) t.get();
    server.get();
  });
}

TEST_CASE("much more than the buffers hold goes through, though the reader is slow to come", "[io][tcp]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    std::size_t const size = weft::test::scaled_bytes(20'000'000);
    auto sender = weft::spawn([&] {
      auto s = tcp_stream::connect(listener.local_endpoint());
      std::vector<std::byte> block(size);
      for (std::size_t i = 0; i < size; ++i) block[i] = static_cast<std::byte>(i % 251);
      s.write_all(block);
    });
    auto s = listener.accept();
    std::vector<std::byte> block(100'000);
    std::size_t got = 0;
    bool right = true;
    while (auto const n = s.read_some(block)) {
      for (std::size_t i = 0; i < n; ++i) right = right && block[i] == static_cast<std::byte>((got + i) % 251);
      got += n;
    }
    CHECK(got == size);
    CHECK(right);
    sender.get();
  });
}

TEST_CASE("to close wakes who reads, writes or accepts, with an error", "[io][tcp]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    auto here = tcp_stream::connect(listener.local_endpoint());
    auto there = listener.accept();
    std::error_code read;
    std::error_code written;
    std::error_code accepted;
    auto reader = weft::spawn([&] {
      std::array<std::byte, 1> one{};
      verify(here.read_some(one, read) == 0);
    });
    auto writer = weft::spawn([&] {
      std::vector<std::byte> much(1'000'000);
      while (!written) (void)here.write_some(much, written);
    });
    auto acceptor = weft::spawn([&] { verify(!listener.accept(accepted).is_open()); });
    for (int i = 0; i < 50; ++i) weft::yield();
    here.close();
    listener.close();
    reader.get();
    writer.get();
    acceptor.get();
    CHECK(read == std::errc::bad_file_descriptor);
    CHECK(written == std::errc::bad_file_descriptor);
    CHECK(accepted == std::errc::bad_file_descriptor);
    CHECK_THROWS_AS(here.write_all("x"), std::system_error);
    here.close();
  });
}

TEST_CASE("a wait for bytes ends by its deadline, and by cancellation", "[io][tcp]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    auto here = tcp_stream::connect(listener.local_endpoint());
    auto there = listener.accept();
    std::array<std::byte, 8> buffer{};
    CHECK_THROWS_AS(weft::with_timeout(1ms, [&] { (void)here.read_some(buffer); }), weft::timeout_error);
    auto reader = weft::spawn([&] { (void)here.read_some(buffer); });
    for (int i = 0; i < 20; ++i) weft::yield();
    reader.cancel();
    CHECK_THROWS_AS(reader.get(), weft::cancelled);
    there.write_all("still there");
    here.read_exactly(buffer);
  });
}

TEST_CASE("times for keepalive that the system cannot take are refused", "[io][tcp][bad-input]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    auto s = tcp_stream::connect(listener.local_endpoint());
    s.keepalive({.idle = 5s, .interval = 1s, .probes = 3});
    for (auto const idle : {std::chrono::seconds::max(), std::chrono::seconds{(std::int64_t{1} << 32) + 5}}) {
      std::error_code ec;
      s.keepalive({.idle = idle}, ec);
      verify(ec == std::errc::invalid_argument);
    }
  });
}

TEST_CASE("nobody listens: the error says so, and where", "[io][tcp]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    auto const at = listener.local_endpoint();
    listener.close();
    std::error_code ec;
    CHECK_FALSE(tcp_stream::connect(at, ec).is_open());
    CHECK(ec == std::errc::connection_refused);
    CHECK_THROWS_WITH(tcp_stream::connect(at), Catch::Matchers::Contains(at.to_string()));
  });
}

TEST_CASE("the end of the stream before all has come is told apart", "[io][tcp]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind(anywhere());
    auto here = tcp_stream::connect(listener.local_endpoint());
    auto there = listener.accept();
    there.write_all("abc");
    there.close();
    std::array<std::byte, 5> buffer{};
    CHECK_THROWS_AS(here.read_exactly(buffer), weft::incomplete_read);
    CHECK(buffer[2] == std::byte{'c'});
    CHECK(here.read_some(buffer) == 0);
  });
}
