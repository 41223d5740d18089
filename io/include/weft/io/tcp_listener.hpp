#pragma once
/// @file
/// Where TCP connections come in.

#include <weft/io/tcp_stream.hpp>

#include <system_error>

namespace weft::inline v0::io {

struct listen_options {
  int backlog = 4096;         ///< connections that wait to be accepted; the system has a limit of its own
  bool reuse_address = true;  ///< bind although connections of an earlier listener are still being taken down
  bool reuse_port = false;    ///< several listeners on one port, among which the system deals the connections
  bool v6_only = false;       ///< of an IPv6 address: no IPv4 connections
};

/// @par Thread safety
/// Any member from any fiber at once; only moves and the destructor need to be alone.
class tcp_listener {
public:
  tcp_listener() noexcept = default;  ///< Not open.

  /// Listens at `at`; port 0: one that is free, see local_endpoint().  @throws std::system_error, naming the endpoint
  [[nodiscard]] static tcp_listener bind(endpoint const& at, listen_options const& options = {});
  [[nodiscard]] static tcp_listener bind(endpoint const& at, listen_options const& options, std::error_code& ec);

  /// Waits for the next connection. A cancellation point; cancelled means that none was taken.
  /// @param from  if not null, is set to where it comes from
  /// @throws std::system_error  std::errc::too_many_files_open and the like leave the connection waiting
  [[nodiscard]] tcp_stream accept(endpoint* from = nullptr);
  [[nodiscard]] tcp_stream accept(std::error_code& ec, endpoint* from = nullptr);

  [[nodiscard]] endpoint local_endpoint() const;
  [[nodiscard]] endpoint local_endpoint(std::error_code& ec) const;

  /// No more connections: whoever waits in accept() gets std::errc::bad_file_descriptor. Never waits; any thread.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  [[nodiscard]] int native_handle() const noexcept { return descriptor_.number(); }

private:
  friend struct detail::descriptor_access;
  explicit tcp_listener(detail::open_descriptor descriptor) noexcept : descriptor_(std::move(descriptor)) {}

  detail::open_descriptor descriptor_;
};

}  // namespace weft::inline v0::io
