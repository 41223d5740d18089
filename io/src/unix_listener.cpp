#include <weft/io/unix_listener.hpp>

#include "error_text.hpp"
#include "sockets.hpp"
#include "unix_address.hpp"

#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace weft::inline v0::io {

using detail::system_calls;

namespace {

/// Whether names of sockets are files: not in simulation, where a file of that name is somebody else's.
bool has_file(unix_endpoint const& at, system_calls& calls) noexcept {
  return !at.is_abstract() && calls.kind() == detail::descriptor_kind::real;
}

void listen_at(detail::open_descriptor& socket, unix_endpoint const& at, unix_address const& address, int backlog,
               std::error_code& ec) {
  (void)socket.call(ec, [&](system_calls& calls, int fd) {
    int const bound = calls.bind(fd, address.data(), address.size());
    if (bound < 0) return bound;
    int const listening = calls.listen(fd, backlog);
    // The file that was just made would keep the next from listening there.
    if (listening < 0 && has_file(at, calls)) ::unlink(at.name().c_str());
    return listening;
  });
}

/// Whether there is a socket of that name, on which nobody listens.
bool is_stale(unix_address const& address) {
  std::error_code ec;
  auto const probe = open_socket(AF_UNIX, SOCK_STREAM, ec);
  (void)probe.call(ec, [&](system_calls& calls, int fd) { return calls.connect(fd, address.data(), address.size()); });
  return ec == std::errc::connection_refused;
}

/// Linux refuses a connection to a file of another kind with the same error.
bool is_socket_file(std::string const& path) noexcept {
  struct stat about{};
  return ::lstat(path.c_str(), &about) == 0 && S_ISSOCK(about.st_mode);
}

}  // namespace

unix_listener unix_listener::bind(unix_endpoint const& at, unix_listen_options const& options, std::error_code& ec) {
  unix_address const address{at, ec};
  if (ec) return {};
  auto name = at;  // here, where want of memory leaves no file behind
  auto socket = open_socket(AF_UNIX, SOCK_STREAM, ec);
  if (ec) return {};
  listen_at(socket, at, address, options.backlog, ec);
  if (ec == std::errc::address_in_use && options.remove_stale && has_file(at, socket.calls()) &&
      is_socket_file(at.name()) && is_stale(address)) {
    ::unlink(at.name().c_str());
    listen_at(socket, at, address, options.backlog, ec);
  }
  return ec ? unix_listener{} : unix_listener{std::move(socket), std::move(name)};
}

unix_listener unix_listener::bind(unix_endpoint const& at, unix_listen_options const& options) {
  std::error_code ec;
  auto listener = bind(at, options, ec);
  if (ec) throw_error(ec, {"listening at ", at.to_string()});
  return listener;
}

unix_stream unix_listener::accept(std::error_code& ec) {
  // After each the queue is looked at again at once, until it is empty.
  auto const number = descriptor_.perform(detail::readiness::readable, 0, ec, [](system_calls& calls, int fd) {
    return static_cast<ssize_t>(calls.accept(fd, nullptr, nullptr));
  });
  if (ec) return {};
  return unix_stream{detail::open_descriptor{static_cast<int>(number), descriptor_.calls()}};
}

unix_stream unix_listener::accept() {
  std::error_code ec;
  auto accepted = accept(ec);
  if (ec) throw_error(ec, {"accepting a connection at ", at_.to_string()});
  return accepted;
}

}  // namespace weft::inline v0::io
