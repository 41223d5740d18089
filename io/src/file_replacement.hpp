#pragma once
/// @file
/// The last steps of putting a file in another's place, on the thread where that may block.

#include "file_transfer.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <cerrno>
#include <fcntl.h>
#include <filesystem>

namespace weft::inline v0::io {

/// That the names in it are there is brought to the disk. Not every file system can.
[[nodiscard]] inline int sync_directory(detail::file_calls& calls, char const* path) noexcept {
  int const number = uninterrupted([&] { return calls.open(path, O_RDONLY | O_DIRECTORY, 0); });
  if (number < 0) return number;
  int const status = uninterrupted([&] { return calls.fsync(number); });
  (void)calls.close(number);
  return status == -EINVAL ? 0 : status;
}

/// Not a device, a FIFO or a socket: who writes to one means what is behind it. (Of a directory rename() says so.)
[[nodiscard]] inline bool may_be_replaced(file_info const& old) noexcept {
  return old.is_regular() || old.is_symlink() || old.is_directory();
}

/// @param renamed  set where that has been done, whatever comes after  @returns an error, or 0
[[nodiscard]] inline int put_in_place(detail::file_calls& calls, char const* temporary,
                                      std::filesystem::path const& path, bool& renamed) {
  auto const directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
  int const status = uninterrupted([&] { return calls.rename(temporary, path.c_str()); });
  renamed = status == 0;
  return renamed ? sync_directory(calls, directory.c_str()) : status;
}

}  // namespace weft::inline v0::io
