#pragma once
/// @file
/// What a file system says of a file.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace weft::inline v0::io {

struct file_info {
  std::filesystem::file_type type = std::filesystem::file_type::none;
  std::filesystem::perms permissions = std::filesystem::perms::unknown;
  std::uint64_t size = 0;  ///< in bytes
  std::chrono::system_clock::time_point modified{};
  /// Which file it is: two names with the same `device` and `number` are names of one file.
  std::uint64_t device = 0;
  std::uint64_t number = 0;
  std::uint64_t links = 0;  ///< names that it has; 0: it was removed, and is only open yet

  [[nodiscard]] bool is_regular() const noexcept { return type == std::filesystem::file_type::regular; }
  [[nodiscard]] bool is_directory() const noexcept { return type == std::filesystem::file_type::directory; }
  [[nodiscard]] bool is_symlink() const noexcept { return type == std::filesystem::file_type::symlink; }
};

/// A name in a directory.
struct directory_entry {
  std::string name;  ///< without the directory's path
  std::filesystem::file_type type = std::filesystem::file_type::none;

  [[nodiscard]] bool is_directory() const noexcept { return type == std::filesystem::file_type::directory; }
  friend bool operator==(directory_entry const&, directory_entry const&) = default;
};

}  // namespace weft::inline v0::io
