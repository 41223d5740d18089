#pragma once
/// @file
/// The calls to the file system, behind one interface, as system_calls.hpp has those of sockets: tests make them fail,
/// do less than they were asked to, take long, or count them; a simulated file system takes their place.
///
/// Each does what the system call of its name does, and returns what that returns, or the negative error number where
/// it failed. They may block for long, and are made where that holds up nobody: on threads of the blocking pool.

#include <weft/io/file_info.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <sys/types.h>
#include <vector>

namespace weft::inline v0::detail {

class file_calls {
public:
  file_calls() = default;
  file_calls(file_calls const&) = delete;
  virtual ~file_calls() = default;

  /// With O_CLOEXEC; and with O_NONBLOCK, so that a FIFO without a peer does not hold up a thread for ever.
  virtual int open(char const* path, int flags, unsigned permissions) noexcept = 0;
  virtual int close(int fd) noexcept = 0;
  virtual ssize_t pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept = 0;
  virtual ssize_t pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept = 0;
  /// write(): of a file that is open for appending.
  virtual ssize_t append(int fd, void const* from, std::size_t size) noexcept = 0;
  /// sendfile(): from `file`, where it moves no position, to a socket or pipe.
  virtual ssize_t sendfile(int to, int file, std::int64_t offset, std::size_t size) noexcept = 0;
  /// Of a socket or pipe, for sendfile(); closed by close().
  virtual int dup(int fd) noexcept {
    (void)fd;
    return -ENOSYS;
  }
  virtual int fsync(int fd) noexcept = 0;
  virtual int fdatasync(int fd) noexcept = 0;
  virtual int ftruncate(int fd, std::int64_t size) noexcept = 0;
  virtual int fchmod(int fd, unsigned permissions) noexcept = 0;
  virtual int fstat(int fd, io::file_info& about) noexcept = 0;

  virtual int stat(char const* path, io::file_info& about) noexcept = 0;
  /// stat() of a symbolic link itself.
  virtual int lstat(char const* path, io::file_info& about) noexcept = 0;
  virtual int mkdir(char const* path, unsigned permissions) noexcept = 0;
  virtual int rmdir(char const* path) noexcept = 0;
  virtual int unlink(char const* path) noexcept = 0;
  virtual int rename(char const* from, char const* to) noexcept = 0;
  /// opendir(), readdir() and closedir(): appends all but `.` and `..`, in any order.
  virtual int list(char const* path, std::vector<io::directory_entry>& to) noexcept = 0;

  // In an open directory, or with AT_FDCWD: of names that nobody can lead elsewhere meanwhile, as they can a path.
  /// As open(); of what is there already.
  virtual int openat(int directory, char const* name, int flags) noexcept = 0;
  /// @param flags  0, or AT_REMOVEDIR
  virtual int unlinkat(int directory, char const* name, int flags) noexcept = 0;
  /// list() of an open directory: fdopendir(), readdir() and closedir(), on a number of its own; from the beginning.
  virtual int fdlist(int fd, std::vector<io::directory_entry>& to) noexcept = 0;

  /// A descriptor, for the reactor, from which what happens to `path` can be read as inotify's events.
  virtual int watch(char const* path, std::uint32_t events) noexcept {
    (void)path;
    (void)events;
    return -ENOSYS;
  }
  /// Whether the system has taken the watch from such a descriptor, because what was watched is gone; nothing: that
  /// cannot be told. May block.
  virtual std::optional<bool> watch_has_ended(int fd) noexcept {
    (void)fd;
    return false;
  }
  /// read() from that: whole events, as many as there is room for. Does not block.
  virtual ssize_t read_events(int fd, void* to, std::size_t size) noexcept {
    (void)fd;
    (void)to;
    (void)size;
    return -ENOSYS;
  }
  /// A number that is not likely to come again, for names.
  [[nodiscard]] virtual std::uint64_t draw() noexcept = 0;

  /// Those that these stand in front of, at the very bottom.
  [[nodiscard]] virtual file_calls& beneath() noexcept { return *this; }
};

/// Those of the kernel.
[[nodiscard]] file_calls& kernel_file_calls() noexcept;
/// Those that are made on behalf of the calling fiber: of its environment if that has its own, or else the kernel's; or
/// what was set in front of those. To be asked before a call goes to another thread.
[[nodiscard]] file_calls& current_file_calls() noexcept;
/// For tests: what current_file_calls() gives from now on, in place of what is beneath(); null: nothing.
/// @returns what was set before
file_calls* set_file_calls(file_calls* calls) noexcept;

}  // namespace weft::inline v0::detail
