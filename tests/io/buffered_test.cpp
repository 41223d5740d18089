/// @file
/// buffered_reader and buffered_writer, over a stream of the test's own that counts calls, and over weft's.

#include "support/catch.hpp"
#include "support/run_on.hpp"

#include <weft/io/buffered_reader.hpp>
#include <weft/io/buffered_writer.hpp>
#include <weft/io/error.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;

/// In memory: reads what it was given, and keeps what is written; at most `most` bytes a call. Fails where `fails`
/// says.
struct memory_stream {
  explicit memory_stream(std::string text = {}, std::size_t most_at_once = ~std::size_t{0})
      : to_read(std::move(text)), most(most_at_once) {}

  std::string to_read;
  std::size_t most;
  std::string written;
  int calls = 0;
  bool fails = false;

  std::size_t read_some(std::span<std::byte> buffer, std::error_code& ec) {
    if (!begin(ec)) return 0;
    auto const count = std::min({buffer.size(), to_read.size(), most});
    std::memcpy(buffer.data(), to_read.data(), count);
    to_read.erase(0, count);
    return count;
  }
  std::size_t write_some(std::span<std::byte const> buffer, std::error_code& ec) {
    if (!begin(ec)) return 0;
    auto const count = std::min(buffer.size(), most);
    written.append(reinterpret_cast<char const*>(buffer.data()), count);
    return count;
  }

private:
  bool begin(std::error_code& ec) {
    ++calls;
    ec = fails ? std::make_error_code(std::errc::io_error) : std::error_code{};
    return !fails;
  }
};
static_assert(readable_stream<memory_stream> && writable_stream<memory_stream>);
static_assert(readable_stream<stream> && writable_stream<stream>);
static_assert(readable_stream<buffered_reader<stream>>);

}  // namespace

TEST_CASE("a buffered reader makes few calls of many reads", "[io][buffered]") {
  memory_stream below;
  for (int i = 0; i < 100; ++i) below.to_read += "line " + std::to_string(i) + "\r\n";
  auto const all = below.to_read;
  for (std::size_t const most : {std::size_t{1}, std::size_t{7}, all.size()}) {
    for (std::size_t const size : {std::size_t{0}, std::size_t{1}, std::size_t{16}, std::size_t{4096}}) {
      memory_stream source{all, most};
      buffered_reader reader{source, size};
      for (int i = 0; i < 100; ++i) CHECK(reader.read_line() == "line " + std::to_string(i));
      CHECK_FALSE(reader.read_line());
      if (most > size && size == 4096) CHECK(source.calls == 2);
    }
  }
}

TEST_CASE("a read as large as the buffer goes past it; small ones do not", "[io][buffered]") {
  memory_stream below{std::string(100, 'x')};
  buffered_reader reader{below, 16};
  std::array<std::byte, 50> buffer{};
  CHECK(reader.read_some(std::span{buffer}.first(4)) == 4);
  CHECK(reader.buffered().size() == 12);
  CHECK(reader.read_some(buffer) == 12);
  CHECK(below.calls == 1);
  CHECK(reader.read_some(buffer) == 50);
  CHECK(reader.read_some(std::span{buffer}.first(0)) == 0);
  CHECK(below.calls == 2);
  CHECK(reader.read_exactly(34) == std::string(34, 'x'));
  CHECK(reader.read_some(buffer) == 0);
}

TEST_CASE("a parser looks at what is buffered, and takes as much as it understands", "[io][buffered]") {
  memory_stream below{"key=value;rest", 5};
  buffered_reader reader{below};
  while (reader.buffered().find(';') == std::string_view::npos) REQUIRE(reader.fill());
  CHECK(reader.buffered().substr(0, 10) == "key=value;");
  reader.consume(10);
  while (reader.fill()) {
  }
  CHECK(reader.buffered() == "rest");
  reader.consume(100);
  CHECK(reader.buffered().empty());
  std::error_code ec;
  CHECK_FALSE(reader.fill(ec));
  CHECK_FALSE(ec);
}

TEST_CASE("an error from below takes nothing, and is thrown or set", "[io][buffered]") {
  memory_stream below{"half"};
  buffered_reader reader{below};
  CHECK(reader.fill());
  below.fails = true;
  std::error_code ec;
  CHECK_FALSE(reader.read_line(ec));
  CHECK(ec == std::errc::io_error);
  CHECK(reader.read_exactly(5, ec).empty());
  CHECK(ec == std::errc::io_error);
  std::array<std::byte, 5> five{};
  CHECK_THROWS_AS(reader.read_exactly(five), std::system_error);
  CHECK_THROWS_AS(reader.read_until("x"), std::system_error);
  CHECK_THROWS_AS(reader.read_all(10), std::system_error);
  below.fails = false;
  below.to_read = " and half";
  buffered_reader moved = std::move(reader);
  CHECK(moved.read_all(20) == "half and half");
}

TEST_CASE("a buffered writer writes when it is full, flushed, or given too much", "[io][buffered]") {
  for (std::size_t const most : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
    memory_stream below{"", most};
    buffered_writer writer{below, 8};
    writer.write_all("12345");
    writer.write_all("678");
    CHECK(below.written.empty());
    CHECK(writer.buffered() == 8);
    writer.write_all("9");
    CHECK(below.written == "12345678");
    writer.write_all("larger than the buffer");
    CHECK(below.written == "123456789larger than the buffer");
    CHECK(writer.buffered() == 0);
    writer.write_all("");
    writer.write_all("x");
    buffered_writer moved = std::move(writer);
    moved.flush();
    moved.flush();
    CHECK(below.written == "123456789larger than the bufferx");
    moved.write_all("dropped");
  }
}

TEST_CASE("a failed flush keeps what has not been written", "[io][buffered]") {
  memory_stream below;
  buffered_writer writer{below, 4};
  writer.write_all("1234");
  below.fails = true;
  std::error_code ec;
  CHECK(writer.write_all("5", ec) == 0);
  CHECK(ec == std::errc::io_error);
  CHECK_THROWS_AS(writer.flush(), std::system_error);
  CHECK_THROWS_AS(writer.write_all("too large for it"), std::system_error);
  CHECK(writer.buffered() == 4);
  below.fails = false;
  writer.write_all("5");
  writer.flush();
  CHECK(below.written == "12345");
}

TEST_CASE("a flush that is out of time goes on where it was", "[io][buffered]") {
  run_on(some_workers(), [] {
    auto [here, there] = unix_stream::pair();
    std::string text;
    while (text.size() < weft::test::scaled_bytes(3'000'000)) text += std::to_string(text.size()) + " ";
    buffered_writer writer{here, text.size()};
    writer.write_all(text);
    CHECK_THROWS_AS(weft::with_timeout(1ms, [&] { writer.flush(); }), weft::timeout_error);
    CHECK(writer.buffered() > 0);
    auto reader = weft::spawn([&, &from = there] {
      buffered_reader buffered{from, 1000};
      return buffered.read_all(text.size());
    });
    writer.flush();
    here.close();
    CHECK(reader.get() == text);
  });
}
