#pragma once
/// @file
/// Where Unix sockets are: a path, or a name that no file has.

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace weft::inline v0::io {

class unix_endpoint {
public:
  /// Bytes of a path, or of an abstract name. What is longer is refused where it is used.
  static constexpr std::size_t longest = 107;

  /// Unnamed: of a socket that was connected without being bound.
  unix_endpoint() noexcept = default;
  /// A file's path. It is looked at where it is used.
  unix_endpoint(std::string path) noexcept : name_(std::move(path)) {}
  unix_endpoint(std::string_view path) : name_(path) {}
  unix_endpoint(char const* path) : name_(path) {}
  /// A name in a space of its own (Linux): it is free again when the socket is closed.
  [[nodiscard]] static unix_endpoint abstract(std::string_view name) {
    unix_endpoint made{name};
    made.abstract_ = true;
    return made;
  }

  [[nodiscard]] bool is_abstract() const noexcept { return abstract_; }
  /// The path, or the abstract name.
  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  /// The path, or `@` and the abstract name.
  [[nodiscard]] std::string to_string() const;

  friend auto operator<=>(unix_endpoint const&, unix_endpoint const&) = default;

private:
  std::string name_;
  bool abstract_ = false;
};

}  // namespace weft::inline v0::io
