#pragma once
/// @file
/// Where connections of Unix sockets come in.

#include <weft/io/unix_stream.hpp>

#include <system_error>

namespace weft::inline v0::io {

struct unix_listen_options {
  int backlog = 4096;  ///< connections that wait to be accepted; the system has a limit of its own
  /// Takes the place of a socket that a process left behind: one that nobody listens on. Of two that do it at the same
  /// moment the later wins. Files of other kinds are never removed.
  bool remove_stale = false;
};

/// The file stays when it is closed; it can be removed, or found stale by the next.
/// @par Thread safety
/// Any member from any fiber at once; only moves and the destructor need to be alone.
class unix_listener {
public:
  unix_listener() noexcept = default;  ///< Not open.

  /// @throws std::system_error, naming the endpoint: std::errc::address_in_use if there is a file of that name, and as
  ///   unix_stream::connect()
  [[nodiscard]] static unix_listener bind(unix_endpoint const& at, unix_listen_options const& options = {});
  [[nodiscard]] static unix_listener bind(unix_endpoint const& at, unix_listen_options const& options,
                                          std::error_code& ec);

  /// Waits for the next connection. A cancellation point; cancelled means that none was taken.
  /// @throws std::system_error  std::errc::too_many_files_open and the like leave the connection waiting
  [[nodiscard]] unix_stream accept();
  [[nodiscard]] unix_stream accept(std::error_code& ec);

  [[nodiscard]] unix_endpoint const& local_endpoint() const noexcept { return at_; }

  /// As tcp_listener::close().
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  [[nodiscard]] int native_handle() const noexcept { return descriptor_.number(); }

private:
  friend struct detail::descriptor_access;
  unix_listener(detail::open_descriptor descriptor, unix_endpoint at) noexcept
      : descriptor_(std::move(descriptor)), at_(std::move(at)) {}

  detail::open_descriptor descriptor_;
  unix_endpoint at_;
};

}  // namespace weft::inline v0::io
