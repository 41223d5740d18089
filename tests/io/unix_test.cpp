/// @file
/// Unix sockets: by path, by abstract name, in pairs.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/io/unix_listener.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::verify;

/// Empty at first, and gone at the end. Its path is short.
class temporary_directory {
public:
  temporary_directory() {
    std::string name = "/tmp/weft-XXXXXX";
    verify(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  temporary_directory(temporary_directory const&) = delete;
  ~temporary_directory() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  [[nodiscard]] std::string file(std::string const& name) const { return (path_ / name).string(); }

private:
  std::filesystem::path path_;
};

void echo_lines(unix_stream s) {
  while (auto line = s.read_line()) s.write_all(*line + "\n");
}

void expect_echo(unix_endpoint const& at) {
  auto listener = unix_listener::bind(at);
  CHECK(listener.local_endpoint() == at);
  constexpr int connections = 20;
  auto server = weft::spawn([&] {
    std::vector<weft::task<void>> serving;
    for (int i = 0; i < connections; ++i) {
      serving.push_back(weft::spawn([s = listener.accept()]() mutable { echo_lines(std::move(s)); }));
    }
    for (auto& t : serving) t.get();
  });
  std::vector<weft::task<void>> clients;
  for (int i = 0; i < connections; ++i) {
    clients.push_back(weft::spawn([&, i] {
      auto s = unix_stream::connect(at);
      auto const line = "line of " + std::to_string(i);
      s.write_all(line + "\n");
      verify(s.read_line() == line);
      s.shutdown(direction::send);
      verify(!s.read_line());
    }));
  }
  for (auto& t : clients) t.get();
  server.get();
}

}  // namespace

TEST_CASE("connections by path and by abstract name", "[io][unix]") {
  run_on(some_workers(), [] {
    temporary_directory const where;
    expect_echo(where.file("socket"));
    expect_echo(unix_endpoint::abstract("weft-test-" + std::to_string(::getpid())));
    expect_echo(unix_endpoint::abstract(std::string("weft\0test", 9) + std::to_string(::getpid())));
  });
}

TEST_CASE("the longest path, and one that is longer; empty ones and zero bytes", "[io][unix][bad-input]") {
  run_on(some_workers(), [] {
    temporary_directory const where;
    auto longest = where.file("");
    longest.append(unix_endpoint::longest - longest.size(), 'x');
    expect_echo(longest);
    std::error_code ec;
    for (auto const& too_long : {longest + "x", std::string(100'000, 'x')}) {
      CHECK_FALSE(unix_listener::bind(too_long, {}, ec).is_open());
      CHECK(ec == std::errc::filename_too_long);
      CHECK_FALSE(unix_stream::connect(too_long, ec).is_open());
      CHECK(ec == std::errc::filename_too_long);
    }
    CHECK_FALSE(unix_stream::connect(unix_endpoint::abstract(std::string(108, 'x')), ec).is_open());
    CHECK(ec == std::errc::filename_too_long);
    for (auto const& bad : {std::string{}, std::string("/tmp/a\0b", 8)}) {
      CHECK_FALSE(unix_listener::bind(bad, {}, ec).is_open());
      CHECK(ec == std::errc::invalid_argument);
      CHECK_FALSE(unix_stream::connect(bad, ec).is_open());
      CHECK(ec == std::errc::invalid_argument);
    }
    CHECK_FALSE(unix_listener::bind("/there/is/no/such/directory", {}, ec).is_open());
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK_THROWS_WITH(unix_stream::connect(where.file("nobody")), Catch::Matchers::Contains(where.file("nobody")));
  });
}

TEST_CASE("a stale socket is replaced where that was asked for, and nothing else is", "[io][unix][bad-input]") {
  run_on(some_workers(), [] {
    temporary_directory const where;
    auto const path = where.file("socket");
    unix_listen_options options;
    options.remove_stale = true;
    auto listener = unix_listener::bind(path, options);
    std::error_code ec;
    CHECK_FALSE(unix_listener::bind(path, options, ec).is_open());  // somebody listens
    CHECK(ec == std::errc::address_in_use);
    (void)unix_stream::connect(path);  // and still does
    listener.close();
    CHECK_FALSE(unix_stream::connect(path, ec).is_open());
    CHECK(ec == std::errc::connection_refused);
    CHECK_FALSE(unix_listener::bind(path, {}, ec).is_open());
    CHECK(ec == std::errc::address_in_use);
    auto again = unix_listener::bind(path, options);
    (void)unix_stream::connect(path);
    auto const file = where.file("a file");
    std::ofstream{file} << "precious";
    CHECK_FALSE(unix_listener::bind(file, options, ec).is_open());
    CHECK(ec == std::errc::address_in_use);
    CHECK(std::filesystem::file_size(file) == 8);
  });
}

TEST_CASE("a full backlog is waited for, and the wait can be cancelled", "[io][unix]") {
  run_on(some_workers(), [] {
    temporary_directory const where;
    unix_listen_options options;
    options.backlog = 0;
    auto listener = unix_listener::bind(where.file("socket"), options);
    auto const first = unix_stream::connect(listener.local_endpoint());
    CHECK_THROWS_AS(weft::with_timeout(1ms, [&] { (void)unix_stream::connect(listener.local_endpoint()); }),
                    weft::timeout_error);
    auto second = weft::spawn([&] { return unix_stream::connect(listener.local_endpoint()); });
    auto const accepted = listener.accept();
    CHECK(second.get().is_open());
  });
}

TEST_CASE("a pair knows its peer, and half of it can be shut", "[io][unix]") {
  run_on(some_workers(), [] {
    auto [here, there] = unix_stream::pair();
    auto const peer = here.peer_credentials();
    CHECK(peer.process == ::getpid());
    CHECK(peer.user == ::getuid());
    CHECK(peer.group == ::getgid());
    here.write_all("question\n");
    here.shutdown(direction::send);
    std::error_code ec;
    CHECK(here.write_all("x", ec) == 0);
    CHECK(ec == std::errc::broken_pipe);
    CHECK(there.read_line() == "question");
    CHECK_FALSE(there.read_line());
    there.write_all("answer");
    there.close();
    CHECK(here.read_all(100) == "answer");
    unix_stream const none;
    CHECK_THROWS_AS(none.peer_credentials(), std::system_error);
  });
}

TEST_CASE("to close wakes who accepts", "[io][unix]") {
  run_on(some_workers(), [] {
    auto listener = unix_listener::bind(unix_endpoint::abstract("weft-close-" + std::to_string(::getpid())));
    auto acceptor = weft::spawn([&] {
      std::error_code ec;
      (void)listener.accept(ec);
      return ec;
    });
    for (int i = 0; i < 20; ++i) weft::yield();
    listener.close();
    CHECK(acceptor.get() == std::errc::bad_file_descriptor);
    CHECK_THROWS_AS(listener.accept(), std::system_error);
  });
}
