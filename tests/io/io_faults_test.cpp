/// @file
/// io_faults: that calls fail where they are told to, do as little as they are told to, and are counted.

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/detail/system_calls.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/testing.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/socket.h>
#include <sys/uio.h>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::throws;
using weft::test::verify;
using weft::testing::io_call;
using weft::testing::io_faults;

tcp_listener listen() { return tcp_listener::bind({ip_address::loopback_v4(), 0}); }

struct two_streams {
  tcp_stream here;
  tcp_stream there;
};

two_streams connected(tcp_listener& listener) {
  auto here = tcp_stream::connect(listener.local_endpoint());
  return {std::move(here), listener.accept()};
}

/// In one-byte mode the counts are others.
std::uint64_t at_most(std::uint64_t bytes) { return weft::test::one_byte_io() ? 1 : bytes; }

auto bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }

}  // namespace

TEST_CASE("calls are counted by kind", "[io][io_faults]") {
  run_on(some_workers(), [] {
    io_faults faults;
    {
      auto listener = listen();
      auto [here, there] = connected(listener);
      CHECK(faults.open_descriptors() == 3);
      CHECK(faults.count(io_call::socket) == 2);
      CHECK(faults.count(io_call::listen) == 1);
      CHECK(faults.count(io_call::connect) == 1);
      auto const before = faults.count();
      std::array<std::byte, 4> buffer{};
      for (int i = 0; i < 10; ++i) {
        here.write_all("ping");
        there.read_exactly(buffer);
      }
      CHECK(faults.count(io_call::send) == 40 / at_most(4));
      CHECK(faults.count(io_call::recv) >= 10);
      CHECK(faults.count() == before + faults.count(io_call::send) + faults.count(io_call::recv));
    }
    CHECK(faults.count(io_call::close) == 3);
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("the calls that were planned fail, and no others", "[io][io_faults]") {
  run_on(some_workers(), [] {
    io_faults faults;
    auto listener = listen();
    auto [here, there] = connected(listener);
    std::error_code ec;
    faults.fail(io_call::send, std::errc::broken_pipe, 2, 2);
    std::vector<bool> failed;
    for (int i = 0; i < 4; ++i) {
      auto const written = here.write_some(bytes_of("x"), ec);
      CHECK(written == (ec ? 0U : 1U));
      failed.push_back(ec == std::errc::broken_pipe);
    }
    CHECK(failed == std::vector<bool>{false, true, true, false});
    CHECK(faults.failed() == 2);
    faults.fail(std::errc::no_buffer_space, 2);  // of any kind
    CHECK_NOTHROW(here.nodelay(true));
    CHECK_THROWS_AS(here.nodelay(true), std::system_error);
    CHECK_NOTHROW(here.nodelay(true));
    faults.fail(io_call::send, std::errc::interrupted);  // which is nobody's business
    CHECK_NOTHROW(here.write_all("y"));
    CHECK(faults.fail_no_more() == 1);
    CHECK(faults.failed() == 0);
  });
}

TEST_CASE("an interrupted connect goes on; a close that fails has closed", "[io][io_faults]") {
  run_on(some_workers(), [] {
    io_faults faults;
    auto listener = listen();
    faults.fail(io_call::connect, std::errc::interrupted);
    auto [here, there] = connected(listener);
    CHECK(faults.failed() == 1);
    here.write_all("through");
    std::array<std::byte, 7> buffer{};
    there.read_exactly(buffer);
    faults.fail(io_call::close, std::errc::io_error);
    here.close();
    CHECK(faults.failed() == 1);
    CHECK(there.read_some(buffer) == 0);
    CHECK(faults.open_descriptors() == 2);
  });
}

TEST_CASE("a call that fails while its plan is ended is counted", "[io][io_faults][stress]") {
  run_on(3, [] {
    io_faults faults;
    auto const listener = listen();
    std::atomic<bool> enough{false};
    std::vector<weft::task<std::uint64_t>> callers;
    for (int c = 0; c < 2; ++c) {
      callers.push_back(weft::spawn([&] {
        std::uint64_t failed = 0;
        while (!enough.load()) {
          std::error_code ec;
          (void)listener.local_endpoint(ec);
          if (ec) ++failed;
          weft::yield();
        }
        return failed;
      }));
    }
    std::uint64_t counted = 0;
    for (std::size_t i = 0; i < weft::test::scaled(20'000) || counted == 0; ++i) {
      faults.fail(std::errc::io_error, 1, ~std::uint64_t{0});
      weft::yield();
      counted += faults.fail_no_more();
    }
    enough = true;
    std::uint64_t failed = 0;
    for (auto& c : callers) failed += c.get();
    verify(counted == failed);
  });
}

TEST_CASE("failures at random depend on their seed alone", "[io][io_faults]") {
  run_on(1, [] {
    io_faults faults;
    auto listener = listen();
    auto [here, there] = connected(listener);
    constexpr std::array errors{std::errc::connection_reset, std::errc::no_buffer_space};
    auto const draw = [&](std::uint64_t seed) {
      faults.fail_at_random(seed, 4, errors);
      std::vector<int> result;
      for (int i = 0; i < 200; ++i) {
        std::error_code ec;
        (void)here.write_some(bytes_of("x"), ec);
        result.push_back(ec.value());
      }
      CHECK(faults.failed() > 20);
      CHECK(faults.failed() < 80);
      return result;
    };
    auto const first = draw(7);
    CHECK(draw(7) == first);
    CHECK(draw(8) != first);
    CHECK_THROWS_AS(faults.fail_at_random(1, 0, errors), std::invalid_argument);
    CHECK_THROWS_AS(faults.fail_at_random(1, 1, {}), std::invalid_argument);
  });
}

TEST_CASE("streams move at most as many bytes as they are told to", "[io][io_faults]") {
  run_on(some_workers(), [] {
    io_faults faults;
    auto listener = listen();
    auto [here, there] = connected(listener);
    std::array<std::byte, 8> buffer{};
    std::error_code ec;
    faults.limit_transfers(3);
    CHECK(here.write_some(bytes_of("12345678"), ec) == at_most(3));
    for (auto n = at_most(3); n != 0;) n -= there.read_some(std::span{buffer}.first(n));
    faults.limit_transfers(1);
    CHECK(here.write_some(bytes_of("12345678"), ec) == 1);
    CHECK(there.read_some(buffer) == 1);
    auto const before = faults.count(io_call::send);
    here.write_all("12345678");
    CHECK(faults.count(io_call::send) == before + 8);
    faults.limit_transfers(0);
    CHECK(here.write_some(bytes_of("12345678"), ec) == at_most(8));
  });
}

TEST_CASE("messages and vectors are cut, datagrams are not", "[io][io_faults]") {
  io_faults faults;
  faults.limit_transfers(5);
  auto& calls = weft::detail::current_calls();
  for (int const type : {SOCK_STREAM, SOCK_DGRAM}) {
    int ends[2];
    REQUIRE(calls.socketpair(AF_UNIX, type, 0, ends) == 0);
    ssize_t const expected = type == SOCK_STREAM ? static_cast<ssize_t>(at_most(5)) : 6;
    std::array<char, 3> a{'a', 'b', 'c'};
    std::array<char, 3> b{'d', 'e', 'f'};
    std::array<iovec, 3> const parts{iovec{a.data(), 3}, iovec{nullptr, 0}, iovec{b.data(), 3}};
    CHECK(calls.writev(ends[0], parts.data(), 3) == expected);
    b = {'-', '-', '-'};
    CHECK(calls.readv(ends[1], parts.data(), 3) == expected);
    CHECK(b[1] == (expected >= 5 ? 'e' : '-'));
    CHECK(b[2] == (expected >= 6 ? 'f' : '-'));
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = parts.size();
    CHECK(calls.sendmsg(ends[0], &message, 0) == expected);
    CHECK(calls.recvmsg(ends[1], &message, 0) == expected);
    CHECK(message.msg_iovlen == parts.size());
    CHECK(calls.send(ends[0], "123456", 6, 0) == expected);
    std::array<char, 8> text{};
    CHECK(calls.recv(ends[1], text.data(), text.size(), 0) == expected);
    CHECK(calls.write(ends[0], "123456", 6) == expected);
    CHECK(calls.read(ends[1], text.data(), text.size()) == expected);
    CHECK(faults.open_descriptors() == 2);
    for (int const end : ends) CHECK(calls.close(end) == 0);
  }
  int ends[2];
  REQUIRE(calls.pipe(ends) == 0);
  CHECK(calls.write(ends[1], "123456", 6) == static_cast<ssize_t>(at_most(5)));
  for (int const end : ends) CHECK(calls.close(end) == 0);
}

TEST_CASE("several stand one in front of another", "[io][io_faults]") {
  run_on(1, [] {
    io_faults outer;
    outer.limit_transfers(1);
    {
      io_faults inner;
      auto listener = listen();
      auto [here, there] = connected(listener);
      std::error_code ec;
      CHECK(here.write_some(bytes_of("12"), ec) == 1);
      CHECK(inner.count() == outer.count());
      inner.fail(io_call::send, std::errc::connection_reset);
      CHECK(here.write_some(bytes_of("12"), ec) == 0);
      CHECK(inner.count(io_call::send) == outer.count(io_call::send) + 1);
    }
    auto const alone = listen();
    CHECK(outer.open_descriptors() == 1);
  });
}

TEST_CASE("a descriptor that stays open when io_faults ends is told", "[io][io_faults][misuse]") {
  CHECK(weft::test::aborts_with("1 descriptors that were opened through it are still open", [] {
    tcp_listener left;
    io_faults const faults;
    left = listen();
  }));
}
