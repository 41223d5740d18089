#pragma once
/// @file
/// Names that nobody has yet.

#include "file_transfer.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>

namespace weft::inline v0::io {

/// `.weft-` and sixteen hexadecimal digits.
[[nodiscard]] inline std::string temporary_name(std::uint64_t number) {
  std::string name = ".weft-";
  for (int shift = 60; shift >= 0; shift -= 4)
    name += "0123456789abcdef"[(number >> static_cast<unsigned>(shift)) & 15U];
  return name;
}

/// Calls `make(path)` with names in `directory`, until one is not there yet. @param path  set to that
/// @returns what `make` returned
template <class Make>
int try_temporary_names(detail::file_calls& calls, std::filesystem::path const& directory, std::filesystem::path& path,
                        Make make) {
  constexpr int tries = 100;
  int result = -EEXIST;
  for (int i = 0; i < tries && result == -EEXIST; ++i) {
    path = directory / temporary_name(calls.draw());
    result = uninterrupted([&] { return make(path.c_str()); });
  }
  return result;
}

}  // namespace weft::inline v0::io
