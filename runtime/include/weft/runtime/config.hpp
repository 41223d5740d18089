#pragma once
/// @file
/// Version, and the few facts about compiler and machine that more than one header needs.

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
/// One comparable number: 10000 * major + 100 * minor + patch.
#define WEFT_VERSION (WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH)

#include <cstddef>

/// All names are in an inline namespace that changes with each incompatible version, so that two versions in one
/// program are told apart by the linker.
namespace weft::inline v0::detail {

/// Fields written by different threads are kept this far apart. A constant of our own, because the standard's changes
/// with compiler flags, and with it the layout of our types.
inline constexpr std::size_t cache_line = 64;

}  // namespace weft::inline v0::detail
