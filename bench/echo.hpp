#pragma once
/// @file
/// What the echo servers in C++ share (W11, W15 to W17). Each is a program
///
///     SERVER THREADS PORT [stall]
///
/// that listens on 127.0.0.1, prints `port N` once it does (PORT 0: whichever is free), echoes until SIGTERM and ends
/// with status 0, after `metric value unit` lines if it has any. The peers in other languages take the same words after
/// their own. With `stall` each worker also computes for about 10 ms of every 20.

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string_view>
#include <system_error>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

inline constexpr std::size_t echo_buffer = 1024;  ///< a server's for each connection, or for each thread
inline constexpr int echo_backlog = 4096;
inline constexpr std::chrono::milliseconds stall_period{20};
inline constexpr std::uint64_t stall_work = 6'500'000;  ///< steps of compute(): about 10 ms

struct echo_arguments {
  unsigned threads;
  std::uint16_t port;
  std::string_view variant;  ///< empty if not given
};

[[noreturn]] inline void fail(char const* what) { throw std::system_error(errno, std::generic_category(), what); }

inline int checked(int result, char const* what) {
  if (result < 0) fail(what);
  return result;
}

/// As many descriptors as this process may have: 10,000 connections are above the usual soft limit.
inline void raise_descriptor_limit() {
  rlimit limit{};
  checked(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  checked(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

/// SIGTERM, blocked in this thread and in those that it starts, so that one of them may wait for it.
inline sigset_t block_sigterm() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  checked(-pthread_sigmask(SIG_BLOCK, &signals, nullptr), "pthread_sigmask");
  return signals;
}

inline void wait_for_signal(sigset_t const& signals) {
  int signal = 0;
  sigwait(&signals, &signal);
}

/// Ends the process with status 2 unless there are two sensible arguments, and perhaps one of `variants`.
inline echo_arguments parse_echo(int argc, char** argv, std::initializer_list<std::string_view> variants = {}) {
  std::string_view const variant = argc == 4 ? argv[3] : "";
  auto const threads = argc >= 3 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : 0;
  if (argc > 4 || threads == 0 ||
      (argc == 4 && std::find(variants.begin(), variants.end(), variant) == variants.end())) {
    std::fprintf(stderr, "usage: %s THREADS PORT", argv[0]);
    for (auto const v : variants) std::fprintf(stderr, " [%s]", v.data());
    std::fprintf(stderr, "\n");
    std::exit(2);
  }
  return {threads, static_cast<std::uint16_t>(std::strtoul(argv[2], nullptr, 10)), variant};
}

/// Tells the runner that the server listens.
inline void announce(std::uint16_t port) {
  std::printf("port %u\n", unsigned{port});
  std::fflush(stdout);
}

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline void no_delay(int fd) {
  int const on = 1;
  checked(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
}

/// A non-blocking listener that shares its port with others of this process, which is how threads without a common
/// queue share the connections. Sets `port` if it is 0.
inline int shared_listener(std::uint16_t& port) {
  int const fd = checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  int const on = 1;
  checked(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  checked(::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), "SO_REUSEPORT");
  sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  checked(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), "bind");
  checked(::listen(fd, echo_backlog), "listen");
  checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  port = ntohs(address.sin_port);
  return fd;
}

}  // namespace bench
