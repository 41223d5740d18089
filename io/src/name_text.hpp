#pragma once
/// @file
/// Names in messages.

#include <weft/io/resolve.hpp>

#include <string>
#include <string_view>

namespace weft::inline v0::io {

/// Such as can be printed, and not too long.
[[nodiscard]] std::string in_words(std::string_view name);
[[nodiscard]] std::string in_words(service at);

}  // namespace weft::inline v0::io
