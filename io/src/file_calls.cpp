#include <weft/io/detail/file_calls.hpp>

#include "kernel_result.hpp"

#include <weft/runtime/environment.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <new>
#include <string_view>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft::inline v0::detail {

namespace {

namespace fs = std::filesystem;

fs::file_type type_of_mode(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG: return fs::file_type::regular;
    case S_IFDIR: return fs::file_type::directory;
    case S_IFLNK: return fs::file_type::symlink;
    case S_IFBLK: return fs::file_type::block;
    case S_IFCHR: return fs::file_type::character;
    case S_IFIFO: return fs::file_type::fifo;
    case S_IFSOCK: return fs::file_type::socket;
    default: return fs::file_type::unknown;
  }
}

/// @returns 0
int tell_of(struct stat const& from, io::file_info& about) noexcept {
  about.type = type_of_mode(from.st_mode);
  about.permissions = static_cast<fs::perms>(from.st_mode & 07777U);
  about.size = static_cast<std::uint64_t>(from.st_size);
  about.modified = std::chrono::system_clock::time_point{
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::seconds{from.st_mtim.tv_sec} +
                                                                      std::chrono::nanoseconds{from.st_mtim.tv_nsec})};
  about.device = from.st_dev;
  about.number = from.st_ino;
  about.links = from.st_nlink;
  return 0;
}

/// One that is removed meanwhile has no type.
fs::file_type type_of_entry(DIR* directory, dirent const& found) noexcept {
  if (found.d_type != DT_UNKNOWN) return type_of_mode(static_cast<mode_t>(DTTOIF(found.d_type)));
  struct stat about{};
  int const status = ::fstatat(::dirfd(directory), found.d_name, &about, AT_SYMLINK_NOFOLLOW);
  return status == 0 ? type_of_mode(about.st_mode) : fs::file_type::none;
}

int append_all(DIR* directory, std::vector<io::directory_entry>& to) {
  for (;;) {
    errno = 0;
    dirent const* const found = ::readdir(directory);
    if (found == nullptr) return -errno;
    if (std::strcmp(found->d_name, ".") == 0 || std::strcmp(found->d_name, "..") == 0) continue;
    to.push_back({found->d_name, type_of_entry(directory, *found)});
  }
}

/// And closes it.
int list_all(DIR* directory, std::vector<io::directory_entry>& to) noexcept {
  int status = -ENOMEM;
  try {
    status = append_all(directory, to);
  } catch (std::bad_alloc const&) {  // NOLINT: status says so
  }
  ::closedir(directory);
  return status;
}

class kernel_files final : public file_calls {
public:
  int open(char const* path, int flags, unsigned permissions) noexcept override {
    return or_error(::open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, static_cast<mode_t>(permissions)));
  }
  // As system_calls::close().
  int close(int fd) noexcept override { return or_error(::close(fd)); }
  ssize_t pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept override {
    return or_error(::pread(fd, to, size, offset));
  }
  ssize_t pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept override {
    return or_error(::pwrite(fd, from, size, offset));
  }
  ssize_t append(int fd, void const* from, std::size_t size) noexcept override {
    return or_error(::write(fd, from, size));
  }
  ssize_t sendfile(int to, int file, std::int64_t offset, std::size_t size) noexcept override {
    off_t at = offset;
    return without_sigpipe(size, [&] { return ::sendfile(to, file, &at, size); });
  }
  int dup(int fd) noexcept override { return or_error(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }
  int fsync(int fd) noexcept override { return or_error(::fsync(fd)); }
  int fdatasync(int fd) noexcept override { return or_error(::fdatasync(fd)); }
  int ftruncate(int fd, std::int64_t size) noexcept override { return or_error(::ftruncate(fd, size)); }
  int fchmod(int fd, unsigned permissions) noexcept override {
    return or_error(::fchmod(fd, static_cast<mode_t>(permissions)));
  }
  int fstat(int fd, io::file_info& about) noexcept override {
    struct stat found{};
    int const status = or_error(::fstat(fd, &found));
    return status < 0 ? status : tell_of(found, about);
  }

  int stat(char const* path, io::file_info& about) noexcept override {
    struct stat found{};
    int const status = or_error(::stat(path, &found));
    return status < 0 ? status : tell_of(found, about);
  }
  int lstat(char const* path, io::file_info& about) noexcept override {
    struct stat found{};
    int const status = or_error(::lstat(path, &found));
    return status < 0 ? status : tell_of(found, about);
  }
  int mkdir(char const* path, unsigned permissions) noexcept override {
    return or_error(::mkdir(path, static_cast<mode_t>(permissions)));
  }
  int rmdir(char const* path) noexcept override { return or_error(::rmdir(path)); }
  int unlink(char const* path) noexcept override { return or_error(::unlink(path)); }
  int rename(char const* from, char const* to) noexcept override { return or_error(::rename(from, to)); }
  int list(char const* path, std::vector<io::directory_entry>& to) noexcept override {
    DIR* const directory = ::opendir(path);
    return directory == nullptr ? -errno : list_all(directory, to);
  }

  int openat(int directory, char const* name, int flags) noexcept override {
    return or_error(::openat(directory, name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  }
  int unlinkat(int directory, char const* name, int flags) noexcept override {
    return or_error(::unlinkat(directory, name, flags));
  }
  int fdlist(int fd, std::vector<io::directory_entry>& to) noexcept override {
    int const own = dup(fd);
    if (own < 0) return own;
    DIR* const directory = ::fdopendir(own);
    if (directory == nullptr) {
      int const status = -errno;
      ::close(own);
      return status;
    }
    ::rewinddir(directory);  // the two have one position
    return list_all(directory, to);
  }

  int watch(char const* path, std::uint32_t events) noexcept override {
    int const fd = or_error(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (fd < 0) return fd;
    int const status = or_error(::inotify_add_watch(fd, path, events));
    if (status >= 0) return fd;
    ::close(fd);
    return status;
  }
  std::optional<bool> watch_has_ended(int fd) noexcept override {
    std::array<char, 64> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", fd);
    int const about = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    if (about < 0) return std::nullopt;
    std::array<char, 1024> text{};  // some lines that all descriptors have, and one for the watch
    auto const size = ::read(about, text.data(), text.size());
    ::close(about);
    if (size <= 0) return std::nullopt;
    return std::string_view{text.data(), static_cast<std::size_t>(size)}.find("inotify wd:") == std::string_view::npos;
  }
  ssize_t read_events(int fd, void* to, std::size_t size) noexcept override { return or_error(::read(fd, to, size)); }
  std::uint64_t draw() noexcept override {
    // The counter alone tells two calls of one process apart, should there be no random bytes yet.
    static std::atomic<std::uint64_t> counter{0};
    std::uint64_t drawn = 0;
    (void)::getrandom(&drawn, sizeof drawn, GRND_NONBLOCK);
    return drawn + counter.fetch_add(1, std::memory_order_relaxed);
  }
};

std::atomic<file_calls*> file_calls_set{nullptr};

}  // namespace

file_calls& kernel_file_calls() noexcept {
  static kernel_files calls;
  return calls;
}

file_calls& current_file_calls() noexcept {
  environment* const world = current_environment();
  file_calls* const own = world != nullptr ? world->files() : nullptr;
  file_calls& at_bottom = own != nullptr ? *own : kernel_file_calls();
  // acquire: pairs with set_file_calls().
  file_calls* const set = file_calls_set.load(std::memory_order_acquire);
  return set != nullptr && &set->beneath() == &at_bottom ? *set : at_bottom;
}

// release: publishes the object to current_file_calls().
file_calls* set_file_calls(file_calls* calls) noexcept {
  return file_calls_set.exchange(calls, std::memory_order_acq_rel);
}

}  // namespace weft::inline v0::detail
