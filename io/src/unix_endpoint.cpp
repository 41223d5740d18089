#include <weft/io/unix_endpoint.hpp>

#include "unix_address.hpp"

#include <cstddef>

namespace weft::inline v0::io {

std::string unix_endpoint::to_string() const {
  std::string text;
  if (abstract_) text.append("@");
  return text.append(name_);
}

unix_address::unix_address(unix_endpoint const& of, std::error_code& ec) noexcept {
  storage_.sun_family = AF_UNIX;
  auto const& name = of.name();
  static_assert(unix_endpoint::longest + 1 == sizeof storage_.sun_path);
  ec.clear();
  if (name.size() > unix_endpoint::longest) {
    ec = std::make_error_code(std::errc::filename_too_long);
  } else if (!of.is_abstract() && (name.empty() || name.find('\0') != name.npos)) {
    ec = std::make_error_code(std::errc::invalid_argument);
  } else {
    // An abstract name follows a zero byte, and a path has one behind it.
    name.copy(storage_.sun_path + (of.is_abstract() ? 1 : 0), name.size());
    size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  }
}

}  // namespace weft::inline v0::io
