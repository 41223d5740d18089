#pragma once
/// @file
/// Two connected sockets, for tests of what waits for descriptors.

#include "verify.hpp"

#include <array>
#include <cstddef>
#include <sys/socket.h>
#include <unistd.h>

namespace weft::test {

class socket_pair {
public:
  /// @param flags  of the sockets, as for ::socketpair()
  explicit socket_pair(int flags = SOCK_NONBLOCK) {
    verify(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends_.data()) == 0);
  }
  socket_pair(socket_pair const&) = delete;
  ~socket_pair() {
    for (int const end : ends_) ::close(end);
  }
  [[nodiscard]] int end(std::size_t which) const { return ends_[which]; }
  /// One byte, from this end.
  void send(std::size_t from) const { verify(::send(end(from), "x", 1, MSG_NOSIGNAL) == 1); }
  /// @returns whether there was a byte
  bool take(std::size_t to) const {
    char byte = 0;
    return ::recv(end(to), &byte, 1, MSG_DONTWAIT) == 1;
  }
  /// Until no more can be written.
  void fill(std::size_t from) const {
    std::array<char, 4096> const bytes{};
    while (::send(end(from), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }
  /// Until no more can be read.
  void drain(std::size_t to) const {
    std::array<char, 4096> bytes{};
    while (::recv(end(to), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
    }
  }

private:
  std::array<int, 2> ends_{-1, -1};
};

}  // namespace weft::test
