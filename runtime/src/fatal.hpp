#pragma once
/// @file
/// The end for wrong use that cannot be answered by an exception.

#include <cstdio>
#include <cstdlib>

namespace weft::inline v0::detail {

[[noreturn]] inline void fatal(char const* what) noexcept {
  std::fprintf(stderr, "weft: %s\n", what);
  std::abort();
}

}  // namespace weft::inline v0::detail
