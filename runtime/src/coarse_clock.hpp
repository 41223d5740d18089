#pragma once
/// @file
/// A clock that is cheap to read, in steps of its own: good for "long since", not for time.

#include <weft/runtime/clock.hpp>

#include <cstdint>

namespace weft::inline v0::detail {

inline std::uint64_t coarse_now() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return static_cast<std::uint64_t>(clock::now().time_since_epoch().count());
#endif
}

}  // namespace weft::inline v0::detail
