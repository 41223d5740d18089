#pragma once
/// @file
/// Connections between processes of one machine.

#include <weft/io/stream.hpp>
#include <weft/io/unix_endpoint.hpp>

#include <sys/types.h>
#include <system_error>
#include <utility>

namespace weft::inline v0::io {

/// One end of a connection of Unix sockets. A stream.
class unix_stream : public stream {
public:
  unix_stream() noexcept = default;

  /// Connects; waits where the listener's backlog is full, and looks again after 1 to 50 ms. A cancellation point.
  /// @throws std::system_error, naming the endpoint: std::errc::connection_refused if nobody listens there,
  ///   filename_too_long, and invalid_argument for an empty path or one with a zero byte
  [[nodiscard]] static unix_stream connect(unix_endpoint const& to);
  [[nodiscard]] static unix_stream connect(unix_endpoint const& to, std::error_code& ec);

  /// Two that are connected with each other.  @throws std::system_error
  [[nodiscard]] static std::pair<unix_stream, unix_stream> pair();
  [[nodiscard]] static std::pair<unix_stream, unix_stream> pair(std::error_code& ec);

  /// As tcp_stream::shutdown().
  void shutdown(direction which);
  void shutdown(direction which, std::error_code& ec);

  /// Who was on the other side when the connection was made.
  struct credentials {
    pid_t process = 0;
    uid_t user = 0;
    gid_t group = 0;
  };
  [[nodiscard]] credentials peer_credentials() const;
  [[nodiscard]] credentials peer_credentials(std::error_code& ec) const;

private:
  friend class unix_listener;
  explicit unix_stream(detail::open_descriptor descriptor) noexcept : stream(std::move(descriptor), carrier::socket) {}
};

}  // namespace weft::inline v0::io
