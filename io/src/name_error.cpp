/// @file
/// What is wrong with a name, in the system's words.

#include <weft/io/resolve.hpp>

#include <netdb.h>
#include <string>

namespace weft::inline v0::io {

namespace {

static_assert(static_cast<int>(name_error::bad_options) == EAI_BADFLAGS &&
              static_cast<int>(name_error::no_such_name) == EAI_NONAME &&
              static_cast<int>(name_error::try_again) == EAI_AGAIN &&
              static_cast<int>(name_error::server_failed) == EAI_FAIL &&
              static_cast<int>(name_error::no_address) == EAI_NODATA &&
              static_cast<int>(name_error::no_such_family) == EAI_FAMILY &&
              static_cast<int>(name_error::no_such_service) == EAI_SERVICE &&
              static_cast<int>(name_error::none_of_family) == EAI_ADDRFAMILY &&
              static_cast<int>(name_error::name_too_long) == EAI_OVERFLOW);

class name_errors final : public std::error_category {
public:
  [[nodiscard]] char const* name() const noexcept override { return "weft.names"; }
  [[nodiscard]] std::string message(int value) const override { return ::gai_strerror(value); }
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<name_error>(value)) {
      case name_error::no_such_name:
      case name_error::no_address: return std::errc::host_unreachable;
      case name_error::try_again: return std::errc::resource_unavailable_try_again;
      case name_error::server_failed: return std::errc::io_error;
      case name_error::no_such_family:
      case name_error::none_of_family: return std::errc::address_family_not_supported;
      case name_error::bad_options:
      case name_error::no_such_service: return std::errc::invalid_argument;
      case name_error::name_too_long: return std::errc::value_too_large;
    }
    return {value, *this};
  }
};

}  // namespace

std::error_category const& name_error_category() noexcept {
  static name_errors const category;
  return category;
}

}  // namespace weft::inline v0::io
