#include "socket_address.hpp"

#include <cstring>
#include <netinet/in.h>

namespace weft::inline v0::io {

socket_address::socket_address(endpoint const& of) noexcept {
  auto const& bytes = of.address().bytes();
  if (of.address().is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(of.port());
    std::memcpy(&v4.sin_addr, bytes.data(), sizeof v4.sin_addr);
    std::memcpy(&storage_, &v4, size_ = sizeof v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(of.port());
    v6.sin6_scope_id = of.address().scope();
    std::memcpy(&v6.sin6_addr, bytes.data(), sizeof v6.sin6_addr);
    std::memcpy(&storage_, &v6, size_ = sizeof v6);
  }
}

endpoint socket_address::to_endpoint() const noexcept {
  if (storage_.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &storage_, sizeof v4);
    ip_address::v4_bytes bytes{};
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return {ip_address{bytes}, ntohs(v4.sin_port)};
  }
  if (storage_.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage_, sizeof v6);
    ip_address::v6_bytes bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return {ip_address{bytes, v6.sin6_scope_id}, ntohs(v6.sin6_port)};
  }
  return {};
}

}  // namespace weft::inline v0::io
