#pragma once
/// @file
/// What all kinds of sockets do in the same way.

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/endpoint.hpp>
#include <weft/io/stream.hpp>

#include <system_error>
#include <utility>

namespace weft::inline v0::io {

/// An empty descriptor if `ec` is set. Throws std::bad_alloc.
[[nodiscard]] detail::open_descriptor open_socket(int domain, int type, std::error_code& ec);
/// Two that came out of one call. Throws std::bad_alloc, and then both have been closed.
[[nodiscard]] std::pair<detail::open_descriptor, detail::open_descriptor> open_both(int const (&numbers)[2],
                                                                                    detail::system_calls& calls);
void set_option(detail::open_descriptor const& of, int level, int name, int value, std::error_code& ec);
/// The same of an option that is no int.
template <class Value>
void set_option_to(detail::open_descriptor const& of, int level, int name, Value const& value, std::error_code& ec) {
  (void)of.call(
      ec, [&](detail::system_calls& calls, int fd) { return calls.setsockopt(fd, level, name, &value, sizeof value); });
}
[[nodiscard]] int get_option(detail::open_descriptor const& of, int level, int name, std::error_code& ec);
[[nodiscard]] endpoint local_endpoint_of(detail::open_descriptor const& of, std::error_code& ec);
[[nodiscard]] endpoint remote_endpoint_of(detail::open_descriptor const& of, std::error_code& ec);
void shut_down(detail::open_descriptor const& which, direction half, std::error_code& ec);
/// Connects a stream socket; waits. A cancellation point.
void connect_socket(detail::open_descriptor& which, sockaddr const* to, unsigned size, std::error_code& ec);

}  // namespace weft::inline v0::io
