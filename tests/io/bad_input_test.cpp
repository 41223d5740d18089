/// @file
/// What network code is given wrongly, or meets: each case has an error code of its own. (Host names: see the tests of
/// resolve(). Unix paths: unix_test. Datagrams: udp_test. SIGPIPE: pipe_test.)

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/io/unix_stream.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace weft::io;
using weft::test::anywhere;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::tcp_pair;
using weft::test::verify;

/// A function of its own: in a fiber's, the compiler would keep the address of another thread's errno over a wait. The
/// fibers of a worker share one on purpose, which is nothing to report.
__attribute__((noinline, no_sanitize("thread"))) void set_errno(int to) {
  errno = to;
  asm volatile("" ::: "memory");
}

}  // namespace

TEST_CASE("texts that are no address", "[io][bad-input]") {
  std::error_code ec;
  for (std::string const& bad :
       {std::string{}, std::string("localhost"), std::string("127.0.0.1:80"), std::string("256.0.0.1"),
        std::string("1.2.3"), std::string("::1%"), std::string("[::1]"), std::string("127.0.0.1\0", 10),
        std::string(100'000, '1'), std::string(100'000, ':'), "::1%" + std::string(100'000, '9')}) {
    (void)ip_address::parse(bad, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK_THROWS_AS(endpoint(bad, 80), std::system_error);
  }
}

TEST_CASE("an address in use is refused and named; one that is not ours, too", "[io][bad-input]") {
  run_on(some_workers(), [] {
    auto const first = tcp_listener::bind(anywhere());
    std::error_code ec;
    CHECK_FALSE(tcp_listener::bind(first.local_endpoint(), {}, ec).is_open());
    CHECK(ec == std::errc::address_in_use);
    CHECK_THROWS_WITH(tcp_listener::bind(first.local_endpoint()),
                      Catch::Matchers::Contains(first.local_endpoint().to_string()));
    CHECK_FALSE(tcp_listener::bind({"192.0.2.1", 0}, {}, ec).is_open());
    CHECK(ec == std::errc::address_not_available);
    listen_options shared;
    shared.reuse_port = true;
    auto const one = tcp_listener::bind(anywhere(), shared);
    CHECK(tcp_listener::bind(one.local_endpoint(), shared).is_open());
  });
}

TEST_CASE("port 0 cannot be connected to", "[io][bad-input]") {
  run_on(some_workers(), [] {
    std::error_code ec;
    CHECK_FALSE(tcp_stream::connect(anywhere(), ec).is_open());
    CHECK(ec);
  });
}

TEST_CASE("to read nothing does not wait, and to read into much gives what there is", "[io][bad-input]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    std::error_code ec = std::make_error_code(std::errc::io_error);
    CHECK(here.read_some(std::span<std::byte>{}, ec) == 0);
    CHECK_FALSE(ec);
    here.read_exactly(std::span<std::byte>{});
    CHECK(here.read_exactly(std::size_t{0}).empty());
    CHECK(here.write_some(std::span<std::byte const>{}) == 0);
    there.write_all("few");
    // More than the kernel takes in one call. Nothing is touched beyond what comes.
    std::vector<std::byte> room(16);
    std::size_t got = 0;
    while (got < 3) got += here.read_some(std::span{room.data() + got, 0x7fff'ffff'ffff'0000});
    CHECK(got == 3);
  });
}

TEST_CASE("of two readers each gets some, and a close ends both", "[io][bad-input]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    auto const read = [&from = here] {
      std::array<std::byte, 1> one{};
      std::size_t count = 0;
      std::error_code ec;
      while (from.read_some(one, ec) != 0) ++count;
      return std::pair{count, ec};
    };
    auto a = weft::spawn(read);
    auto b = weft::spawn(read);
    std::string const text(1000, 'x');
    there.write_all(text);
    there.shutdown(direction::send);
    CHECK(a.get().first + b.get().first == text.size());
    auto [other, peer] = tcp_pair();
    auto const wait_line = [&from = other] {
      std::error_code ec;
      (void)from.read_line(ec);
      return ec;
    };
    auto c = weft::spawn(wait_line);
    auto d = weft::spawn(wait_line);
    for (int i = 0; i < 20; ++i) weft::yield();
    other.close();
    CHECK(c.get() == std::errc::bad_file_descriptor);
    CHECK(d.get() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("half a connection can be closed; a reset says so", "[io][bad-input]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    here.write_all("question");
    here.shutdown(direction::send);
    CHECK(there.read_all(100) == "question");
    there.write_all("answer");
    std::error_code ec;
    CHECK(here.write_all("x", ec) == 0);
    CHECK(ec == std::errc::broken_pipe);
    // To close with no time to linger resets.
    linger const none{1, 0};
    REQUIRE(::setsockopt(there.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    auto reader = weft::spawn([&, &from = here] {
      std::error_code why;
      while (from.read_exactly(1, why) != "") {
      }
      return why;
    });
    for (int i = 0; i < 20; ++i) weft::yield();
    there.close();
    CHECK(reader.get() == std::errc::connection_reset);
    here.shutdown(direction::both, ec);
    CHECK(ec == std::errc::not_connected);
  });
}

TEST_CASE("outside of a runtime: what need not wait works, and what must says why it cannot", "[io][bad-input]") {
  auto [here, there] = unix_stream::pair();
  here.write_all("a line\n");
  CHECK(there.read_line() == "a line");
  CHECK_THROWS_AS(there.read_line(), weft::no_runtime);
  std::error_code ec;
  CHECK_THROWS_AS(there.read_line(ec), weft::no_runtime);
  here.write_all("another\n");
  CHECK(there.read_line() == "another");
  here.close();
  there.close();
  CHECK_FALSE(there.read_line(ec));
  CHECK(ec == std::errc::bad_file_descriptor);
}

TEST_CASE("H1: the error code is the call's, whatever errno is where the fiber goes on", "[io]") {
  run_on(some_workers(), [] {
    std::vector<weft::task<void>> waiting;
    auto failing = [](int sentinel) {
      auto [here, there] = tcp_pair();
      linger const none{1, 0};
      verify(::setsockopt(there.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
      auto closer = weft::spawn([s = std::move(there), sentinel]() mutable {
        for (int i = 0; i < 20; ++i) {
          set_errno(sentinel);
          weft::yield();
        }
        s.close();
        set_errno(sentinel);
      });
      set_errno(sentinel);
      std::error_code ec;
      std::array<std::byte, 4> buffer{};
      (void)here.read_some(buffer, ec);
      set_errno(sentinel);
      if (ec != std::errc::connection_reset) throw std::system_error(ec, "not the read's own error");
      closer.get();
    };
    for (int i = 0; i < 50; ++i) waiting.push_back(weft::spawn(failing, 70 + i % 7));
    for (auto& t : waiting) t.get();
  });
}
