#pragma once
/// @file
/// The size of a page of memory.

#include <cstddef>
#include <unistd.h>

namespace weft::inline v0::detail {

inline std::size_t page_size() noexcept {
  static auto const size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace weft::inline v0::detail
