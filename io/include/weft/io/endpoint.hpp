#pragma once
/// @file
/// Addresses of the internet, and where a socket is: address and port. Values; names are resolved by resolve().

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

struct sockaddr;

namespace weft::inline v0::io {

/// An IPv4 or IPv6 address; the latter with a scope (the number of an interface; 0: none).
class ip_address {
public:
  enum class family : std::uint8_t { v4, v6 };
  using v4_bytes = std::array<std::uint8_t, 4>;
  using v6_bytes = std::array<std::uint8_t, 16>;

  /// 0.0.0.0
  constexpr ip_address() noexcept = default;
  constexpr explicit ip_address(v4_bytes const& bytes) noexcept {
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes_[i] = bytes[i];
  }
  constexpr explicit ip_address(v6_bytes const& bytes, std::uint32_t scope = 0) noexcept
      : bytes_(bytes), scope_(scope), family_(family::v6) {}

  /// From its usual text, `127.0.0.1`, `::1` or `fe80::1%eth0`; no name, no port.
  /// @throws std::system_error  (std::errc::invalid_argument) for anything else
  [[nodiscard]] static ip_address parse(std::string_view text);
  [[nodiscard]] static ip_address parse(std::string_view text, std::error_code& ec) noexcept;

  [[nodiscard]] static constexpr ip_address any_v4() noexcept { return ip_address{}; }
  [[nodiscard]] static constexpr ip_address any_v6() noexcept { return ip_address{v6_bytes{}}; }
  [[nodiscard]] static constexpr ip_address loopback_v4() noexcept { return ip_address{v4_bytes{127, 0, 0, 1}}; }
  [[nodiscard]] static constexpr ip_address loopback_v6() noexcept {
    return ip_address{v6_bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  }

  [[nodiscard]] constexpr bool is_v4() const noexcept { return family_ == family::v4; }
  [[nodiscard]] constexpr bool is_v6() const noexcept { return family_ == family::v6; }
  [[nodiscard]] bool is_loopback() const noexcept;
  [[nodiscard]] bool is_multicast() const noexcept;
  /// In network order; of IPv4 the first four.
  [[nodiscard]] constexpr v6_bytes const& bytes() const noexcept { return bytes_; }
  [[nodiscard]] constexpr std::uint32_t scope() const noexcept { return scope_; }
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(ip_address const&, ip_address const&) noexcept = default;

private:
  v6_bytes bytes_{};
  std::uint32_t scope_ = 0;
  family family_ = family::v4;
};

/// Where a TCP or UDP socket is.
class endpoint {
public:
  constexpr endpoint() noexcept = default;
  constexpr endpoint(ip_address const& address, std::uint16_t port) noexcept : address_(address), port_(port) {}
  /// @param address  as ip_address::parse() takes it: no name  @throws std::system_error
  endpoint(std::string_view address, std::uint16_t port) : endpoint(ip_address::parse(address), port) {}

  [[nodiscard]] constexpr ip_address const& address() const noexcept { return address_; }
  [[nodiscard]] constexpr std::uint16_t port() const noexcept { return port_; }
  /// `127.0.0.1:80` or `[::1]:80`.
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(endpoint const&, endpoint const&) noexcept = default;

private:
  ip_address address_;
  std::uint16_t port_ = 0;
};

}  // namespace weft::inline v0::io
