#pragma once
/// @file
/// Stands in front of the calls to the file system.

#include "fault_state.hpp"

#include <weft/io/detail/file_calls.hpp>
#include <weft/runtime/testing.hpp>

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <utility>

namespace weft::inline v0::testing {

class file_faults final : public detail::file_calls {
public:
  explicit file_faults(fault_state& state) : state_(state), next_(detail::current_file_calls()) {
    before_ = detail::set_file_calls(this);
  }
  ~file_faults() override { detail::set_file_calls(before_); }

  int open(char const* path, int flags, unsigned permissions) noexcept override {
    return opened(made(io_call::open, [&] { return next_.open(path, flags, permissions); }));
  }
  int close(int fd) noexcept override {
    take_time();
    int const error = state_.strike(io_call::close);
    state_.open.erase(fd);  // before somebody else gets the number
    int const status = next_.close(fd);
    return error != 0 ? -error : status;
  }
  ssize_t pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept override {
    return made(io_call::pread, [&] { return next_.pread(fd, to, cut(size), offset); });
  }
  ssize_t pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept override {
    return made(io_call::pwrite, [&] { return next_.pwrite(fd, from, cut(size), offset); });
  }
  ssize_t append(int fd, void const* from, std::size_t size) noexcept override {
    return made(io_call::write, [&] { return next_.append(fd, from, cut(size)); });
  }
  ssize_t sendfile(int to, int file, std::int64_t offset, std::size_t size) noexcept override {
    return made(io_call::sendfile, [&] { return next_.sendfile(to, file, offset, cut(size)); });
  }
  int dup(int fd) noexcept override {
    return opened(state_.made(io_call::dup, [&] { return next_.dup(fd); }));
  }
  int fsync(int fd) noexcept override {
    return made(io_call::fsync, [&] { return next_.fsync(fd); });
  }
  int fdatasync(int fd) noexcept override {
    return made(io_call::fsync, [&] { return next_.fdatasync(fd); });
  }
  int ftruncate(int fd, std::int64_t size) noexcept override {
    return made(io_call::ftruncate, [&] { return next_.ftruncate(fd, size); });
  }
  int fchmod(int fd, unsigned permissions) noexcept override {
    return made(io_call::fchmod, [&] { return next_.fchmod(fd, permissions); });
  }
  int fstat(int fd, io::file_info& about) noexcept override {
    return made(io_call::stat, [&] { return next_.fstat(fd, about); });
  }
  int stat(char const* path, io::file_info& about) noexcept override {
    return made(io_call::stat, [&] { return next_.stat(path, about); });
  }
  int lstat(char const* path, io::file_info& about) noexcept override {
    return made(io_call::stat, [&] { return next_.lstat(path, about); });
  }
  int mkdir(char const* path, unsigned permissions) noexcept override {
    return made(io_call::mkdir, [&] { return next_.mkdir(path, permissions); });
  }
  int rmdir(char const* path) noexcept override {
    return made(io_call::rmdir, [&] { return next_.rmdir(path); });
  }
  int unlink(char const* path) noexcept override {
    return made(io_call::unlink, [&] { return next_.unlink(path); });
  }
  int rename(char const* from, char const* to) noexcept override {
    return made(io_call::rename, [&] { return next_.rename(from, to); });
  }
  int list(char const* path, std::vector<io::directory_entry>& to) noexcept override {
    return made(io_call::list, [&] { return next_.list(path, to); });
  }
  int openat(int directory, char const* name, int flags) noexcept override {
    return opened(made(io_call::open, [&] { return next_.openat(directory, name, flags); }));
  }
  int unlinkat(int directory, char const* name, int flags) noexcept override {
    auto const which = (flags & AT_REMOVEDIR) != 0 ? io_call::rmdir : io_call::unlink;
    return made(which, [&] { return next_.unlinkat(directory, name, flags); });
  }
  int fdlist(int fd, std::vector<io::directory_entry>& to) noexcept override {
    return made(io_call::list, [&] { return next_.fdlist(fd, to); });
  }
  int watch(char const* path, std::uint32_t events) noexcept override {
    return made(io_call::watch, [&] { return next_.watch(path, events); });
  }
  std::optional<bool> watch_has_ended(int fd) noexcept override { return next_.watch_has_ended(fd); }
  ssize_t read_events(int fd, void* to, std::size_t size) noexcept override {
    return state_.made(io_call::read, [&] { return next_.read_events(fd, to, size); });
  }
  [[nodiscard]] std::uint64_t draw() noexcept override { return next_.draw(); }
  [[nodiscard]] file_calls& beneath() noexcept override { return next_.beneath(); }

private:
  void take_time() const noexcept {
    if (auto const delay = state_.delay.load(std::memory_order_relaxed); delay != 0) {
      spend(std::chrono::nanoseconds{delay});
    }
  }
  template <class Call>
  auto made(io_call which, Call&& call) noexcept -> decltype(call()) {
    take_time();
    return state_.made(which, std::forward<Call>(call));
  }
  int opened(int number) noexcept {
    if (number >= 0) state_.open.insert(number);
    return number;
  }
  [[nodiscard]] std::size_t cut(std::size_t size) const noexcept {
    auto const limit = state_.limit.load(std::memory_order_relaxed);
    return limit == 0 ? size : std::min(size, limit);
  }

  fault_state& state_;
  detail::file_calls& next_;
  detail::file_calls* before_;
};

}  // namespace weft::inline v0::testing
