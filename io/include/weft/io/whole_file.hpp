#pragma once
/// @file
/// Files as a whole, read and written by one call: one way to a thread of the blocking pool, and back.

#include <weft/io/file.hpp>

#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

/// All that is in it.
/// @param limit  in bytes  @throws std::system_error, as file::open() and file::read(); limit_overrun (with `ec`:
///   std::errc::message_size) if there is more
/// @par Cancellation
/// A cancellation point; cancelled while it reads, it stops after at most 1 MiB.
[[nodiscard]] std::string read_file(std::filesystem::path const& path,
                                    std::size_t limit = std::numeric_limits<std::size_t>::max());
[[nodiscard]] std::string read_file(std::filesystem::path const& path, std::size_t limit, std::error_code& ec);
[[nodiscard]] inline std::string read_file(std::filesystem::path const& path, std::error_code& ec) {
  return read_file(path, std::numeric_limits<std::size_t>::max(), ec);
}

/// Makes `contents` all that is in the file `path`, or fails and leaves it as it was: it is written to a temporary name
/// in the same directory, brought to the disk, and renamed. Whoever reads `path` meanwhile, or after a power failure,
/// finds either the old contents or the new. A file that was there keeps its permissions (but is another file: names
/// that it has elsewhere keep the old contents, and a symbolic link is replaced, not followed); else
/// `permissions` are the new one's. A device, a FIFO or a socket is not replaced: std::errc::invalid_argument.
/// @throws std::system_error  and then nothing is left of the temporary name. What fails when the new contents are in
///   place already, to bring the new name to the disk, is told, too.
/// @par Cancellation
/// A cancellation point. Cancelled means: either. Nothing is left of the temporary name.
void write_file(std::filesystem::path const& path, std::span<std::byte const> contents,
                std::filesystem::perms permissions = default_permissions);
void write_file(std::filesystem::path const& path, std::span<std::byte const> contents,
                std::filesystem::perms permissions, std::error_code& ec);
inline void write_file(std::filesystem::path const& path, std::span<std::byte const> contents, std::error_code& ec) {
  write_file(path, contents, default_permissions, ec);
}
inline void write_file(std::filesystem::path const& path, std::string_view contents,
                       std::filesystem::perms permissions = default_permissions) {
  write_file(path, std::as_bytes(std::span{contents}), permissions);
}
inline void write_file(std::filesystem::path const& path, std::string_view contents, std::filesystem::perms permissions,
                       std::error_code& ec) {
  write_file(path, std::as_bytes(std::span{contents}), permissions, ec);
}
inline void write_file(std::filesystem::path const& path, std::string_view contents, std::error_code& ec) {
  write_file(path, contents, default_permissions, ec);
}

}  // namespace weft::inline v0::io
