/// @file
/// Many fibers on many descriptors, which are waited for from everywhere, given up, closed and opened again.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/detail/system_calls.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <sys/socket.h>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using weft::detail::open_descriptor;
using weft::detail::readiness;
using weft::detail::system_calls;
using weft::test::verify;

struct ends {
  open_descriptor one;
  open_descriptor other;
};

ends connected() {
  auto& calls = weft::detail::current_calls();
  int fds[2]{};
  verify(calls.socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  return {open_descriptor{fds[0], calls}, open_descriptor{fds[1], calls}};
}

/// @param loop_may_read  while it waits to read
/// @returns whether it was transferred
bool transfer(open_descriptor& by, readiness what, unsigned char& byte, bool loop_may_read = false) {
  std::error_code ec;
  auto const attempt = [&](system_calls& calls, int fd) {
    return what == readiness::readable ? calls.recv(fd, &byte, 1, 0) : calls.send(fd, &byte, 1, 0);
  };
  weft::detail::read_by_loop read{&byte, 1};
  return by.perform(what, 1, ec, attempt, loop_may_read && by.is_kernels() ? &read : nullptr) == 1;
}

}  // namespace

TEST_CASE("every byte arrives, whoever waits where, gives up and waits again", "[io][polled_descriptor]") {
  std::uint64_t const seed = std::random_device{}();
  INFO("seed " << seed);
  weft::test::watchdog dog{"I/O"};
  weft::test::run_on(weft::test::some_workers(), [&] {
    constexpr int pairs = 20;
    auto const rounds = weft::test::scaled(300);
    std::vector<weft::task<void>> all;
    for (int p = 0; p < pairs; ++p) {
      all.push_back(weft::spawn([&, p] {
        std::mt19937_64 random{seed + static_cast<std::uint64_t>(p)};
        auto link = connected();
        auto answering = weft::spawn([&, loop_may_read = p % 2 == 0] {
          unsigned char byte = 0;
          while (transfer(link.other, readiness::readable, byte, loop_may_read)) {
            ++byte;
            if (!transfer(link.other, readiness::writable, byte)) break;
          }
        });
        bool all_right = true;
        for (std::uint64_t round = 0; round < rounds; ++round) {
          auto byte = static_cast<unsigned char>(round);
          all_right = all_right && transfer(link.one, readiness::writable, byte);
          for (bool got = false; !got;) {
            auto const limit = std::chrono::microseconds{random() % 50};
            auto const before = byte;
            try {
              weft::with_timeout(limit, [&] { got = transfer(link.one, readiness::readable, byte, round % 2 == 0); });
            } catch (weft::timeout_error const&) {
              if (!got) all_right = all_right && byte == before;  // nothing is taken and then lost
            }
          }
          all_right = all_right && byte == static_cast<unsigned char>(round + 1);
          dog.feed();
        }
        verify(all_right);
        link.one.close();
        answering.get();
      }));
    }
    for (auto& t : all) t.get();
  });
}

TEST_CASE("H9: close at any moment ends every wait, and numbers go round", "[io][polled_descriptor]") {
  std::uint64_t const seed = std::random_device{}();
  INFO("seed " << seed);
  weft::test::watchdog dog{"I/O"};
  weft::test::run_on(weft::test::some_workers(), [&] {
    constexpr int lines = 6;
    auto const rounds = weft::test::scaled(200);
    std::vector<weft::task<void>> all;
    for (int line = 0; line < lines; ++line) {
      all.push_back(weft::spawn([&, line] {
        std::mt19937_64 random{seed + static_cast<std::uint64_t>(line)};
        for (std::uint64_t round = 0; round < rounds; ++round) {
          auto link = connected();
          std::atomic<std::uint64_t> sent{0};
          std::atomic<std::uint64_t> received{0};
          std::vector<weft::task<void>> users;
          for (int i = 0; i < 2; ++i) {
            users.push_back(weft::spawn([&, loop_may_read = i == 0 || line % 2 == 0] {
              for (unsigned char byte = 1; transfer(link.one, readiness::readable, byte, loop_may_read); byte = 1) {
                received += byte == 7 ? 1U : 1000U;
              }
            }));
          }
          users.push_back(weft::spawn([&] {
            for (unsigned char byte = 7; sent < 200 && transfer(link.other, readiness::writable, byte);) ++sent;
          }));
          for (auto turns = random() % 30; turns > 0; --turns) weft::yield();
          bool const reader_first = random() % 2 == 0;
          (reader_first ? link.one : link.other).close();
          (reader_first ? link.other : link.one).close();
          for (auto& t : users) t.get();
          dog.feed();
          verify(received <= sent);
        }
      }));
    }
    for (auto& t : all) t.get();
  });
}
