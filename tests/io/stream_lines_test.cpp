/// @file
/// Lines, delimiters, all of a stream, and several buffers at once.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/error.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <ranges>
#include <span>
#include <stdexcept>
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
using weft::test::tcp_pair;
using weft::test::throws;

std::span<std::byte> bytes_of(std::string& text) { return std::as_writable_bytes(std::span{text}); }

/// What read_some() gives of at most `size` bytes.
std::string some(stream& from, std::size_t size) {
  std::string text(size, ' ');
  text.resize(from.read_some(bytes_of(text)));
  return text;
}

/// Sends each of `parts` only after the one before it has been taken.
void send_in_parts(stream& to, std::vector<std::string_view> const& parts) {
  for (auto const part : parts) {
    to.write_all(part);
    for (int i = 0; i < 20; ++i) weft::yield();
  }
}

// What is made on the way, element by element, is gone before it could be sent.
using made_strings = decltype(std::declval<std::vector<std::string> const&>() |
                              std::views::transform([](std::string const& s) { return s + "\n"; }));
using made_views = decltype(std::declval<std::vector<std::string> const&>() |
                            std::views::transform([](std::string const& s) { return std::string_view{s}; }));
static_assert(!weft::detail::buffers_to_send<made_strings>);
static_assert(weft::detail::buffers_to_send<made_views>);
static_assert(weft::detail::buffers_to_send<std::vector<std::string>>);
static_assert(weft::detail::buffers_to_fill<std::vector<std::span<std::byte>>>);

}  // namespace

TEST_CASE("lines come without their ends, and the last one needs none", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    auto sender = weft::spawn([&] {
      send_in_parts(there, {"one\ntw", "o\r", "\n\n", "\r\n", "a\rb\n", "last"});
      there.close();
    });
    std::vector<std::string> lines;
    while (auto line = here.read_line()) lines.push_back(*line);
    CHECK(lines == std::vector<std::string>{"one", "two", "", "", "a\rb", "last"});
    CHECK_FALSE(here.read_line());
    sender.get();
  });
}

TEST_CASE("a delimiter is found where it came in pieces", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    auto sender = weft::spawn([&] { send_in_parts(there, {"head\r", "\n\r", "\nbody\r\n\r", "x\r\n\r\nrest"}); });
    CHECK(here.read_until("\r\n\r\n") == "head\r\n\r\n");
    CHECK(here.read_until("\r\n\r\n") == "body\r\n\rx\r\n\r\n");
    sender.get();
    there.close();
    std::string partial;
    try {
      (void)here.read_until("\r\n\r\n");
    } catch (weft::incomplete_read const& e) {
      partial = e.partial();
    }
    CHECK(partial == "rest");
    std::error_code ec;
    CHECK(here.read_until("x", 10, ec).empty());
    CHECK_FALSE(ec);
    CHECK_THROWS_AS(here.read_until(""), std::invalid_argument);
  });
}

TEST_CASE("what is over the limit stays readable", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    there.write_all("0123456789\nabc");
    there.close();
    CHECK_THROWS_AS(here.read_line(10), weft::limit_overrun);
    CHECK_THROWS_AS(here.read_line(0), weft::limit_overrun);
    CHECK_THROWS_AS(here.read_until("89\n", 10), weft::limit_overrun);
    CHECK_THROWS_AS(here.read_all(13), weft::limit_overrun);
    std::error_code ec;
    CHECK_FALSE(here.read_line(4, ec));
    CHECK(ec == std::errc::message_size);
    CHECK(here.buffered() == 14);
    CHECK(some(here, 4) == "0123");
    CHECK(here.read_exactly(2) == "45");
    std::string three(3, ' ');
    here.read_exactly(bytes_of(three));
    CHECK(three == "678");
    CHECK(here.read_line(2, ec) == "9");
    CHECK_FALSE(ec);
    CHECK_THROWS_AS(here.read_line(2), weft::limit_overrun);
    CHECK(here.read_line(3) == "abc");  // the last, without an end
    CHECK(here.read_line(0) == std::nullopt);
    CHECK(here.read_all(3).empty());
    CHECK(here.read_all(0).empty());
    CHECK(here.buffered() == 0);
  });
}

TEST_CASE("a line much longer than the buffer, and one at the limit", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    std::string const line(100'000, 'x');
    auto sender = weft::spawn([&, &to = there] {
      for (int i = 0; i < 3; ++i) to.write_all(std::array<std::string_view, 2>{line, "\n"});
    });
    for (int i = 0; i < 3; ++i) CHECK(here.read_line(line.size() + 1) == line);
    sender.get();
  });
}

TEST_CASE("a count of bytes that the stream does not have is not allocated", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    there.write_all("few");
    there.close();
    std::string partial;
    try {
      (void)here.read_exactly(~std::size_t{0});
    } catch (weft::incomplete_read const& e) {
      partial = e.partial();
    }
    CHECK(partial == "few");
    std::error_code ec;
    CHECK(here.read_exactly(5, ec).empty());
    CHECK_FALSE(ec);
  });
}

TEST_CASE("a read that is cancelled or out of time takes nothing", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    auto const cancelled_within = [&, &from = here](auto&& read) {
      auto reader = weft::spawn(read);
      for (int i = 0; i < 20; ++i) weft::yield();
      reader.cancel();
      return throws<weft::cancelled>([&] { reader.get(); }) && from.is_open();
    };
    auto const out_of_time = [](auto&& read) {
      return throws<weft::timeout_error>([&] { weft::with_timeout(1ms, read); });
    };
    auto const each = [&, &from = here](auto&& check) {
      std::string ten(10, ' ');
      CHECK(check([&] { from.read_exactly(bytes_of(ten)); }));
      CHECK(check([&] { (void)from.read_exactly(10); }));
      CHECK(check([&] { (void)from.read_until("\r\n"); }));
      CHECK(check([&] { (void)from.read_line(); }));
      CHECK(check([&] { (void)from.read_all(100); }));
    };
    there.write_all("half");
    each(cancelled_within);
    there.write_all(" and ");
    each(out_of_time);
    CHECK(here.read_exactly(9) == "half and ");
    // With nothing read ahead before.
    auto [fresh, peer] = tcp_pair();
    peer.write_all("half");
    std::string ten(10, ' ');
    CHECK(out_of_time([&, &from = fresh] { from.read_exactly(bytes_of(ten)); }));
    peer.write_all(" whole");
    CHECK(fresh.read_exactly(10) == "half whole");
  });
}

TEST_CASE("a cancelled fiber reads and writes nothing, though it need not wait", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    there.write_all("a line\nmore\n");
    CHECK(here.read_line() == "a line");
    auto const refused = [](auto&& call) {
      weft::cancel_scope scope;
      return !scope.run([&] {
        scope.cancel();
        call();
      });
    };
    auto& from = here;
    std::string one(1, ' ');
    CHECK(refused([&] { (void)from.read_some(bytes_of(one)); }));
    CHECK(refused([&] { (void)from.read_some(std::span<std::byte>{}); }));
    CHECK(refused([&] { (void)from.read_some(std::array{bytes_of(one), bytes_of(one)}); }));
    CHECK(refused([&] { from.read_exactly(bytes_of(one)); }));
    CHECK(refused([&] { (void)from.read_exactly(std::size_t{1}); }));
    CHECK(refused([&] { (void)from.read_line(); }));
    CHECK(refused([&] { (void)from.read_until("\n"); }));
    CHECK(refused([&] { (void)from.read_all(100); }));
    CHECK(refused([&] { (void)from.write_some(std::span<std::byte const>{}); }));
    CHECK(refused([&] { (void)from.write_all("x"); }));
    CHECK(refused([&] { (void)from.write_all(std::array<std::string_view, 2>{"x", "y"}); }));
    CHECK(here.read_line() == "more");
    here.close();
    CHECK(there.read_all(10).empty());
  });
}

TEST_CASE("several buffers are filled and sent one after the other", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    std::array<std::string_view, 4> const words{"one ", "", "two ", "three"};
    there.write_all(words);
    std::string a(2, ' ');
    std::string b(4, ' ');
    std::array const both{bytes_of(a), bytes_of(b)};
    std::string got;
    auto const read_both = [&, &from = here] {
      auto const count = from.read_some(both);
      got += (a + b).substr(0, count);
      return count;
    };
    CHECK(read_both() > 0);
    CHECK_THROWS_AS(here.read_line(3), weft::limit_overrun);  // from here on there is a buffer
    while (got.size() < 13 && read_both() > 0) {
    }
    CHECK(got == "one two three");
    // More buffers than one call takes, more bytes than the system holds.
    std::vector<std::string> many;
    std::string all;
    for (int i = 0; i < 1000; ++i)
      all += many.emplace_back(weft::test::scaled_bytes(static_cast<std::size_t>(i) * 7),
                               static_cast<char>('a' + i % 26));
    auto sender = weft::spawn([&, &to = there] {
      to.write_all(many);
      to.close();
    });
    CHECK(here.read_all(all.size()) == all);
    sender.get();
    CHECK(read_both() == 0);
    std::error_code ec;
    CHECK(here.write_all(std::vector<std::string>{}, ec) == 0);
    CHECK_FALSE(ec);
  });
}

TEST_CASE("what was read ahead goes along with a moved stream, and not beyond its end", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    there.write_all("one\ntwo\nthree\n");
    CHECK(here.read_line() == "one");
    tcp_stream moved = std::move(here);
    CHECK(moved.read_line() == "two");
    auto [other, peer] = tcp_pair();
    peer.write_all("lost\nlost\n");
    CHECK(other.read_line() == "lost");
    other = std::move(moved);
    std::error_code ended;
    CHECK(peer.read_all(1, ended).empty());
    CHECK((!ended || ended == std::errc::connection_reset));  // the latter if some of it was still under way
    CHECK(other.read_line() == "three");
    there.write_all("x\ny\n");
    CHECK(other.read_line() == "x");
    other.close();
    std::error_code ec;
    CHECK_FALSE(other.read_line(ec));
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK(other.buffered() == 0);
    stream const none;
    CHECK(none.buffered() == 0);
  });
}

TEST_CASE("of two that read lines at once each gets whole ones", "[io][stream]") {
  run_on(some_workers(), [] {
    auto [here, there] = tcp_pair();
    constexpr int lines = 200;
    auto const read = [&from = here] {
      int got = 0;
      while (auto line = from.read_line()) {
        weft::test::verify(*line == "a line of some length");
        ++got;
      }
      return got;
    };
    auto a = weft::spawn(read);
    auto b = weft::spawn(read);
    for (int i = 0; i < lines; ++i) {
      there.write_all("a line of ");
      if (i % 7 == 0) weft::yield();
      there.write_all("some length\n");
    }
    there.close();
    CHECK(a.get() + b.get() == lines);
  });
}
