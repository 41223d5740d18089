#pragma once
/// @file
/// Endpoints as the system's calls take them.

#include <weft/io/endpoint.hpp>

#include <sys/socket.h>

namespace weft::inline v0::io {

class socket_address {
public:
  /// Room for any.
  socket_address() noexcept = default;
  explicit socket_address(endpoint const& of) noexcept;

  [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
  [[nodiscard]] sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
  [[nodiscard]] sockaddr const* data() const noexcept { return reinterpret_cast<sockaddr const*>(&storage_); }
  [[nodiscard]] socklen_t size() const noexcept { return size_; }
  /// For a call that fills it in.
  [[nodiscard]] socklen_t* size_pointer() noexcept { return &size_; }
  /// 0.0.0.0:0 if it is of no internet family.
  [[nodiscard]] endpoint to_endpoint() const noexcept;

private:
  sockaddr_storage storage_{};
  socklen_t size_ = sizeof(sockaddr_storage);
};

}  // namespace weft::inline v0::io
