#include <weft/io/tcp_listener.hpp>

#include "error_text.hpp"
#include "socket_address.hpp"
#include "sockets.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

namespace weft::inline v0::io {

using detail::system_calls;

tcp_listener tcp_listener::bind(endpoint const& at, listen_options const& options, std::error_code& ec) {
  socket_address const address{at};
  auto descriptor = open_socket(address.family(), SOCK_STREAM, ec);
  if (!ec && options.reuse_address) set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, ec);
  if (!ec && options.reuse_port) set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, ec);
  if (!ec && at.address().is_v6()) set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0, ec);
  if (ec) return {};
  (void)descriptor.call(ec, [&](system_calls& calls, int fd) {
    int const bound = calls.bind(fd, address.data(), address.size());
    return bound < 0 ? bound : calls.listen(fd, options.backlog);
  });
  return ec ? tcp_listener{} : tcp_listener{std::move(descriptor)};
}

tcp_listener tcp_listener::bind(endpoint const& at, listen_options const& options) {
  std::error_code ec;
  auto listener = bind(at, options, ec);
  if (ec) throw_error(ec, {"listening at ", at.to_string()});
  return listener;
}

tcp_stream tcp_listener::accept(std::error_code& ec, endpoint* from) {
  socket_address peer;
  // After each the queue is looked at again at once, until it is empty.
  auto const number = descriptor_.perform(detail::readiness::readable, 0, ec, [&](system_calls& calls, int fd) {
    peer = {};
    return static_cast<ssize_t>(calls.accept(fd, peer.data(), peer.size_pointer()));
  });
  if (ec) return {};
  tcp_stream accepted{detail::open_descriptor{static_cast<int>(number), descriptor_.calls()}};
  if (from != nullptr) *from = peer.to_endpoint();
  return accepted;
}

tcp_stream tcp_listener::accept(endpoint* from) {
  std::error_code ec;
  auto accepted = accept(ec, from);
  if (ec) throw_error(ec, {"accepting a connection"});
  return accepted;
}

endpoint tcp_listener::local_endpoint(std::error_code& ec) const { return local_endpoint_of(descriptor_, ec); }

endpoint tcp_listener::local_endpoint() const {
  std::error_code ec;
  auto const at = local_endpoint(ec);
  if (ec) throw_error(ec, {"asking a listener for its endpoint"});
  return at;
}

}  // namespace weft::inline v0::io
