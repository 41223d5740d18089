#include <weft/io/endpoint.hpp>

#include "error_text.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <net/if.h>
#include <netinet/in.h>

namespace weft::inline v0::io {

ip_address ip_address::parse(std::string_view text, std::error_code& ec) noexcept {
  ec.clear();
  auto const percent = text.find('%');
  auto const digits = text.substr(0, percent);
  std::array<char, INET6_ADDRSTRLEN + 1> copy{};
  if (digits.size() < copy.size() && digits.find('\0') == digits.npos) {
    digits.copy(copy.data(), digits.size());
    v4_bytes v4{};
    if (percent == text.npos && ::inet_pton(AF_INET, copy.data(), v4.data()) == 1) return ip_address{v4};
    v6_bytes v6{};
    if (::inet_pton(AF_INET6, copy.data(), v6.data()) == 1) {
      if (percent == text.npos) return ip_address{v6};
      auto const zone = text.substr(percent + 1);
      std::uint32_t scope = 0;
      if (auto const [end, e] = std::from_chars(zone.data(), zone.data() + zone.size(), scope);
          e == std::errc{} && end == zone.data() + zone.size()) {
        return ip_address{v6, scope};
      }
      std::array<char, IF_NAMESIZE> name{};
      if (!zone.empty() && zone.size() < name.size()) {
        zone.copy(name.data(), zone.size());
        if ((scope = ::if_nametoindex(name.data())) != 0) return ip_address{v6, scope};
      }
    }
  }
  ec = std::make_error_code(std::errc::invalid_argument);
  return {};
}

ip_address ip_address::parse(std::string_view text) {
  std::error_code ec;
  auto const parsed = parse(text, ec);
  if (ec) throw_error(ec, {"`", text, "` is not an IP address"});
  return parsed;
}

bool ip_address::is_loopback() const noexcept { return is_v4() ? bytes_[0] == 127 : *this == loopback_v6(); }

bool ip_address::is_multicast() const noexcept { return is_v4() ? (bytes_[0] & 0xF0U) == 0xE0U : bytes_[0] == 0xFFU; }

std::string ip_address::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  std::string result(text.data());
  if (scope_ != 0) result.append("%").append(std::to_string(scope_));
  return result;
}

std::string endpoint::to_string() const {
  std::string result;
  if (address_.is_v6()) result.append("[");
  result.append(address_.to_string());
  if (address_.is_v6()) result.append("]");
  return result.append(":").append(std::to_string(port_));
}

}  // namespace weft::inline v0::io
