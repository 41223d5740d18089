#include <weft/io/tcp_stream.hpp>

#include "error_text.hpp"
#include "socket_address.hpp"
#include "sockets.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace weft::inline v0::io {

/// A read that gives less than it was asked for has given all that there was; but not where somebody makes reads short.
tcp_stream::tcp_stream(detail::open_descriptor connected) noexcept : stream(std::move(connected), carrier::socket) {
  auto const& own = descriptor();
  if (auto* const polled = own.polled(); polled != nullptr && own.calls().are_kernels()) polled->is_drained();
}

tcp_stream tcp_stream::connect(endpoint const& to, std::error_code& ec) {
  socket_address const address{to};
  auto descriptor = open_socket(address.family(), SOCK_STREAM, ec);
  if (!ec) connect_socket(descriptor, address.data(), address.size(), ec);
  return ec ? tcp_stream{} : tcp_stream{std::move(descriptor)};
}

tcp_stream tcp_stream::connect(endpoint const& to) {
  std::error_code ec;
  auto connected = connect(to, ec);
  if (ec) throw_error(ec, {"connecting to ", to.to_string()});
  return connected;
}

void tcp_stream::shutdown(direction which, std::error_code& ec) { shut_down(descriptor(), which, ec); }

void tcp_stream::shutdown(direction which) {
  std::error_code ec;
  shutdown(which, ec);
  if (ec) throw_error(ec, {"shutting down a TCP connection"});
}

void tcp_stream::nodelay(bool on, std::error_code& ec) {
  set_option(descriptor(), IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0, ec);
}

void tcp_stream::nodelay(bool on) {
  std::error_code ec;
  nodelay(on, ec);
  if (ec) throw_error(ec, {"setting TCP_NODELAY"});
}

bool tcp_stream::nodelay() const {
  std::error_code ec;
  bool const on = get_option(descriptor(), IPPROTO_TCP, TCP_NODELAY, ec) != 0;
  if (ec) throw_error(ec, {"asking for TCP_NODELAY"});
  return on;
}

void tcp_stream::keepalive(keepalive_options const& options, std::error_code& ec) {
  auto const seconds = [](std::chrono::seconds of) {
    return static_cast<int>(std::clamp<std::int64_t>(of.count(), 1, std::numeric_limits<int>::max()));
  };
  set_option(descriptor(), IPPROTO_TCP, TCP_KEEPIDLE, seconds(options.idle), ec);
  if (!ec) set_option(descriptor(), IPPROTO_TCP, TCP_KEEPINTVL, seconds(options.interval), ec);
  if (!ec) set_option(descriptor(), IPPROTO_TCP, TCP_KEEPCNT, std::max(options.probes, 1), ec);
  if (!ec) set_option(descriptor(), SOL_SOCKET, SO_KEEPALIVE, 1, ec);
}

void tcp_stream::keepalive(keepalive_options const& options) {
  std::error_code ec;
  keepalive(options, ec);
  if (ec) throw_error(ec, {"setting SO_KEEPALIVE"});
}

endpoint tcp_stream::local_endpoint(std::error_code& ec) const { return local_endpoint_of(descriptor(), ec); }
endpoint tcp_stream::remote_endpoint(std::error_code& ec) const { return remote_endpoint_of(descriptor(), ec); }

endpoint tcp_stream::local_endpoint() const {
  std::error_code ec;
  auto const at = local_endpoint(ec);
  if (ec) throw_error(ec, {"asking a TCP connection for its endpoint"});
  return at;
}

endpoint tcp_stream::remote_endpoint() const {
  std::error_code ec;
  auto const at = remote_endpoint(ec);
  if (ec) throw_error(ec, {"asking a TCP connection for its peer"});
  return at;
}

}  // namespace weft::inline v0::io
