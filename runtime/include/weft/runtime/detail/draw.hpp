#pragma once
/// @file
/// Choices that should be fair, and need not be unpredictable.

#include <cstddef>

namespace weft::inline v0::detail {

/// A number below `n`, which is at least 1 and below 2^32: in a simulation from its seed, otherwise from a generator of
/// the caller's worker or thread.
[[nodiscard]] std::size_t draw(std::size_t n) noexcept;

}  // namespace weft::inline v0::detail
