/// @file
/// Boost.Beast's synchronous HTTP and WebSockets on weft's streams, as they stand: both sides on fibers, over TCP and
/// over Unix sockets.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/threads.hpp"
#include "support/verify.hpp"

#include <weft/io/asio.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/timeout.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <unistd.h>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::verify;

static_assert(beast::is_sync_stream<weft::io::tcp_stream>::value);
static_assert(beast::is_sync_stream<weft::io::unix_stream>::value);

/// Answers with what it was sent, until the client closes.
template <class Stream>
void serve_http(Stream& connection) {
  beast::flat_buffer buffer;
  for (;;) {
    http::request<http::string_body> request;
    beast::error_code ec;
    http::read(connection, buffer, request, ec);
    if (ec == http::error::end_of_stream) break;
    verify(!ec);
    http::response<http::string_body> response{http::status::ok, request.version()};
    response.set(http::field::server, "weft");
    response.body() = std::string(request.target()) + " " + request.body();
    response.keep_alive(request.keep_alive());
    response.chunked(request.target() == "/chunked");
    if (!response.chunked()) response.prepare_payload();
    http::write(connection, response);
  }
  connection.shutdown(weft::io::direction::send);
}

template <class Stream>
void use_http(Stream& connection) {
  beast::multi_buffer buffer;
  for (std::string const target : {"/", "/chunked", "/large"}) {
    http::request<http::string_body> request{http::verb::post, target, 11};
    request.set(http::field::host, "test");
    request.body() = std::string(target == "/large" ? weft::test::scaled_bytes(300'000) : 10, 'b');
    request.prepare_payload();
    http::write(connection, request);
    http::response<http::string_body> response;
    http::read(connection, buffer, response);
    verify(response.result() == http::status::ok);
    verify(response[http::field::server] == "weft");
    verify(response.body() == target + " " + request.body());
  }
  connection.shutdown(weft::io::direction::send);
}

template <class Stream>
void serve_websocket(Stream connection) {
  websocket::stream<Stream> server{std::move(connection)};
  server.accept();
  for (;;) {
    beast::flat_buffer message;
    beast::error_code ec;
    server.read(message, ec);
    if (ec == websocket::error::closed) break;
    verify(!ec);
    server.text(server.got_text());
    server.write(message.data());
  }
  verify(server.reason().reason == "enough");
}

template <class Stream>
void use_websocket(Stream connection) {
  websocket::stream<Stream> client{std::move(connection)};
  client.handshake("test", "/");
  for (std::size_t const size : {std::size_t{1}, std::size_t{1000}, weft::test::scaled_bytes(200'000)}) {
    std::string const text(size, 'w');
    client.write(asio::buffer(text));
    beast::flat_buffer message;
    client.read(message);
    verify(beast::buffers_to_string(message.data()) == text);
  }
  client.ping("there?");
  client.close(websocket::close_reason{websocket::close_code::normal, "enough"});
}

}  // namespace

TEST_CASE("HTTP by Boost.Beast, requests on one connection", "[io][asio]") {
  run_on(some_workers(), [] {
    auto const exchange = [](auto ends) {
      auto server = weft::spawn([&] { serve_http(ends.second); });
      use_http(ends.first);
      server.get();
    };
    exchange(weft::test::tcp_pair());
    exchange(weft::io::unix_stream::pair());
  });
}

TEST_CASE("WebSockets by Boost.Beast, from the handshake to the close, without a thread of Asio's", "[io][asio]") {
  auto const before = weft::test::threads_of_process();
  run_on(some_workers(), [] {
    auto const exchange = [](auto ends) {
      auto server = weft::spawn([s = std::move(ends.second)]() mutable { serve_websocket(std::move(s)); });
      use_websocket(std::move(ends.first));
      server.get();
    };
    exchange(weft::test::tcp_pair());
    exchange(weft::io::unix_stream::pair());
  });
  if (weft::test::under_tsan) return;               // which has a thread of its own
  CHECK(weft::test::threads_come_down_to(before));  // one of Asio's would stay
}

TEST_CASE("errors come as Asio has them, and cancellations as weft has them", "[io][asio]") {
  run_on(some_workers(), [] {
    auto [here, there] = weft::test::tcp_pair();
    beast::error_code ec;
    std::array<char, 4> front{};
    std::array<char, 8> back{};
    std::array<asio::mutable_buffer, 2> const both{asio::buffer(front), asio::buffer(back)};
    CHECK(here.read_some(asio::mutable_buffer{}, ec) == 0);
    CHECK_FALSE(ec);
    CHECK_THROWS_AS(weft::with_timeout(std::chrono::milliseconds(1), [&] { (void)here.read_some(both, ec); }),
                    weft::timeout_error);
    asio::write(there, std::array<asio::const_buffer, 2>{asio::buffer("one", 3), asio::buffer("two", 3)});
    there.shutdown(weft::io::direction::send);
    CHECK(asio::read(here, both, ec) == 6);
    CHECK(ec == asio::error::eof);
    CHECK(std::string(front.data(), 4) + std::string(back.data(), 2) == "onetwo");
    CHECK(here.read_some(both, ec) == 0);
    CHECK(ec == asio::error::eof);
    CHECK_THROWS_AS(asio::read(here, both), boost::system::system_error);
    here.close();
    CHECK(here.write_some(asio::buffer("x", 1), ec) == 0);
    CHECK(ec == asio::error::bad_descriptor);
    CHECK(here.read_some(both, ec) == 0);
    CHECK(ec == asio::error::bad_descriptor);
  });
}
