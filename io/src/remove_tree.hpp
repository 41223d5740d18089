#pragma once
/// @file
/// Removing, on the thread where that may block.

#include "file_transfer.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <cstddef>
#include <filesystem>
#include <stop_token>
#include <utility>
#include <vector>

namespace weft::inline v0::io {

/// A file or an empty directory.  @returns an error, or 0
[[nodiscard]] inline int remove_one(detail::file_calls& calls, char const* path) noexcept {
  int const status = uninterrupted([&] { return calls.unlink(path); });
  if (status != -EISDIR && status != -EPERM) return status;
  int const as_directory = uninterrupted([&] { return calls.rmdir(path); });
  return as_directory == -ENOTDIR ? status : as_directory;
}

/// @param removed  counts  @returns the first error, or 0; that something is not there is none
/// @throws std::bad_alloc
[[nodiscard]] inline int remove_tree(detail::file_calls& calls, std::filesystem::path const& top, std::size_t& removed,
                                     std::stop_token const& token) {
  struct step {
    std::filesystem::path path;
    bool listed = false;  // all that was in it is on top of it, and gone when one comes back to it
  };
  std::vector<step> to_go;
  to_go.push_back({top});
  while (!to_go.empty() && !token.stop_requested()) {
    auto const path = to_go.back().path;
    int status = remove_one(calls, path.c_str());
    if ((status == -ENOTEMPTY || status == -EEXIST) && !std::exchange(to_go.back().listed, true)) {
      std::vector<directory_entry> entries;
      status = uninterrupted([&] { return calls.list(path.c_str(), entries); });
      if (status == 0) {
        for (auto const& entry : entries) to_go.push_back({path / entry.name});
        continue;
      }
    }
    if (status < 0 && status != -ENOENT) return status;
    if (status == 0) ++removed;
    to_go.pop_back();
  }
  return 0;
}

}  // namespace weft::inline v0::io
