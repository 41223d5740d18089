#pragma once
/// @file
/// Names of Unix sockets as the system's calls take them.

#include <weft/io/unix_endpoint.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>

namespace weft::inline v0::io {

class unix_address {
public:
  /// @param ec  set if the name cannot be a socket's
  unix_address(unix_endpoint const& of, std::error_code& ec) noexcept;

  [[nodiscard]] sockaddr const* data() const noexcept { return reinterpret_cast<sockaddr const*>(&storage_); }
  [[nodiscard]] socklen_t size() const noexcept { return size_; }

private:
  sockaddr_un storage_{};
  socklen_t size_ = sizeof(sa_family_t);
};

}  // namespace weft::inline v0::io
