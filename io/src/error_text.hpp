#pragma once
/// @file
/// What an I/O error says: what was tried, and on what.

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

/// @throws std::system_error  whose text is "weft: ", the words in a row, and what the system says of `ec`
[[noreturn]] void throw_error(std::error_code ec, std::initializer_list<std::string_view> words);
/// @throws incomplete_read  with `partial`: `came` of `wanted` bytes have come
[[noreturn]] void throw_incomplete(std::size_t came, std::size_t wanted, std::string partial);
/// @throws limit_overrun  the file `path` has more than `limit` bytes
[[noreturn]] void throw_too_large(std::string_view path, std::size_t limit);

}  // namespace weft::inline v0::io
