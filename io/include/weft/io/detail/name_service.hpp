#pragma once
/// @file
/// Who answers what address a name has, and what name an address. The system does by getaddrinfo() and getnameinfo();
/// tests and a simulated network take its place by system_calls::names().

#include <weft/io/endpoint.hpp>

#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace weft::inline v0::detail {

struct kept_answers;

/// What addresses, and what port, are asked for. A host and a service of less than 10^3 characters, without NUL.
struct name_query {
  std::string host;
  std::string service;                           ///< empty: none, and the answer's ports are 0
  std::optional<io::ip_address::family> family;  ///< none: both

  friend auto operator<=>(name_query const&, name_query const&) = default;
};

/// As io::host_and_service.
struct found_name {
  std::string host;
  std::string service;
};

/// Shared by those who ask, some of whom do not wait for the answer.
class name_service {
public:
  name_service();
  name_service(name_service const&) = delete;
  virtual ~name_service();

  /// Appends what is found to `found`, the best first.  @returns an error if that is nothing: a name_error, or the
  /// system's.  @throws std::bad_alloc
  virtual std::error_code find(name_query const& query, std::vector<io::endpoint>& found) = 0;
  /// Finds the name of the host and of the service.  As find()
  virtual std::error_code find_name(io::endpoint const& of, found_name& found) = 0;

  /// Whether these calls may block: then they are made on threads for names, several at once, and the answers are kept
  /// for a while. Else on the fiber that asks, each time, and they may wait as fibers do.
  [[nodiscard]] virtual bool blocks() const noexcept { return true; }

  /// What it has answered.
  [[nodiscard]] kept_answers& kept() noexcept { return *kept_; }

private:
  std::unique_ptr<kept_answers> kept_;
};

/// That of the system.
[[nodiscard]] std::shared_ptr<name_service> system_names();

}  // namespace weft::inline v0::detail
