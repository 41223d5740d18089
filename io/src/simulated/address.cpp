#include "address.hpp"

#include "../socket_address.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

namespace weft::inline v0::testing {

std::optional<socket_name> read_name(sockaddr const* from, unsigned size) {
  if (from == nullptr || size < sizeof(sa_family_t)) return std::nullopt;
  socket_name name;
  name.family = from->sa_family;
  switch (name.family) {
    case AF_UNSPEC: return name;
    case AF_UNIX: {
      constexpr auto start = offsetof(sockaddr_un, sun_path);
      if (size > sizeof(sockaddr_un)) return std::nullopt;
      if (size <= start) return name;
      auto const* const text = reinterpret_cast<char const*>(from) + start;
      auto const room = size - start;
      name.path = text[0] == '\0' ? std::string(text, room) : std::string(text, strnlen(text, room));
      return name;
    }
    case AF_INET:
    case AF_INET6: {
      io::socket_address copy;
      if (size < (name.family == AF_INET ? 16U : 28U) || size > copy.size()) return std::nullopt;
      std::memcpy(static_cast<void*>(copy.data()), from, size);
      name.at = copy.to_endpoint();
      return name;
    }
    default: return std::nullopt;
  }
}

io::endpoint as_v6(io::endpoint const& at) noexcept {
  if (at.address().is_v6()) return at;
  io::ip_address::v6_bytes bytes{};
  bytes[10] = bytes[11] = 0xFF;
  for (std::size_t i = 0; i < 4; ++i) bytes[12 + i] = at.address().bytes()[i];
  return {io::ip_address{bytes}, at.port()};
}

bool is_mapped(io::endpoint const& at) noexcept {
  constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  return at.address().is_v6() && std::equal(prefix.begin(), prefix.end(), at.address().bytes().begin());
}

io::endpoint unmapped(io::endpoint const& at) noexcept {
  if (!is_mapped(at)) return at;
  auto const& bytes = at.address().bytes();
  return {io::ip_address{io::ip_address::v4_bytes{bytes[12], bytes[13], bytes[14], bytes[15]}}, at.port()};
}

void write_name(socket_name const& name, sockaddr* to, unsigned* size) noexcept {
  if (to == nullptr || size == nullptr) return;
  if (name.family == AF_UNIX) {
    constexpr auto start = static_cast<unsigned>(offsetof(sockaddr_un, sun_path));
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    auto const length = std::min(name.path.size(), sizeof un.sun_path);
    std::memcpy(un.sun_path, name.path.data(), length);
    bool const terminated = !name.path.empty() && name.path[0] != '\0' && length < sizeof un.sun_path;
    auto const whole = start + static_cast<unsigned>(length) + (terminated ? 1U : 0U);
    std::memcpy(static_cast<void*>(to), &un, std::min(*size, whole));
    *size = whole;
    return;
  }
  io::socket_address const copy{name.at};
  std::memcpy(static_cast<void*>(to), copy.data(), std::min<unsigned>(*size, copy.size()));
  *size = copy.size();
}

}  // namespace weft::inline v0::testing
