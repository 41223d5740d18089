#pragma once
/// @file
/// Files and directories that go when they are no longer needed.

#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>

#include <filesystem>
#include <system_error>
#include <utility>

namespace weft::inline v0::detail {
class file_calls;
}

namespace weft::inline v0::io {

/// Of what only its owner may see.
inline constexpr std::filesystem::perms private_file{0600};

/// A file with a name of its own, which is removed with it: whatever happens meanwhile, but for the end of the process.
/// To write a file bit by bit, so that it is there whole or not at all:
///
///     auto out = io::temp_file::make(target.parent_path(), io::default_permissions);
///     io::copy(body, out);
///     out.rename_to(target);
/// What is moved out of it as a `file` alone can be used; the name goes with the temp_file all the same.
/// @par Cancellation
/// As of file. The destructor waits, whether or not the caller is cancelled.
class temp_file : public file {
public:
  /// None.
  temp_file() noexcept = default;
  /// In `directory`; an empty path stands for that of TMPDIR, or /tmp.
  /// @throws std::system_error
  [[nodiscard]] static temp_file make(std::filesystem::path const& directory = {},
                                      std::filesystem::perms permissions = private_file);
  [[nodiscard]] static temp_file make(std::filesystem::path const& directory, std::filesystem::perms permissions,
                                      std::error_code& ec);
  [[nodiscard]] static temp_file make(std::filesystem::path const& directory, std::error_code& ec) {
    return make(directory, private_file, ec);
  }
  temp_file(temp_file&& other) noexcept
      : file(std::move(other)),
        path_(std::exchange(other.path_, {})),
        calls_(std::exchange(other.calls_, nullptr)),
        maker_(other.maker_) {}
  temp_file& operator=(temp_file&& other) noexcept;
  ~temp_file();

  /// Brings what was written to the disk, closes it, and makes it the file `path`, on the same file system, in place of
  /// what was there: from then on it stays. As write_file() does, and refusing what that refuses.
  /// @throws std::system_error  and then it is temporary still, if not open perhaps
  void rename_to(std::filesystem::path const& path);
  void rename_to(std::filesystem::path const& path, std::error_code& ec);

private:
  temp_file(file opened, std::filesystem::path path, detail::file_calls& calls) noexcept;
  [[nodiscard]] bool has_its_file() const noexcept;
  void drop() noexcept;

  std::filesystem::path path_;
  detail::file_calls* calls_ = nullptr;  // null: there is no name to remove
  int maker_ = 0;                        // the process that made it: a child forked from it must not remove it
};

/// A directory with a name of its own, which is removed with all that is in it.
class temp_directory {
public:
  /// None.
  temp_directory() noexcept = default;
  /// In `parent`; an empty path stands for that of TMPDIR, or /tmp. Only its owner may see it.
  /// @throws std::system_error
  [[nodiscard]] static temp_directory make(std::filesystem::path const& parent = {});
  [[nodiscard]] static temp_directory make(std::filesystem::path const& parent, std::error_code& ec);
  temp_directory(temp_directory&& other) noexcept;
  temp_directory& operator=(temp_directory&& other) noexcept;
  /// Waits, whether or not the caller is cancelled. What cannot be removed stays.
  ~temp_directory() { drop(); }

  /// Empty: none.
  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::filesystem::path const& name) const { return path_ / name; }

private:
  void drop() noexcept;

  std::filesystem::path path_;
  detail::file_calls* calls_ = nullptr;  // null: none
  int maker_ = 0;                        // as in temp_file
};

}  // namespace weft::inline v0::io
