/// @file
/// The client of all echo servers:
///
///     echo_load PORT CONNECTIONS BYTES SECONDS [OPTION VALUE]...
///
/// One thread with epoll keeps one message outstanding on each connection, compares every echo, and counts for SECONDS
/// after a warm-up of a fifth of that. Options:
///
///     --server PID     tells the server's CPU time as well
///     --rate N         N messages a second in all, evenly spaced; a latency counts from when the message was due
///     --idle N         N more connections first, which are served once each and then idle; the server's memory for
///     each

#include "load.hpp"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include <sys/epoll.h>
#include <sys/prctl.h>

namespace {

using bench::steady_clock;

struct options {
  std::uint16_t port = 0;
  std::size_t connections = 0;
  std::size_t bytes = 0;
  double seconds = 0;
  bench::server_process server;
  double rate = 0;
  std::size_t idle = 0;
};

struct connection {
  int fd;
  std::uint64_t number = 0;  ///< of messages sent
  std::size_t received = 0;  ///< of the one outstanding
  bool waiting = false;
  steady_clock::time_point since;  ///< the message outstanding was sent, or was due; else when the next one is due
};

class load {
public:
  explicit load(options const& o) : options_{o} {
    for (std::size_t i = 0; i < o.connections; ++i) {
      connections_.push_back({.fd = bench::connect_to(o.port), .since = {}});
      bench::no_delay(connections_[i].fd);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      bench::checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event), "epoll_ctl");
    }
  }
  load(load const&) = delete;
  ~load() {
    for (auto const& c : connections_) ::close(c.fd);
    ::close(epoll_);
  }

  void run() {
    bench::window window{options_.server, options_.seconds / 5, options_.seconds};
    auto now = steady_clock::now();
    if (options_.rate > 0) {
      gap_ = bench::seconds(1 / options_.rate);
      for (std::size_t i = 0; i < connections_.size(); ++i) connections_[i].since = now + gap_ * i;
    } else {
      for (auto& c : connections_) send(c, now);
    }
    std::array<epoll_event, 256> events{};
    while (window.at(now)) {
      int const ready = wait(events, now, window.end());
      now = steady_clock::now();
      for (auto const& event : std::span{events}.first(static_cast<std::size_t>(ready))) {
        connection& c = connections_[event.data.u64];
        if (!receive(c)) continue;
        now = steady_clock::now();
        window.done(c.since, now);
        if (gap_.count() == 0) {
          send(c, now);
        } else if (c.since += gap_ * connections_.size(); c.since <= now) {
          send(c, c.since);
        }
      }
      if (gap_.count() != 0) send_due(now);
    }
    window.report("req");
  }

private:
  int wait(std::span<epoll_event> events, steady_clock::time_point now, steady_clock::time_point end) {
    if (gap_.count() != 0) end = std::min(end, due_);
    auto const left = std::chrono::nanoseconds(std::max(end - now, steady_clock::duration::zero())).count();
    timespec const timeout{left / 1'000'000'000, left % 1'000'000'000};
    int const ready = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    return errno == EINTR && ready < 0 ? 0 : bench::checked(ready, "epoll_pwait2");
  }

  /// Those at rest whose time has come. Connections are due in turn: `turn_` is next, at `due_`.
  void send_due(steady_clock::time_point now) {
    if (due_ == steady_clock::time_point{}) due_ = connections_.front().since;
    for (; due_ <= now; due_ += gap_, turn_ = (turn_ + 1) % connections_.size()) {
      connection& c = connections_[turn_];
      if (!c.waiting && c.since <= now) send(c, c.since);
    }
  }

  void send(connection& c, steady_clock::time_point since) {
    bench::fill(message_, options_.bytes, index(c), ++c.number);
    c.since = since;
    c.received = 0;
    c.waiting = true;
    auto const sent = ::send(c.fd, message_.data(), options_.bytes, MSG_NOSIGNAL);
    if (bench::checked(static_cast<int>(sent), "send") != static_cast<int>(options_.bytes)) {
      bench::check(false, "a message is sent in part");
    }
  }

  /// @returns whether the echo is complete
  bool receive(connection& c) {
    std::array<char, bench::echo_largest> echo;  // NOLINT: written by recv
    auto const size = ::recv(c.fd, echo.data(), echo.size(), 0);
    bench::check(bench::checked(static_cast<int>(size), "recv") != 0, "the server has closed a connection");
    bench::check(c.waiting && c.received + static_cast<std::size_t>(size) <= options_.bytes, "more than was sent");
    bench::fill(message_, options_.bytes, index(c), c.number);
    bench::check(std::memcmp(message_.data() + c.received, echo.data(), static_cast<std::size_t>(size)) == 0,
                 "another text than was sent");
    c.received += static_cast<std::size_t>(size);
    c.waiting = c.received < options_.bytes;
    return !c.waiting;
  }

  [[nodiscard]] std::size_t index(connection const& c) const {
    return static_cast<std::size_t>(&c - connections_.data());
  }

  options const& options_;
  int epoll_ = bench::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::vector<connection> connections_;
  std::array<char, bench::echo_largest> message_{};
  std::chrono::nanoseconds gap_{};  ///< between two messages of any connections; 0: as fast as the server answers
  std::size_t turn_ = 0;
  steady_clock::time_point due_;
};

/// Connections that stay. Each is served once, so that the server has made for it all that it makes.
std::vector<int> connect_idle(options const& o) {
  std::vector<int> idle;
  std::array<char, bench::echo_largest> message{};
  std::array<char, bench::echo_largest> echo{};
  double const before = o.server.known() ? o.server.resident_bytes() : 0;
  for (std::size_t i = 0; i < o.idle; ++i) {
    idle.push_back(bench::connect_to(o.port));
    bench::fill(message, o.bytes, i, 0);
    bench::checked(static_cast<int>(::send(idle[i], message.data(), o.bytes, MSG_NOSIGNAL)), "send");
    auto const size = ::recv(idle[i], echo.data(), o.bytes, MSG_WAITALL);
    bench::check(size == static_cast<ssize_t>(o.bytes) && message == echo, "an idle connection's echo");
  }
  if (o.idle != 0 && o.server.known()) {
    double const each = (o.server.resident_bytes() - before) / static_cast<double>(o.idle);
    bench::metric("server_rss_bytes_per_conn", each, "B");
  }
  return idle;
}

[[noreturn]] void usage(char const* name) {
  std::fprintf(stderr, "usage: %s PORT CONNECTIONS BYTES SECONDS [--server PID] [--rate N] [--idle N]\n", name);
  std::exit(2);
}

options parse(std::span<char*> words) {
  if (words.size() < 5 || words.size() % 2 == 0) usage(words[0]);
  options o;
  o.port = static_cast<std::uint16_t>(std::strtoul(words[1], nullptr, 10));
  o.connections = std::strtoul(words[2], nullptr, 10);
  o.bytes = std::strtoul(words[3], nullptr, 10);
  o.seconds = std::strtod(words[4], nullptr);
  if (o.connections == 0 || o.bytes == 0 || o.bytes > bench::echo_largest || o.seconds <= 0) usage(words[0]);
  for (std::size_t i = 5; i < words.size(); i += 2) {
    std::string_view const name = words[i];
    auto const value = std::strtoul(words[i + 1], nullptr, 10);
    if (name == "--server") {
      o.server = bench::server_process{static_cast<pid_t>(value)};
    } else if (name == "--rate") {
      o.rate = static_cast<double>(value);
    } else if (name == "--idle") {
      o.idle = value;
    } else {
      usage(words[0]);
    }
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) try {
  auto const o = parse({argv, static_cast<std::size_t>(argc)});
  bench::raise_descriptor_limit();
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // messages are due to the microsecond
  auto const idle = connect_idle(o);
  load{o}.run();
  for (int const fd : idle) ::close(fd);
} catch (std::exception const& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
