/// @file
/// What goes wrong with sockets in runtimes whose fibers move between threads (H1, H9, H10, H26).

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/stream.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/testing.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::detail::open_descriptor;
using weft::detail::readiness;
using weft::detail::system_calls;
using weft::io::ip_address;
using weft::io::tcp_listener;
using weft::io::tcp_stream;

namespace {

struct socket_ends {
  open_descriptor one;
  open_descriptor other;
};

socket_ends connected_sockets() {
  auto& calls = weft::detail::current_calls();
  int fds[2]{};
  verify(calls.socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  return {open_descriptor{fds[0], calls}, open_descriptor{fds[1], calls}};
}

ssize_t receive(open_descriptor& from, char& byte, std::error_code& ec) {
  return from.perform(readiness::readable, 1, ec,
                      [&](system_calls& calls, int fd) { return calls.recv(fd, &byte, 1, 0); });
}

void send(open_descriptor& to, char byte) {
  std::error_code ec;
  verify(to.perform(readiness::writable, 1, ec,
                    [&](system_calls& calls, int fd) { return calls.send(fd, &byte, 1, 0); }) == 1);
}

/// Fibers of one worker share its `errno`, and nothing orders them: on purpose.
__attribute__((noinline, no_sanitize("thread"))) void set_errno(int to) { errno = to; }

}  // namespace

TEST_CASE("H1: an error that follows a wait is that of the call, not of the thread that waited", "[io][hazard][H1]") {
  watchdog dog{"errors after waits"};
  auto options = weft::test::on(2);
  run_with(weft::testing::forced_migration(std::move(options)), [&] {
    // Each turn leaves a number on its worker's thread that no call of ours ends with.
    std::atomic<bool> stop{false};
    auto litter = weft::spawn([&] {
      while (!stop) {
        set_errno(EDOM);
        weft::yield();
      }
    });
    auto const rounds = scaled(2000);
    for (std::size_t round = 0; round < rounds; ++round) {
      auto link = connected_sockets();
      auto reader = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] {
        char byte = 0;
        std::error_code ec;
        set_errno(EDOM);
        verify(receive(link.one, byte, ec) == 1);  // in vain first, then it waits
        verify(!ec);
        set_errno(EDOM);
        verify(receive(link.one, byte, ec) == -1);
        return ec;
      });
      send(link.other, 'x');
      // Closed with bytes that nobody has read: the other end is told that the connection was reset.
      send(link.one, 'y');
      weft::yield();
      link.other.close();
      verify(reader.get() == std::errc::connection_reset);
      dog.feed();
    }
    stop = true;
    litter.get();
  });
}

TEST_CASE("H9: sockets closed under those who read them, with the number used again at once", "[io][hazard][H9]") {
  watchdog dog{"numbers used again"};
  run_on(some_workers(), [&] {
    weft::testing::io_faults const counted;
    auto const rounds = full_length ? std::size_t{400'000} : scaled(2000);
    for (std::size_t round = 0; round < rounds; ++round) {
      auto old = connected_sockets();
      int const number = old.one.number();
      int const kept = ::dup(number);  // as a child process might: closing does not take it out of the kernel's list
      std::error_code ended;
      auto reader = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] {
        char byte = 0;
        verify(receive(old.one, byte, ended) == -1);
      });
      old.one.close();
      auto next = connected_sockets();
      verify(next.one.number() == number);
      auto const before = counted.count(weft::testing::io_call::recv);
      char got = 0;
      auto waits = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] {
        std::error_code ec;
        verify(receive(next.one, got, ec) == 1);
      });
      send(old.other, 'x');  // for the one that has been closed
      reader.get();
      verify(ended == std::errc::bad_file_descriptor);
      for (int i = 0; i < 3; ++i) weft::yield();
      send(next.other, 'y');
      waits.get();
      verify(got == 'y');
      // Once in vain, once with success; and once by the reader before, at most.
      verify(counted.count(weft::testing::io_call::recv) - before <= 3);
      ::close(kept);
      dog.feed();
    }
  });
}

TEST_CASE("H10: sockets are used and closed from any worker and any thread", "[io][hazard][H10]") {
  watchdog dog{"sockets used from everywhere"};
  run_on(some_workers(), [&] {
    auto const rounds = scaled(500);
    constexpr std::size_t at_once = 8;
    for (std::size_t round = 0; round < rounds; ++round) {
      std::vector<socket_ends> links;
      for (std::size_t i = 0; i < at_once; ++i) links.push_back(connected_sockets());
      std::vector<weft::task<void>> users;
      for (auto& link : links) {
        for (auto* const end : {&link.one, &link.other}) {
          users.push_back(weft::spawn([end] {
            char byte = 'x';
            std::error_code ec;
            // Talks until it is closed.
            for (;;) {
              (void)end->perform(readiness::writable, 1, ec,
                                 [&](system_calls& calls, int fd) { return calls.send(fd, &byte, 1, 0); });
              if (ec || receive(*end, byte, ec) != 1) return;
            }
          }));
        }
      }
      std::thread outside{[&] {
        for (std::size_t i = 0; i < at_once; i += 2) links[i].one.close();
      }};
      for (std::size_t i = 1; i < at_once; i += 2) {
        weft::yield();
        links[i].other.close();
      }
      outside.join();
      for (auto& u : users) u.get();
      dog.feed();
    }
  });
}

namespace {

/// How long a service took, in turns of the yielders beside it: the machine may hold up the whole process, and then
/// nothing has been starved.
struct socket_service {
  std::uint64_t timer = 0;
  std::uint64_t socket = 0;
};

socket_service serve_sockets_beside(std::size_t fibers, std::chrono::nanoseconds slice, int rounds) {
  constexpr auto not_yet = ~std::uint64_t{0};
  socket_service worst;
  watchdog dog{"timers and sockets beside a yield loop"};
  run_on(1, [&] {
    auto listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
    auto here = tcp_stream::connect(listener.local_endpoint());
    auto there = listener.accept();
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> turns{0};
    std::atomic<std::int64_t> deadline{std::numeric_limits<std::int64_t>::max()};
    std::atomic<std::uint64_t> turns_when_due{not_yet};
    std::vector<weft::task<void>> yielders;
    for (std::size_t f = 0; f < fibers; ++f) {
      yielders.push_back(weft::spawn([&] {
        while (!stop.load()) {
          for (auto const end = weft::clock::now() + slice; slice.count() > 0 && weft::clock::now() < end;) {
          }
          auto const turn = turns.fetch_add(1);
          bool const due = weft::clock::now().time_since_epoch().count() >= deadline.load();
          if (due && turns_when_due.load() == not_yet) turns_when_due.store(turn);
          weft::yield();
        }
      }));
    }
    std::atomic<std::uint64_t> written{0};
    auto sleeper = weft::spawn([&] {
      for (int i = 0; i < rounds; ++i) {
        auto const at = weft::clock::now() + 2ms;
        turns_when_due.store(not_yet);
        deadline.store(at.time_since_epoch().count());
        weft::sleep_until(weft::time_point{at});
        deadline.store(std::numeric_limits<std::int64_t>::max());
        if (auto const since = turns_when_due.load(); since != not_yet) {
          worst.timer = std::max(worst.timer, turns.load() - since);
        }
        written.store(turns.load());
        here.write_all("x");
        dog.feed();
      }
    });
    auto reader = weft::spawn([&] {
      std::array<std::byte, 1> byte{};
      for (int i = 0; i < rounds; ++i) {
        there.read_exactly(byte);
        worst.socket = std::max(worst.socket, turns.load() - written.load());
        dog.feed();
      }
    });
    sleeper.get();
    reader.get();
    verify(turns.load() > 0);
    stop.store(true);
    for (auto& y : yielders) y.get();
  });
  return worst;
}

}  // namespace

TEST_CASE("H26: a yield loop on one worker starves neither a timer nor a socket", "[io][hazard][H26]") {
  auto const worst = serve_sockets_beside(4, 0ns, 20);
  if (migration_forced()) return;  // each fiber then goes through a mailbox, behind all that is in it
  CHECK(worst.timer <= 500);
  CHECK(worst.socket <= 50'000);  // the loop is looked at every 0.1 ms at most, and a yield takes no less than 2 ns
}

TEST_CASE("H26: timer and socket are served within 10 ms, though each round of the run queue takes 40 ms",
          "[io][hazard][H26]") {
  auto const worst = serve_sockets_beside(200, 200us, 5);
  if (migration_forced()) return;  // as above
  CHECK(worst.timer <= 50);        // of 200 us each
  CHECK(worst.socket <= 50);
}

TEST_CASE("H26: who finds a descriptor ready each time lets others run all the same", "[io][hazard][H26]") {
  run_on(1, [] {
    std::array<int, 2> pair{};
    verify(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) == 0);
    auto from = weft::io::stream::adopt(pair[0]);
    std::array<std::byte, 10'000> flood{};
    verify(::write(pair[1], flood.data(), flood.size()) == static_cast<ssize_t>(flood.size()));
    std::atomic<bool> over{false};
    std::size_t turns = 0;
    auto other = weft::spawn([&] {
      while (!over) {
        weft::yield();
        ++turns;
      }
    });
    std::array<std::byte, 1> one{};
    for (std::size_t i = 0; i < flood.size(); ++i) verify(from.read_some(one) == 1);
    over = true;
    other.get();
    if (!migration_forced()) CHECK(turns >= flood.size() / 64 - 1);  // else the two are on workers of their own
    ::close(pair[1]);
  });
}
