#include <weft/io/udp_socket.hpp>

#include "error_text.hpp"
#include "socket_address.hpp"
#include "sockets.hpp"

#include <algorithm>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace weft::inline v0::io {

using detail::readiness;
using detail::system_calls;

udp_socket udp_socket::bind(endpoint const& at, udp_options const& options, std::error_code& ec) {
  socket_address const address{at};
  bool const v6 = at.address().is_v6();
  auto descriptor = open_socket(address.family(), SOCK_DGRAM, ec);
  if (!ec && options.reuse_address) set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, ec);
  if (!ec && options.reuse_port) set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, ec);
  if (!ec && v6) set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0, ec);
  if (ec) return {};
  (void)descriptor.call(ec,
                        [&](system_calls& calls, int fd) { return calls.bind(fd, address.data(), address.size()); });
  return ec ? udp_socket{} : udp_socket{std::move(descriptor), v6};
}

udp_socket udp_socket::connect(endpoint const& to, std::error_code& ec) {
  bool const v6 = to.address().is_v6();
  udp_socket made{open_socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, ec), v6};
  if (!ec) made.set_peer(to, ec);
  return ec ? udp_socket{} : std::move(made);
}

void udp_socket::set_peer(endpoint const& to, std::error_code& ec) {
  socket_address const address{to};
  (void)descriptor_.call(
      ec, [&](system_calls& calls, int fd) { return calls.connect(fd, address.data(), address.size()); });
}

// As each datagram is one of its own, none says that there is no other, or no room for another: 0 is asked for.

void udp_socket::send(std::span<std::byte const> bytes, std::error_code& ec) {
  (void)descriptor_.perform(readiness::writable, 0, ec,
                            [=](system_calls& calls, int fd) { return calls.send(fd, bytes.data(), bytes.size(), 0); });
}

void udp_socket::send_to(endpoint const& to, std::span<std::byte const> bytes, std::error_code& ec) {
  socket_address address{to};
  (void)descriptor_.perform(readiness::writable, 0, ec, [&](system_calls& calls, int fd) {
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_name = address.data();
    message.msg_namelen = address.size();
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    return calls.sendmsg(fd, &message, 0);
  });
}

datagram udp_socket::receive_from(std::span<std::byte> buffer, std::error_code& ec) {
  socket_address from;
  auto const length = descriptor_.perform(readiness::readable, 0, ec, [&](system_calls& calls, int fd) {
    from = {};
    iovec vector{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_name = from.data();
    message.msg_namelen = from.size();
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    return calls.recvmsg(fd, &message, MSG_TRUNC);  // gives the length that was sent
  });
  if (ec) return {};
  auto const sent = static_cast<std::size_t>(length);
  return {std::min(sent, buffer.size()), sent, from.to_endpoint()};
}

// --- options ---------------------------------------------------------------------------------------------------------

void udp_socket::member(int option_v4, int option_v6, ip_address const& group, std::uint32_t interface,
                        std::error_code& ec) {
  if (group.is_v4()) {
    ip_mreqn request{};
    std::memcpy(&request.imr_multiaddr, group.bytes().data(), sizeof request.imr_multiaddr);
    request.imr_ifindex = static_cast<int>(interface);
    set_option_to(descriptor_, IPPROTO_IP, option_v4, request, ec);
  } else {
    ipv6_mreq request{};
    std::memcpy(&request.ipv6mr_multiaddr, group.bytes().data(), sizeof request.ipv6mr_multiaddr);
    if (interface != 0 && group.scope() != 0 && group.scope() != interface) {
      ec = std::make_error_code(std::errc::invalid_argument);
      return;
    }
    request.ipv6mr_interface = interface != 0 ? interface : group.scope();
    set_option_to(descriptor_, IPPROTO_IPV6, option_v6, request, ec);
  }
}

void udp_socket::join(ip_address const& group, std::uint32_t interface, std::error_code& ec) {
  member(IP_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP, group, interface, ec);
}

void udp_socket::leave(ip_address const& group, std::uint32_t interface, std::error_code& ec) {
  member(IP_DROP_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, group, interface, ec);
}

void udp_socket::multicast_interface(std::uint32_t interface, std::error_code& ec) {
  if (v6_) {
    set_option(descriptor_, IPPROTO_IPV6, IPV6_MULTICAST_IF, static_cast<int>(interface), ec);
  } else {
    ip_mreqn request{};
    request.imr_ifindex = static_cast<int>(interface);
    set_option_to(descriptor_, IPPROTO_IP, IP_MULTICAST_IF, request, ec);
  }
}

void udp_socket::multicast_ttl(int hops, std::error_code& ec) {
  set_option(descriptor_, v6_ ? IPPROTO_IPV6 : IPPROTO_IP, v6_ ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, hops, ec);
}

void udp_socket::multicast_loop(bool on, std::error_code& ec) {
  set_option(descriptor_, v6_ ? IPPROTO_IPV6 : IPPROTO_IP, v6_ ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, on ? 1 : 0,
             ec);
}

void udp_socket::broadcast(bool on, std::error_code& ec) {
  set_option(descriptor_, SOL_SOCKET, SO_BROADCAST, on ? 1 : 0, ec);
}

endpoint udp_socket::local_endpoint(std::error_code& ec) const { return local_endpoint_of(descriptor_, ec); }

// --- with exceptions -------------------------------------------------------------------------------------------------

udp_socket udp_socket::bind(endpoint const& at, udp_options const& options) {
  std::error_code ec;
  auto made = bind(at, options, ec);
  if (ec) throw_error(ec, {"receiving datagrams at ", at.to_string()});
  return made;
}

udp_socket udp_socket::connect(endpoint const& to) {
  std::error_code ec;
  auto made = connect(to, ec);
  if (ec) throw_error(ec, {"making a socket for datagrams to ", to.to_string()});
  return made;
}

void udp_socket::set_peer(endpoint const& to) {
  std::error_code ec;
  set_peer(to, ec);
  if (ec) throw_error(ec, {"binding a socket to the peer ", to.to_string()});
}

void udp_socket::send(std::span<std::byte const> bytes) {
  std::error_code ec;
  send(bytes, ec);
  if (ec) throw_error(ec, {"sending a datagram of ", std::to_string(bytes.size()), " bytes"});
}

void udp_socket::send_to(endpoint const& to, std::span<std::byte const> bytes) {
  std::error_code ec;
  send_to(to, bytes, ec);
  if (ec) throw_error(ec, {"sending a datagram of ", std::to_string(bytes.size()), " bytes to ", to.to_string()});
}

datagram udp_socket::receive_from(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const received = receive_from(buffer, ec);
  if (ec) throw_error(ec, {"receiving a datagram"});
  return received;
}

void udp_socket::join(ip_address const& group, std::uint32_t interface) {
  std::error_code ec;
  join(group, interface, ec);
  if (ec) throw_error(ec, {"joining the group ", group.to_string()});
}

void udp_socket::leave(ip_address const& group, std::uint32_t interface) {
  std::error_code ec;
  leave(group, interface, ec);
  if (ec) throw_error(ec, {"leaving the group ", group.to_string()});
}

void udp_socket::multicast_interface(std::uint32_t interface) {
  std::error_code ec;
  multicast_interface(interface, ec);
  if (ec) throw_error(ec, {"choosing the interface for multicast"});
}

void udp_socket::multicast_ttl(int hops) {
  std::error_code ec;
  multicast_ttl(hops, ec);
  if (ec) throw_error(ec, {"setting how far multicast goes"});
}

void udp_socket::multicast_loop(bool on) {
  std::error_code ec;
  multicast_loop(on, ec);
  if (ec) throw_error(ec, {"setting whether multicast is received here"});
}

void udp_socket::broadcast(bool on) {
  std::error_code ec;
  broadcast(on, ec);
  if (ec) throw_error(ec, {"allowing broadcast"});
}

endpoint udp_socket::local_endpoint() const {
  std::error_code ec;
  auto const at = local_endpoint(ec);
  if (ec) throw_error(ec, {"asking a socket for its endpoint"});
  return at;
}

}  // namespace weft::inline v0::io
