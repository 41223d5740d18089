#pragma once
/// @file
/// The names of hosts in a simulated network, as resolve() and reverse() ask for them.

#include <weft/io/detail/name_service.hpp>
#include <weft/io/endpoint.hpp>

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0::testing {

/// Thread-safe.
class host_table final : public weft::detail::name_service {
public:
  /// `localhost` is in it.
  host_table();

  void add(std::string_view name, std::vector<io::ip_address> addresses);
  /// Empty: there is no such host.
  [[nodiscard]] std::vector<io::ip_address> addresses_of(std::string_view name) const;

  std::error_code find(weft::detail::name_query const& query, std::vector<io::endpoint>& found) override;
  std::error_code find_name(io::endpoint const& of, weft::detail::found_name& found) override;
  [[nodiscard]] bool blocks() const noexcept override { return false; }

private:
  std::mutex mutable mutex_;
  std::map<std::string, std::vector<io::ip_address>, std::less<>> hosts_;  // guarded by mutex_
};

}  // namespace weft::inline v0::testing
