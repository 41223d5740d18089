#pragma once
/// @file
/// Names of the internet: which addresses a host has, which port a service, and what the names of an endpoint are.
///
/// The system's getaddrinfo() and getnameinfo() block, and run code from anywhere; they are called on a few threads
/// that do nothing else: 16 at most, for all runtimes of the process; each starts when it is needed, and stays. Calls
/// beyond that queue. Who has waited long enough, or is cancelled, leaves at once; the system's call then goes on by
/// itself, and the end of the runtime from which it was made waits for it.

#include <weft/io/endpoint.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::inline v0::io {

/// What may be wrong with a name, with the values of getaddrinfo()'s EAI_... Each compares equal to a std::errc, given
/// behind it. Other errors are the system's own.
enum class name_error : int {
  bad_options = -1,      ///< invalid_argument
  no_such_name = -2,     ///< host_unreachable
  try_again = -3,        ///< resource_unavailable_try_again: the name server did not answer
  server_failed = -4,    ///< io_error
  no_address = -5,       ///< host_unreachable: the name exists
  no_such_family = -6,   ///< address_family_not_supported
  no_such_service = -8,  ///< invalid_argument
  none_of_family = -9,   ///< address_family_not_supported: the name has addresses, but none such
  name_too_long = -12    ///< value_too_large
};
[[nodiscard]] std::error_category const& name_error_category() noexcept;
[[nodiscard]] inline std::error_code make_error_code(name_error e) noexcept {
  return {static_cast<int>(e), name_error_category()};
}

/// A port, by its number, or by its number or name as text: `443`, `"443"`, `"https"`.
class service {
public:
  /// One that is not from 0 to 65535 is refused by who is given it.
  template <std::integral N>
    requires(!std::same_as<N, bool> && !std::same_as<N, char>)
  constexpr service(N port) noexcept : port_(std::in_range<std::uint16_t>(port) ? static_cast<int>(port) : -1) {}
  /// @param name  must live as long as this
  template <std::convertible_to<std::string_view> Text>
    requires(!std::integral<Text>)
  service(Text const& name) noexcept : name_(name) {}

  /// Empty: the port is a number.
  [[nodiscard]] constexpr std::string_view name() const noexcept { return name_; }
  /// -1: none.
  [[nodiscard]] constexpr int port() const noexcept { return port_; }

private:
  std::string_view name_;
  int port_ = -1;
};

/// Choices for a look-up.
struct resolve_options {
  /// Addresses of this family only.
  std::optional<ip_address::family> family{};
  /// After which it ends with std::errc::timed_out.
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
  /// An answer that the same question got not longer ago will do; 0: ask anew. Up to 256 answers are kept, for five
  /// minutes at most; that there was none is not kept.
  std::chrono::nanoseconds max_age = std::chrono::seconds{10};
};

/// The endpoints of `at` on `host`, the best first, at least one. An address in `host` with a port's number is answered
/// at once.
/// @throws std::system_error, naming both: a name_error; std::errc::invalid_argument  for a host that is empty, too
/// long
///   or holds a NUL, and for a port that is none; std::errc::timed_out. Throws error in a simulation without names.
/// @par Thread safety
/// On fibers and plain threads.
/// @par Cancellation
/// A cancellation point, even where it need not wait. Does not wait for the look-up that is under way.
[[nodiscard]] std::vector<endpoint> resolve(std::string_view host, service at, resolve_options const& options = {});
[[nodiscard]] std::vector<endpoint> resolve(std::string_view host, service at, resolve_options const& options,
                                            std::error_code& ec);

/// Names of an endpoint.
struct host_and_service {
  std::string host;
  std::string service;  ///< the port's number where that has no name
};

/// Choices for reverse(), as those of resolve().
struct reverse_options {
  /// After which it ends with std::errc::timed_out.
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
  /// An answer that the same question got not longer ago will do; 0: ask anew. These are kept beside those of
  /// resolve(), as many and as long.
  std::chrono::nanoseconds max_age = std::chrono::seconds{10};
};

/// Which names `of` has. That an address has none is an error: name_error::no_such_name. All else is as of resolve().
[[nodiscard]] host_and_service reverse(endpoint const& of, reverse_options const& options = {});
[[nodiscard]] host_and_service reverse(endpoint const& of, reverse_options const& options, std::error_code& ec);

/// Forgets what resolve() and reverse() have kept. Any thread.
void forget_resolved();

}  // namespace weft::inline v0::io

template <>
struct std::is_error_code_enum<weft::io::name_error> : std::true_type {};
