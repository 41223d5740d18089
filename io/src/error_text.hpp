#pragma once
/// @file
/// What an I/O error says: what was tried, and on what.

#include <initializer_list>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

/// @throws std::system_error  whose text is "weft: ", the words in a row, and what the system says of `ec`
[[noreturn]] void throw_error(std::error_code ec, std::initializer_list<std::string_view> words);

}  // namespace weft::inline v0::io
