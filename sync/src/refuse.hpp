#pragma once
/// @file
/// Wrong use that would otherwise go on with broken state.

#include <cstdio>
#include <cstdlib>

namespace weft::inline v0::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse(char const* message) noexcept {
  std::fprintf(stderr, "weft: %s\n", message);
  std::abort();
}

}  // namespace weft::inline v0::detail
