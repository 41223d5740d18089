#pragma once
/// @file
/// What happens to a file, or in a directory. From inotify(7), by way of the reactor.

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/detail/read_ahead.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace weft::inline v0::detail {
class file_calls;
}

namespace weft::inline v0::io {

struct path_change {
  enum class kind : unsigned char {
    modified,    ///< it was written to, or cut
    attributes,  ///< permissions, times, the number of its names
    created,     ///< the name is there now, made or moved
    removed,     ///< the name is no longer there, removed or moved; without a name: what is watched itself
    lost,        ///< more happened than the system could keep: look for yourself
  };
  kind what{};
  std::string name;  ///< in the directory that is watched; empty: that itself, or the file that is watched
  friend bool operator==(path_change const&, path_change const&) = default;
};

/// What happens from when watch_path() made it. The system keeps what has not been asked for yet, within limits, and
/// leaves out what says the same twice in a row.
/// @par Thread safety
/// One fiber at a time; close() may be called beside next().
class path_watch {
public:
  /// Not open.
  path_watch() noexcept = default;
  path_watch(path_watch&&) noexcept = default;
  path_watch& operator=(path_watch&&) noexcept = default;  ///< Closes what was there.
  ~path_watch() = default;

  /// Waits until something has happened.
  /// @returns nothing: what was watched is gone, and nothing will happen any more
  /// @throws std::system_error  std::errc::bad_file_descriptor: it has been closed, before or meanwhile
  /// @par Cancellation
  /// A cancellation point, even where it need not wait. A cancelled call took nothing.
  [[nodiscard]] std::optional<path_change> next();
  [[nodiscard]] std::optional<path_change> next(std::error_code& ec);

  /// Whether next() need not wait for the descriptor: what on_readable(), as a case of select(), does not know.
  [[nodiscard]] bool has_more() const noexcept { return !read_.empty(); }
  /// Never waits; any thread.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  /// -1: none. It stays this object's.
  [[nodiscard]] int native_handle() const noexcept { return descriptor_.number(); }

private:
  friend struct detail::descriptor_access;
  friend path_watch watch_path(std::filesystem::path const& path, std::error_code& ec);
  path_watch(detail::open_descriptor descriptor, detail::file_calls& calls) noexcept
      : descriptor_(std::move(descriptor)), calls_(&calls) {}

  [[nodiscard]] bool ended_behind_what_is_lost();

  detail::open_descriptor descriptor_;
  detail::file_calls* calls_ = nullptr;
  detail::read_ahead read_{4096};  // whole events
  bool gone_ = false;
  bool lost_ = false;  // what came behind it has not all been read
};

/// `path` is a file or a directory that is there. A file is watched whatever its name becomes, and also when that is
/// given to another: to learn of that, watch its directory.
/// @throws std::system_error  std::errc::too_many_files_open: the system allows each user a certain number (often 128;
///   /proc/sys/fs/inotify/max_user_instances)
/// @par Cancellation
/// A cancellation point.
[[nodiscard]] path_watch watch_path(std::filesystem::path const& path);
[[nodiscard]] path_watch watch_path(std::filesystem::path const& path, std::error_code& ec);

}  // namespace weft::inline v0::io
