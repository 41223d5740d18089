/// @file
/// Short connections to an echo server:
///
///     connect_load PORT CONNECTIONS BYTES SECONDS [--server PID]
///
/// One thread with epoll keeps CONNECTIONS going. Each is made, has one message echoed, closes, and is followed by
/// another. Counts for SECONDS after a warm-up of a fifth of that.

#include "load.hpp"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include <sys/epoll.h>

namespace {

using bench::steady_clock;

/// Who closes first keeps the port for a minute (TIME_WAIT). With so many local addresses there are enough of them.
constexpr unsigned local_addresses = 100;

class load {
public:
  load(std::uint16_t port, std::size_t bytes) : port_{port}, bytes_{bytes} {}

  void run(std::size_t connections, bench::window window) {
    slots_.resize(connections);
    for (std::size_t i = 0; i < connections; ++i) open(i);
    std::array<epoll_event, 256> events{};
    auto now = steady_clock::now();
    while (window.at(now)) {
      int const ready = ::epoll_wait(epoll_, events.data(), events.size(), 1000);
      if (ready < 0 && errno != EINTR) bench::fail("epoll_wait");
      for (auto const& event : std::span{events}.first(static_cast<std::size_t>(std::max(ready, 0)))) {
        auto const since = close(event.data.u64);
        now = steady_clock::now();
        window.done(since, now);
        open(event.data.u64);
      }
      now = steady_clock::now();
    }
    for (auto const& s : slots_) ::close(s.fd);
    window.report("conn");
  }

private:
  struct slot {
    int fd;
    std::uint64_t number;
    steady_clock::time_point since;
  };

  void open(std::size_t index) {
    auto const since = steady_clock::now();
    int const fd = bench::connect_to(port_, 1 + static_cast<unsigned>(++number_ % local_addresses));
    slots_[index] = {fd, number_, since};
    bench::fill(message_, bytes_, 0, number_);
    bench::checked(static_cast<int>(::send(fd, message_.data(), bytes_, MSG_NOSIGNAL)), "send");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    bench::checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  /// Reads the echo and closes.
  /// @returns when the connection was begun
  steady_clock::time_point close(std::size_t index) {
    slot const& s = slots_[index];
    std::array<char, bench::echo_largest> echo{};
    auto const size = ::recv(s.fd, echo.data(), bytes_, MSG_WAITALL);
    bench::fill(message_, bytes_, 0, s.number);
    bench::check(size == static_cast<ssize_t>(bytes_) && std::memcmp(echo.data(), message_.data(), bytes_) == 0,
                 "an echo");
    ::close(s.fd);
    return s.since;
  }

  std::uint16_t port_;
  std::size_t bytes_;
  int epoll_ = bench::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::vector<slot> slots_;
  std::uint64_t number_ = 0;
  std::array<char, bench::echo_largest> message_{};
};

}  // namespace

int main(int argc, char** argv) try {
  std::span<char*> const words{argv, static_cast<std::size_t>(argc)};
  bool const with_server = words.size() == 7 && std::string_view{words[5]} == "--server";
  if (words.size() != 5 && !with_server) {
    std::fprintf(stderr, "usage: %s PORT CONNECTIONS BYTES SECONDS [--server PID]\n", argv[0]);
    return 2;
  }
  auto const connections = std::strtoul(words[2], nullptr, 10);
  auto const bytes = std::min<std::size_t>(std::strtoul(words[3], nullptr, 10), bench::echo_largest);
  double const seconds = std::strtod(words[4], nullptr);
  bench::server_process server;
  if (with_server) server = bench::server_process{static_cast<pid_t>(std::strtol(words[6], nullptr, 10))};
  load{static_cast<std::uint16_t>(std::strtoul(words[1], nullptr, 10)), bytes}.run(
      connections, bench::window{server, seconds / 5, seconds});
} catch (std::exception const& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
