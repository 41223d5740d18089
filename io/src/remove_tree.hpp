#pragma once
/// @file
/// Removing, on the thread where that may block.

#include <weft/io/detail/file_calls.hpp>

#include <cstddef>
#include <filesystem>
#include <stop_token>

namespace weft::inline v0::io {

/// A file or an empty directory; of a symbolic link that itself.  @returns an error, or 0
/// @param directory  where `name` is looked up; or AT_FDCWD
[[nodiscard]] int remove_one(detail::file_calls& calls, int directory, char const* name) noexcept;

/// `top` with all that is in it. Looks up `top` and then, in each directory, names without a slash, and goes through no
/// symbolic link below or at `top`, whatever others put there meanwhile. Has two descriptors at most, at any depth.
/// @param removed  counts  @returns the first error, or 0; that something is not there is none
/// @throws std::bad_alloc
[[nodiscard]] int remove_tree(detail::file_calls& calls, std::filesystem::path const& top, std::size_t& removed,
                              std::stop_token const& token);

}  // namespace weft::inline v0::io
