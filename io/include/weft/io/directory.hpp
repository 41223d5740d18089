#pragma once
/// @file
/// Directories, and names in them. Names and meanings are those of std::filesystem, but only the calling fiber waits.
/// Call them as io::remove() and the like: without that, a path finds std::filesystem's, and a string the C library's.
///
/// Each comes twice: one throws std::system_error, with the path in its text, the other sets `ec`, and clears it where
/// all went well.
/// @par Cancellation
/// All are cancellation points. What is under way on its thread is waited for; of remove_all() some may be done then.

#include <weft/io/file_info.hpp>
#include <weft/runtime/generator.hpp>

#include <cstddef>
#include <filesystem>
#include <system_error>
#include <vector>

namespace weft::inline v0::io {

/// For a directory that is made, before the process's mask takes some away.
inline constexpr std::filesystem::perms default_directory_permissions{0777};

/// @returns whether it was made; false: it was there already, as a directory
bool create_directory(std::filesystem::path const& path);
bool create_directory(std::filesystem::path const& path, std::error_code& ec);
/// The same with all above it that are not there.
bool create_directories(std::filesystem::path const& path);
bool create_directories(std::filesystem::path const& path, std::error_code& ec);

/// What is in it, in the order of the names; without `.` and `..`.
[[nodiscard]] std::vector<directory_entry> list_directory(std::filesystem::path const& path);
[[nodiscard]] std::vector<directory_entry> list_directory(std::filesystem::path const& path, std::error_code& ec);

struct walked_entry {
  std::filesystem::path path;  ///< begins with that of the walk
  std::filesystem::file_type type = std::filesystem::file_type::none;
  std::size_t depth = 0;  ///< 0: in the directory itself
};
/// All that is below it: each directory before what is in that, else in the order of the names. Symbolic links are not
/// followed. A directory is read when the walk comes to it; one that is gone by then is passed over.
/// @throws std::system_error  from begin() and `++`
[[nodiscard]] generator<walked_entry> walk_directory(std::filesystem::path path);

/// A file, or an empty directory; of a symbolic link that itself.  @returns false: it was not there
bool remove(std::filesystem::path const& path);
bool remove(std::filesystem::path const& path, std::error_code& ec);
/// With all that is in it. Symbolic links are not followed, neither `path` itself nor what others put in the place of a
/// directory at or below it meanwhile: what is behind them stays. What others put there meanwhile may be left, with an
/// error. A `path` that ends in `.` or `..` is refused with invalid_argument, and nothing goes.
/// Has two descriptors at most, at any depth.
/// @returns how many files and directories went
std::size_t remove_all(std::filesystem::path const& path);
std::size_t remove_all(std::filesystem::path const& path, std::error_code& ec);
/// A file takes the place of a file that is there, and a directory that of an empty one, at one stroke.
void rename(std::filesystem::path const& from, std::filesystem::path const& to);
void rename(std::filesystem::path const& from, std::filesystem::path const& to, std::error_code& ec);

[[nodiscard]] bool exists(std::filesystem::path const& path);
[[nodiscard]] bool exists(std::filesystem::path const& path, std::error_code& ec);
/// Of a symbolic link it tells of what that leads to; link_stat() of the link itself.
[[nodiscard]] file_info stat(std::filesystem::path const& path);
[[nodiscard]] file_info stat(std::filesystem::path const& path, std::error_code& ec);
[[nodiscard]] file_info link_stat(std::filesystem::path const& path);
[[nodiscard]] file_info link_stat(std::filesystem::path const& path, std::error_code& ec);

}  // namespace weft::inline v0::io
