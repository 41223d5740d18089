#include <weft/io/unix_stream.hpp>

#include "error_text.hpp"
#include "sockets.hpp"
#include "unix_address.hpp"

#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <chrono>
#include <sys/socket.h>

namespace weft::inline v0::io {

unix_stream unix_stream::connect(unix_endpoint const& to, std::error_code& ec) {
  using std::chrono::milliseconds;
  detail::check_cancelled();
  unix_address const address{to, ec};
  if (ec) return {};
  auto descriptor = open_socket(AF_UNIX, SOCK_STREAM, ec);
  if (ec) return {};
  connect_socket(descriptor, address.data(), address.size(), ec);
  // Linux does not tell when a full backlog has room again.
  for (milliseconds pause{1}; ec == std::errc::resource_unavailable_try_again;
       pause = std::min(2 * pause, milliseconds{50})) {
    sleep_for(pause);
    connect_socket(descriptor, address.data(), address.size(), ec);
  }
  return ec ? unix_stream{} : unix_stream{std::move(descriptor)};
}

unix_stream unix_stream::connect(unix_endpoint const& to) {
  std::error_code ec;
  auto connected = connect(to, ec);
  if (ec) throw_error(ec, {"connecting to ", to.to_string()});
  return connected;
}

std::pair<unix_stream, unix_stream> unix_stream::pair(std::error_code& ec) {
  auto& calls = detail::current_calls();
  int numbers[2]{-1, -1};
  if (int const status = calls.socketpair(AF_UNIX, SOCK_STREAM, 0, numbers); status < 0) {
    ec = detail::system_error_of(status);
    return {};
  }
  ec.clear();
  auto [first, second] = open_both(numbers, calls);
  return {unix_stream{std::move(first)}, unix_stream{std::move(second)}};
}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  std::error_code ec;
  auto both = pair(ec);
  if (ec) throw_error(ec, {"making a pair of Unix sockets"});
  return both;
}

void unix_stream::shutdown(direction which, std::error_code& ec) { shut_down(descriptor(), which, ec); }

void unix_stream::shutdown(direction which) {
  std::error_code ec;
  shutdown(which, ec);
  if (ec) throw_error(ec, {"shutting down a connection of Unix sockets"});
}

unix_stream::credentials unix_stream::peer_credentials(std::error_code& ec) const {
  ucred peer{};
  (void)descriptor().call(ec, [&](detail::system_calls& calls, int fd) {
    unsigned size = sizeof peer;
    return calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  });
  return {peer.pid, peer.uid, peer.gid};
}

unix_stream::credentials unix_stream::peer_credentials() const {
  std::error_code ec;
  auto const peer = peer_credentials(ec);
  if (ec) throw_error(ec, {"asking who is on the other side"});
  return peer;
}

}  // namespace weft::inline v0::io
