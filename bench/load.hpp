#pragma once
/// @file
/// What the clients of the echo servers share.

#include "echo.hpp"
#include "latency.hpp"
#include "workload.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string>

namespace bench {

inline constexpr std::size_t echo_largest = 1024;

using steady_clock = std::chrono::steady_clock;

inline std::chrono::nanoseconds seconds(double s) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(s));
}

/// What goes to and fro: no two messages of a run are alike.
inline void fill(std::array<char, echo_largest>& message, std::size_t size, std::uint64_t connection,
                 std::uint64_t number) {
  std::uint64_t word = (connection + 1) * 0x9E37'79B9'7F4A'7C15U + number;
  for (std::size_t i = 0; i < size; i += sizeof word, ++word) {
    std::memcpy(message.data() + i, &word, std::min(sizeof word, size - i));
  }
}

/// A stream to 127.0.0.1:`port`. Of blocking kind: on loopback neither connect() nor a send() of ours waits.
/// @param from  the last byte of the local address 127.0.0.x, of which each has its own range of ports; 0: any
inline int connect_to(std::uint16_t port, unsigned from = 0) {
  int const fd = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  if (from != 0) {
    int const on = 1;
    checked(::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on), "IP_BIND_ADDRESS_NO_PORT");
    sockaddr_in local = loopback(0);
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + from);
    checked(::bind(fd, reinterpret_cast<sockaddr*>(&local), sizeof local), "bind");
  }
  sockaddr_in const address = loopback(port);
  checked(::connect(fd, reinterpret_cast<sockaddr const*>(&address), sizeof address), "connect");
  return fd;
}

/// The server as seen from outside, if the runner has told its process id.
class server_process {
public:
  server_process() = default;
  explicit server_process(pid_t pid) : pid_{pid} {
    if (int const error = ::clock_getcpuclockid(pid, &clock_); error != 0) {
      errno = error;
      fail("CPU clock of the server");
    }
  }
  [[nodiscard]] bool known() const { return pid_ != 0; }

  /// Of all its threads, to the nanosecond.
  [[nodiscard]] double cpu_seconds() const {
    if (!known()) return 0;
    timespec time{};
    checked(::clock_gettime(clock_, &time), "CPU time of the server");
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }
  [[nodiscard]] double resident_bytes() const {
    return static_cast<double>(memory_bytes("VmRSS", "/proc/" + std::to_string(pid_) + "/status"));
  }

private:
  pid_t pid_ = 0;
  clockid_t clock_{};
};

/// The part of a run that counts: what is done in it, how long it takes, and what the server spends.
class window {
public:
  window(server_process const& server, double warm_up_s, double counted_s)
      : server_{server}, begin_{steady_clock::now() + seconds(warm_up_s)}, end_{begin_ + seconds(counted_s)} {}

  /// To be told each time that something is done, so that the server's clock is read near `begin` and `end`.
  /// @returns whether the run goes on
  bool at(steady_clock::time_point now) {
    if (!open_ && now >= begin_) {
      open_ = true;
      begin_ = now;
      cpu_s_ = server_.cpu_seconds();
    }
    if (now < end_) return true;
    if (open_) cpu_s_ = server_.cpu_seconds() - cpu_s_;
    end_ = now;
    return false;
  }
  [[nodiscard]] steady_clock::time_point end() const { return end_; }

  void done(steady_clock::time_point since, steady_clock::time_point now) {
    if (!open_) return;
    ++count_;
    latencies_.add(std::chrono::nanoseconds(now - since).count());
  }

  /// @param what  what is counted: `req`, `conn`
  void report(std::string const& what) const {
    check(count_ > 0, "nothing was answered");
    auto const count = static_cast<double>(count_);
    double const wall_s = std::chrono::duration<double>(end_ - begin_).count();
    metric((what + "_s").c_str(), count / wall_s, "1/s");
    metric("p50_us", latencies_.quantile_us(0.5), "us");
    metric("p99_us", latencies_.quantile_us(0.99), "us");
    if (!server_.known()) return;
    metric(("server_cpu_us_per_" + what).c_str(), cpu_s_ * 1e6 / count, "us");
    metric("server_cpu_pct", cpu_s_ * 100 / wall_s, "%");
  }

private:
  server_process const& server_;
  steady_clock::time_point begin_;
  steady_clock::time_point end_;
  bool open_ = false;
  double cpu_s_ = 0;
  std::uint64_t count_ = 0;
  latency_histogram latencies_;
};

}  // namespace bench
