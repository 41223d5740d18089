#pragma once
/// @file
/// Addresses of simulated sockets: of the internet, or the name of a Unix socket.

#include <weft/io/endpoint.hpp>

#include <compare>
#include <optional>
#include <string>

struct sockaddr;

namespace weft::inline v0::testing {

struct socket_name {
  int family = 0;    ///< 0: none
  io::endpoint at;   ///< of the internet
  std::string path;  ///< of a Unix socket; empty: it has none; abstract: with a leading NUL

  friend auto operator<=>(socket_name const&, socket_name const&) = default;
};

/// Nothing: it is no address of any family that is simulated.  @throws std::bad_alloc
[[nodiscard]] std::optional<socket_name> read_name(sockaddr const* from, unsigned size);
/// An IPv4 address as sockets of IPv6 have it: ::ffff:a.b.c.d.
[[nodiscard]] io::endpoint as_v6(io::endpoint const& at) noexcept;
[[nodiscard]] bool is_mapped(io::endpoint const& at) noexcept;
/// The way back, of one that is mapped; any other is as it was.
[[nodiscard]] io::endpoint unmapped(io::endpoint const& at) noexcept;

/// As the kernel does: no more than fits, and `*size` is what it would take. Null pointers: nothing.
void write_name(socket_name const& name, sockaddr* to, unsigned* size) noexcept;

}  // namespace weft::inline v0::testing
