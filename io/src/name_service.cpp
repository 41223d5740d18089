/// @file
/// The system's names.

#include <weft/io/detail/name_service.hpp>

#include "answer_cache.hpp"
#include "socket_address.hpp"

#include <weft/io/resolve.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>

namespace weft::inline v0::detail {

namespace {

/// @param error  `errno` as it was right after the call
std::error_code error_of_names(int status, int error) noexcept {
  if (status == 0) return {};
  if (status == EAI_SYSTEM) return {error != 0 ? error : EIO, std::generic_category()};
  if (status == EAI_MEMORY) return std::make_error_code(std::errc::not_enough_memory);
  return {status, io::name_error_category()};
}

io::endpoint endpoint_of(addrinfo const& found) noexcept {
  io::socket_address address;
  std::memcpy(address.data(), found.ai_addr, found.ai_addrlen);
  return address.to_endpoint();
}

class names_of_the_system final : public name_service {
public:
  std::error_code find(name_query const& query, std::vector<io::endpoint>& found) override {
    addrinfo hints{};
    hints.ai_family = !query.family ? AF_UNSPEC : *query.family == io::ip_address::family::v4 ? AF_INET : AF_INET6;
    // Each address comes once for each kind of socket. Which of them a service has is not known; without one it does
    // not matter.
    hints.ai_socktype = query.service.empty() ? SOCK_STREAM : 0;
    addrinfo* first = nullptr;
    int const status = ::getaddrinfo(query.host.c_str(), query.service.empty() ? nullptr : query.service.c_str(),
                                     &hints, &first);
    if (auto const ec = error_of_names(status, errno)) return ec;
    std::unique_ptr<addrinfo, void (*)(addrinfo*)> const all{first, ::freeaddrinfo};
    for (addrinfo const* at = first; at != nullptr; at = at->ai_next) {
      if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
      auto const one = endpoint_of(*at);
      if (std::find(found.begin(), found.end(), one) == found.end()) found.push_back(one);
    }
    return found.empty() ? make_error_code(io::name_error::no_address) : std::error_code{};
  }

  std::error_code find_name(io::endpoint const& of, found_name& found) override {
    io::socket_address const address{of};
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> service{};
    int const status = ::getnameinfo(address.data(), address.size(), host.data(), host.size(), service.data(),
                                     service.size(), NI_NAMEREQD);
    if (auto const ec = error_of_names(status, errno)) return ec;
    found = {host.data(), service.data()};
    return {};
  }
};

}  // namespace

name_service::name_service() : kept_(std::make_unique<kept_answers>()) {}
name_service::~name_service() = default;

std::shared_ptr<name_service> system_names() {
  // Never destroyed: what still runs when the process ends may ask.
  static auto const& names = *new std::shared_ptr<name_service>(std::make_shared<names_of_the_system>());
  return names;
}

}  // namespace weft::inline v0::detail
