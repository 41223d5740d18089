#pragma once
/// @file
/// Two ends of a connection, for tests of streams.

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/unix_endpoint.hpp>

#include <atomic>
#include <string>
#include <unistd.h>
#include <utility>

namespace weft::test {

inline io::endpoint anywhere() { return {io::ip_address::loopback_v4(), 0}; }

/// A name that no Unix socket has had.
inline io::unix_endpoint some_name() {
  static std::atomic<int> names{0};
  return io::unix_endpoint::abstract("weft-test-" + std::to_string(::getpid()) + "-" + std::to_string(++names));
}

/// Both ends of a TCP connection on loopback.
inline std::pair<io::tcp_stream, io::tcp_stream> tcp_pair() {
  auto listener = io::tcp_listener::bind(anywhere());
  auto here = io::tcp_stream::connect(listener.local_endpoint());
  auto there = listener.accept();
  here.nodelay(true);
  there.nodelay(true);
  return {std::move(here), std::move(there)};
}

}  // namespace weft::test
