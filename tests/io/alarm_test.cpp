/// @file
/// System calls beyond those that a bare loop makes: the alarm of a worker's loop.

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"

#include <array>
#include <atomic>
#include <cstddef>

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace {
std::atomic<int> alarms_set{0};
}

/// In place of the C library's.
extern "C" int timerfd_settime(int fd, int flags, itimerspec const* to, itimerspec* old) noexcept {
  alarms_set.fetch_add(1);
  return static_cast<int>(::syscall(SYS_timerfd_settime, fd, flags, to, old));
}

TEST_CASE("one worker alone sets no alarm to look after neighbours, however often it wakes", "[io][alarm]") {
  constexpr int rounds = 2000;
  weft::runtime_options options;
  options.workers = 1;
  // Two runtimes of one worker each: every message is waited for, and ends a sleep as often as not.
  weft::runtime here{options};
  weft::runtime there{options};
  int set_meanwhile = -1;
  auto listener = weft::io::tcp_listener::bind({weft::io::ip_address::loopback_v4(), 0});
  auto server = there.spawn([&] {
    auto stream = listener.accept();
    std::array<std::byte, 1> byte{};
    while (stream.read_some(byte) != 0) stream.write_all(byte);
  });
  here.run([&] {
    auto stream = weft::io::tcp_stream::connect(listener.local_endpoint());
    stream.nodelay(true);
    int const before = alarms_set;
    for (int i = 0; i < rounds; ++i) {
      std::array<std::byte, 1> byte{std::byte(i % 256)};
      stream.write_all(byte);
      stream.read_exactly(byte);
    }
    set_meanwhile = alarms_set - before;
  });
  server.get();
  CHECK(set_meanwhile == 0);
}
