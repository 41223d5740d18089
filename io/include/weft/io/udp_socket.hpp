#pragma once
/// @file
/// Datagrams.

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/endpoint.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

struct udp_options {
  bool reuse_address = false;  ///< several sockets on one port, as listeners of multicast want it
  bool reuse_port = false;     ///< several sockets on one port, among which the system deals what comes
  bool v6_only = false;        ///< of an IPv6 address: nothing from IPv4
};

/// What has been received.
struct datagram {
  std::size_t size = 0;    ///< bytes in the buffer
  std::size_t length = 0;  ///< bytes that were sent
  endpoint from;
  /// Whether the rest is lost, because the buffer was too small.
  [[nodiscard]] bool truncated() const noexcept { return length > size; }
};

/// Sends and receives datagrams: each whole or not at all, perhaps twice, in any order.
///
/// Each operation comes twice: one throws std::system_error, the other sets `ec`, and clears it where all went well. To
/// be cancelled is no error: weft::cancelled leaves both.
/// @par Thread safety
/// Any member from any fiber at once; each datagram goes to one of those that receive. Only moves and the destructor
/// need to be alone.
/// @par Cancellation
/// All that send or receive are cancellation points, even where they need not wait. Cancelled means: not done.
class udp_socket {
public:
  udp_socket() noexcept = default;  ///< Not open.

  /// Receives at `at`; port 0: one that is free, see local_endpoint().  @throws std::system_error, naming the endpoint
  [[nodiscard]] static udp_socket bind(endpoint const& at, udp_options const& options = {});
  [[nodiscard]] static udp_socket bind(endpoint const& at, udp_options const& options, std::error_code& ec);
  /// At a free port, and as after set_peer().
  [[nodiscard]] static udp_socket connect(endpoint const& to);
  [[nodiscard]] static udp_socket connect(endpoint const& to, std::error_code& ec);

  /// From now on send() sends there, and nothing is received from elsewhere but what has arrived by now. That nobody is
  /// there is told by std::errc::connection_refused of a later operation. Does not wait.
  void set_peer(endpoint const& to);
  void set_peer(endpoint const& to, std::error_code& ec);

  /// Waits while the system has no room.
  /// @throws std::system_error  std::errc::message_size: more than one datagram holds, 65,507 bytes for IPv4
  void send(std::span<std::byte const> bytes);
  void send(std::span<std::byte const> bytes, std::error_code& ec);
  void send(std::string_view text) { send(std::as_bytes(std::span{text})); }
  void send_to(endpoint const& to, std::span<std::byte const> bytes);
  void send_to(endpoint const& to, std::span<std::byte const> bytes, std::error_code& ec);
  void send_to(endpoint const& to, std::string_view text) { send_to(to, std::as_bytes(std::span{text})); }

  /// Waits for the next datagram.
  datagram receive_from(std::span<std::byte> buffer);
  datagram receive_from(std::span<std::byte> buffer, std::error_code& ec);

  /// What is sent to `group` is received too, by way of an interface (its number; 0: the one that an address of IPv6
  /// names, else the system chooses).
  /// @throws std::system_error  std::errc::invalid_argument if it is no multicast address, or names another interface
  void join(ip_address const& group, std::uint32_t interface = 0);
  void join(ip_address const& group, std::uint32_t interface, std::error_code& ec);
  void leave(ip_address const& group, std::uint32_t interface = 0);
  void leave(ip_address const& group, std::uint32_t interface, std::error_code& ec);
  /// By which interface it is sent.
  void multicast_interface(std::uint32_t interface);
  void multicast_interface(std::uint32_t interface, std::error_code& ec);
  /// Over how many routers it may go, 0 to 255; 1 if not set: none.
  void multicast_ttl(int hops);
  void multicast_ttl(int hops, std::error_code& ec);
  /// Whether this machine receives it, too; it does if not set.
  void multicast_loop(bool on);
  void multicast_loop(bool on, std::error_code& ec);
  /// Whether broadcast addresses may be sent to.
  void broadcast(bool on);
  void broadcast(bool on, std::error_code& ec);

  [[nodiscard]] endpoint local_endpoint() const;
  [[nodiscard]] endpoint local_endpoint(std::error_code& ec) const;

  /// Whoever waits gets std::errc::bad_file_descriptor. Never waits; any thread.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  [[nodiscard]] int native_handle() const noexcept { return descriptor_.number(); }

private:
  friend struct detail::descriptor_access;
  udp_socket(detail::open_descriptor descriptor, bool v6) noexcept : descriptor_(std::move(descriptor)), v6_(v6) {}
  void member(int option_v4, int option_v6, ip_address const& group, std::uint32_t interface, std::error_code& ec);

  detail::open_descriptor descriptor_;
  bool v6_ = false;
};

}  // namespace weft::inline v0::io
