/// @file
/// A connection that has been busy, of which the kernel reports changes instead of what is: nothing that comes is lost,
/// whoever waits for it, and however.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/one_byte_io.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/socket_pair.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/readiness.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/unix_listener.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/select.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::detail::polled_descriptor;
using weft::detail::readiness;
using weft::io::stream;
using weft::io::tcp_stream;

namespace {

/// Whether any loop of this process has asked the kernel to report changes of `fd`.
bool reports_edges(int fd) {
  for (auto const& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream file{entry.path()};
    for (std::string line; std::getline(file, line);) {
      std::istringstream words{line};
      std::string word;
      int watched = -1;
      std::string events_word;
      std::uint64_t events = 0;
      if (words >> word >> watched >> events_word >> std::hex >> events && word == "tfd:" && watched == fd) {
        if ((events & EPOLLET) != 0) return true;
      }
    }
  }
  return false;
}

std::span<std::byte const> bytes(std::string_view text) { return std::as_bytes(std::span{text}); }

/// What one read of at most `most` bytes gives.
std::string read(stream& from, std::size_t most = 16) {
  std::array<std::byte, 64> buffer{};
  auto const size = from.read_some(std::span{buffer}.first(most));
  return {reinterpret_cast<char const*>(buffer.data()), size};
}

/// A byte each way, each waited for.
void talk(stream& one, stream& other, int times = 32) {
  auto echo = weft::spawn([&] {
    for (int i = 0; i < times; ++i) {
      auto const said = read(other, 1);
      other.write_all(bytes(said));
    }
  });
  for (int i = 0; i < times; ++i) {
    weft::yield();  // so that the other waits
    one.write_all(bytes("x"));
    verify(read(one) == "x");
  }
  echo.get();
}

/// Two ends, of which the second has been busy: its reads asked for more than there was. Where reads are made short, it
/// goes on as before.
std::pair<tcp_stream, tcp_stream> busy_pair() {
  auto ends = tcp_pair();
  if (one_byte_io()) {
    talk(ends.second, ends.first);
    return ends;
  }
  // With forced migration a byte often comes before its reader waits, and twice in a row levels are told of anew.
  int const tries = migration_forced() ? 4 : 20;
  for (int i = 0; i < tries && !reports_edges(ends.second.native_handle()); ++i) talk(ends.second, ends.first);
  return ends;
}

/// Until the other end has got what was sent.
void settle(stream const& at) { weft::io::wait_readable(at); }

/// A case that is never ready. Asked, it sends a byte, and waits until the loop has been told.
struct sends_late {
  stream& by;
  stream& to;

  bool try_now() {
    auto const& watched = *weft::detail::descriptor_access::of(to).polled();
    auto const before = watched.events();
    by.write_all(bytes("x"));
    while (watched.events() == before) std::this_thread::yield();
    return false;
  }
  bool enroll(weft::waiter& /*w*/) noexcept { return false; }
  bool withdraw() noexcept { return false; }
  void finish() {}
};

}  // namespace

TEST_CASE("the kernel is asked for changes of a busy TCP connection only", "[io][edges]") {
  if (one_byte_io()) return;  // of none, then: see the last lines
  run_on(1, [] {
    auto [one, other] = busy_pair();
    if (!migration_forced()) CHECK(reports_edges(other.native_handle()));
    // A read of a Unix socket may give less than there is: it ends where descriptors were sent along.
    auto listener = weft::io::unix_listener::bind(some_name());
    auto here = weft::io::unix_stream::connect(listener.local_endpoint());
    auto there = listener.accept();
    talk(here, there);
    CHECK_FALSE(reports_edges(here.native_handle()));
    CHECK_FALSE(reports_edges(there.native_handle()));
    weft::testing::io_faults const make_reads_short;
    auto [first, second] = tcp_pair();
    talk(first, second);
    CHECK_FALSE(reports_edges(first.native_handle()));
    CHECK_FALSE(reports_edges(second.native_handle()));
  });
}

TEST_CASE("edges: what has happened during a read is not forgotten after it", "[io][edges]") {
  socket_pair const sockets;
  auto const polled = polled_descriptor::make(sockets.end(0));
  polled->exhausted(readiness::readable);
  REQUIRE_FALSE(polled->seems_ready(readiness::readable));
  auto const before = polled->events();
  // ... a system call, which finds less than it asks for; and then
  CHECK_FALSE(polled->take_event(readiness::readable));
  polled->exhausted(readiness::readable, before);
  CHECK(polled->seems_ready(readiness::readable));
  polled->exhausted(readiness::readable, polled->events());
  CHECK_FALSE(polled->seems_ready(readiness::readable));
}

TEST_CASE("edges: what comes with the end, or before it is read, is read to the end", "[io][edges]") {
  watchdog dog{"the end of a busy connection"};
  run_on(some_workers(), [&] {
    for (int round = 0; round < (under_sanitizer ? 8 : 40); ++round) {
      auto [one, other] = busy_pair();
      bool const waits = round % 2 == 0;
      auto reader = weft::spawn([&end = other, waits] {
        if (!waits) settle(end);
        std::string all;
        for (std::string part = read(end); !part.empty(); part = read(end)) all += part;
        verify(read(end).empty());
        return all;
      });
      if (waits) weft::yield();
      one.write_all(bytes("abc"));
      if (round % 4 < 2) weft::yield();
      one.write_all(bytes("def"));
      one.close();
      verify(reader.get() == "abcdef");
      dog.feed();
    }
  });
}

TEST_CASE("edges: what a read leaves is found by the next, whether it waits, asks or selects", "[io][edges]") {
  if (one_byte_io()) return;  // reads are to give what is asked for
  run_on(1, [] {
    auto [one, other] = busy_pair();
    one.write_all(bytes("0123456789"));
    settle(other);
    for (int i = 0; i < 4; ++i) settle(other);  // asked again and again, it is ready as long as it is
    CHECK(read(other, 3) == "012");
    settle(other);
    CHECK(weft::select(weft::on_readable(other), weft::on_timeout(1h)) == 0);
    CHECK(weft::select(weft::on_readable(other), weft::on_timeout(1h)) == 0);
    CHECK(read(other, 3) == "345");
    CHECK(read(other, 4) == "6789");
    CHECK_FALSE(weft::io::wait_readable_for(other, 0s));
    auto asks = weft::spawn([&end = other] {
      settle(end);  // waits, and takes nothing
      settle(end);
      return read(end);
    });
    weft::yield();
    one.write_all(bytes("ab"));
    CHECK(asks.get() == "ab");
  });
}

TEST_CASE("edges: what a select has found is left to who reads", "[io][edges]") {
  if (one_byte_io()) return;       // levels are reported only to who waits, and here nobody waits yet
  if (migration_forced()) return;  // the worker that holds the loop up is to be the one that looks for it
  watchdog dog{"a busy connection in a select"};
  run_on(2, [&] {
    auto [one, other] = busy_pair();
    if (!reports_edges(other.native_handle())) return;
    for (int round = 0; round < 20; ++round) {
      auto const chosen = weft::select(weft::on_readable(other), sends_late{one, other});
      verify(chosen == 0);
      verify(read(other) == "x");  // and nothing more comes
      verify(!weft::io::wait_readable_for(other, 0s));
      dog.feed();
    }
  });
}

TEST_CASE("edges: one event is enough for several who wait", "[io][edges]") {
  watchdog dog{"several readers of a busy connection"};
  run_on(some_workers(), [&] {
    auto [one, other] = busy_pair();
    for (int round = 0; round < 500; ++round) {
      std::vector<weft::task<std::string>> readers;
      for (int i = 0; i < 3; ++i) {
        readers.push_back(weft::spawn([&end = other, asks = i == round % 4] {
          if (asks) settle(end);  // may be the one that the event wakes
          return read(end, 1);
        }));
      }
      weft::yield();
      one.write_all(bytes("abc"));
      std::string all;
      for (auto& reader : readers) all += reader.get();
      std::sort(all.begin(), all.end());
      verify(all == "abc");
      dog.feed();
    }
  });
}

TEST_CASE("edges: a reader that was cancelled leaves the event to the next", "[io][edges][cancel]") {
  watchdog dog{"a busy connection's cancelled reader"};
  run_on(some_workers(), [&] {
    auto [one, other] = busy_pair();
    for (int round = 0; round < 500; ++round) {
      std::string got;
      auto first = weft::spawn([&, &end = other] { got = read(end); });
      weft::yield();
      auto writer = weft::spawn([&end = one] { end.write_all(bytes("a")); });
      first.cancel();
      first.wait();
      writer.get();
      if (got.empty()) got = read(other);
      verify(got == "a");
      dog.feed();
    }
  });
}

TEST_CASE("edges: a read ends before urgent data, and the rest is read by the next", "[io][edges]") {
  run_on(1, [] {
    bool const waits = GENERATE(false, true);
    auto [one, other] = busy_pair();
    auto reader = weft::spawn([&end = other, waits] {
      if (!waits) settle(end);
      std::string all;
      while (all.size() < 5) all += read(end);
      return all;
    });
    if (waits) weft::yield();
    one.write_all(bytes("abc"));
    REQUIRE(::send(one.native_handle(), "!", 1, MSG_OOB) == 1);
    one.write_all(bytes("de"));
    CHECK(reader.get() == "abcde");  // what is urgent is not in line
    talk(one, other);
  });
}

TEST_CASE("edges: a connection that nobody reads is left alone, and served again", "[io][edges]") {
  run_on(1, [] {
    auto [one, other] = busy_pair();
    for (int round = 0; round < 20; ++round) {
      std::string sent;
      for (int i = 0; i < 5; ++i) {
        one.write_all(bytes("x"));
        sent += 'x';
        weft::sleep_for(100us);  // the loop looks
      }
      std::string got;
      while (got.size() < sent.size()) got += read(other);
      CHECK(got == sent);
      talk(one, other, round);
    }
  });
}

TEST_CASE("edges: random sizes, and pauses at random, lose no byte", "[io][edges][stress]") {
  watchdog dog{"random reads of busy connections"};
  auto const total = scaled_bytes(scaled(400'000));
  run_on(some_workers(), [&] {
    std::vector<weft::task<void>> all;
    for (std::uint32_t seed = 0; seed < 4; ++seed) {
      all.push_back(weft::spawn([&, seed] {
        auto [one, other] = busy_pair();
        auto writer = weft::spawn([&, &end = one] {
          std::mt19937 random{seed};
          std::array<std::byte, 300> buffer{};
          for (std::size_t sent = 0; sent < total;) {
            auto const size = std::min<std::size_t>(1 + random() % (random() % 4 == 0 ? 300 : 8), total - sent);
            for (std::size_t i = 0; i < size; ++i) buffer[i] = static_cast<std::byte>((sent + i) % 251);
            end.write_all(std::span{buffer}.first(size));
            sent += size;
            if (random() % 4 == 0) weft::yield();
            if (random() % 64 == 0) weft::sleep_for(20us);
          }
          end.shutdown(weft::io::direction::send);
        });
        std::mt19937 random{seed + 1000};
        std::array<std::byte, 64> buffer{};
        std::size_t got = 0;
        for (;;) {
          if (random() % 16 == 0) settle(other);
          if (random() % 16 == 0) verify(weft::select(weft::on_readable(other), weft::on_timeout(1h)) == 0);
          auto const size = other.read_some(std::span{buffer}.first(1 + random() % buffer.size()));
          if (size == 0) break;
          for (std::size_t i = 0; i < size; ++i) verify(buffer[i] == static_cast<std::byte>((got + i) % 251));
          got += size;
          if (random() % 4 == 0) weft::yield();
          if (random() % 64 == 0) dog.feed();
        }
        verify(got == total);
        writer.get();
      }));
    }
    for (auto& task : all) task.get();
  });
}
