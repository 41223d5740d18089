#pragma once
/// @file
/// What all kinds of sockets do in the same way.

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/endpoint.hpp>

#include <system_error>

namespace weft::inline v0::io {

/// An empty descriptor if `ec` is set. Throws std::bad_alloc.
[[nodiscard]] detail::open_descriptor open_socket(int domain, int type, std::error_code& ec);
void set_option(detail::open_descriptor const& of, int level, int name, int value, std::error_code& ec);
[[nodiscard]] int get_option(detail::open_descriptor const& of, int level, int name, std::error_code& ec);
[[nodiscard]] endpoint local_endpoint_of(detail::open_descriptor const& of, std::error_code& ec);
[[nodiscard]] endpoint remote_endpoint_of(detail::open_descriptor const& of, std::error_code& ec);
/// Connects a stream socket; waits. A cancellation point.
void connect_socket(detail::open_descriptor& which, sockaddr const* to, unsigned size, std::error_code& ec);

}  // namespace weft::inline v0::io
