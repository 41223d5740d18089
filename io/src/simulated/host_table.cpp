#include "host_table.hpp"

#include <weft/io/resolve.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace weft::inline v0::testing {

namespace {

/// A few that programs ask for by name.
struct known_service {
  std::string_view name;
  std::uint16_t port;
};
constexpr std::array known_services{known_service{"http", 80}, known_service{"https", 443}, known_service{"domain", 53},
                                    known_service{"ftp", 21},  known_service{"ssh", 22},    known_service{"smtp", 25}};

std::string lower_case(std::string_view text) {
  std::string copy{text};
  for (auto& c : copy) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return copy;
}

}  // namespace

host_table::host_table() { add("localhost", {io::ip_address::loopback_v4(), io::ip_address::loopback_v6()}); }

void host_table::add(std::string_view name, std::vector<io::ip_address> addresses) {
  std::lock_guard const lock{mutex_};
  hosts_.insert_or_assign(lower_case(name), std::move(addresses));
}

std::vector<io::ip_address> host_table::addresses_of(std::string_view name) const {
  std::lock_guard const lock{mutex_};
  auto const found = hosts_.find(lower_case(name));
  return found != hosts_.end() ? found->second : std::vector<io::ip_address>{};
}

std::error_code host_table::find(weft::detail::name_query const& query, std::vector<io::endpoint>& found) {
  std::uint16_t port = 0;
  if (!query.service.empty()) {
    auto const known = std::find_if(known_services.begin(), known_services.end(),
                                    [&](known_service const& s) { return s.name == query.service; });
    if (known == known_services.end()) return io::name_error::no_such_service;
    port = known->port;
  }
  auto addresses = addresses_of(query.host);
  std::error_code literal;
  if (auto const address = io::ip_address::parse(query.host, literal); !literal) addresses = {address};
  if (addresses.empty()) return io::name_error::no_such_name;
  for (auto const& address : addresses) {
    auto const family = address.is_v4() ? io::ip_address::family::v4 : io::ip_address::family::v6;
    if (query.family.value_or(family) == family) found.emplace_back(address, port);
  }
  return found.empty() ? make_error_code(io::name_error::none_of_family) : std::error_code{};
}

std::error_code host_table::find_name(io::endpoint const& of, weft::detail::found_name& found) {
  found.service = std::to_string(of.port());
  for (auto const& [name, port] : known_services) {
    if (port == of.port()) found.service = name;
  }
  found.host = of.address().to_string();  // as the system, where there is no name
  std::lock_guard const lock{mutex_};
  for (auto const& [name, addresses] : hosts_) {
    if (std::find(addresses.begin(), addresses.end(), of.address()) != addresses.end()) found.host = name;
  }
  return {};
}

}  // namespace weft::inline v0::testing
