#include "sockets.hpp"

#include "socket_address.hpp"

#include <cerrno>
#include <sys/socket.h>

namespace weft::inline v0::io {

using detail::open_descriptor;
using detail::readiness;
using detail::system_calls;

open_descriptor open_socket(int domain, int type, std::error_code& ec) {
  auto& calls = detail::current_calls();
  int const number = calls.socket(domain, type, 0);
  if (number < 0) {
    ec = detail::system_error_of(number);
    return {};
  }
  ec.clear();
  return {number, calls};
}

std::pair<open_descriptor, open_descriptor> open_both(int const (&numbers)[2], system_calls& calls) {
  open_descriptor first;
  try {
    first = open_descriptor{numbers[0], calls};
  } catch (...) {  // that closed the first
    (void)calls.close(numbers[1]);
    throw;
  }
  return {std::move(first), open_descriptor{numbers[1], calls}};
}

void set_option(open_descriptor const& of, int level, int name, int value, std::error_code& ec) {
  (void)of.call(ec,
                [=](system_calls& calls, int fd) { return calls.setsockopt(fd, level, name, &value, sizeof value); });
}

int get_option(open_descriptor const& of, int level, int name, std::error_code& ec) {
  int value = 0;
  (void)of.call(ec, [&](system_calls& calls, int fd) {
    unsigned size = sizeof value;
    return calls.getsockopt(fd, level, name, &value, &size);
  });
  return value;
}

endpoint local_endpoint_of(open_descriptor const& of, std::error_code& ec) {
  socket_address name;
  (void)of.call(ec,
                [&](system_calls& calls, int fd) { return calls.getsockname(fd, name.data(), name.size_pointer()); });
  return ec ? endpoint{} : name.to_endpoint();
}

endpoint remote_endpoint_of(open_descriptor const& of, std::error_code& ec) {
  socket_address name;
  (void)of.call(ec,
                [&](system_calls& calls, int fd) { return calls.getpeername(fd, name.data(), name.size_pointer()); });
  return ec ? endpoint{} : name.to_endpoint();
}

void shut_down(open_descriptor const& which, direction half, std::error_code& ec) {
  constexpr int how[]{SHUT_RD, SHUT_WR, SHUT_RDWR};
  (void)which.call(
      ec, [=](system_calls& calls, int fd) { return calls.shutdown(fd, how[static_cast<std::size_t>(half)]); });
}

void connect_socket(open_descriptor& which, sockaddr const* to, unsigned size, std::error_code& ec) {
  detail::check_cancelled();
  int const result = which.call(ec, [=](system_calls& calls, int fd) {
    int const status = calls.connect(fd, to, size);
    // Interrupted, it goes on all the same.
    return status == -EINPROGRESS || status == -EINTR ? 1 : status;
  });
  if (result != 1) return;
  // Connected or not, it becomes writable; which of the two, the socket says once.
  auto* const polled = which.polled();
  polled->exhausted(readiness::writable);
  detail::polled_descriptor::use in_use{*polled};
  if (!detail::await_ready(in_use, readiness::writable, true, ec)) return;
  polled->not_exhausted(readiness::writable);
  int const failed = get_option(which, SOL_SOCKET, SO_ERROR, ec);
  if (!ec && failed != 0) ec = detail::system_error_of(-failed);
}

}  // namespace weft::inline v0::io
