#pragma once
/// Stands in for a slow disk, as stand_in.hpp does for a network: what is opened, read and written while it lives takes
/// so much longer. It stands in front of the system's calls, where weft has a place for that for tests; nothing to
/// copy.

#include <weft/io/detail/file_calls.hpp>

#include <chrono>
#include <thread>

class slow_files final : public weft::detail::file_calls {
public:
  explicit slow_files(std::chrono::milliseconds delay) : delay_(delay) { (void)weft::detail::set_file_calls(this); }
  ~slow_files() override { (void)weft::detail::set_file_calls(nullptr); }

  int open(char const* path, int flags, unsigned permissions) noexcept override {
    std::this_thread::sleep_for(delay_);  // on a thread for calls that block
    return kernel_.open(path, flags, permissions);
  }
  ssize_t pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept override {
    std::this_thread::sleep_for(delay_);
    return kernel_.pread(fd, to, size, offset);
  }
  ssize_t pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept override {
    std::this_thread::sleep_for(delay_);
    return kernel_.pwrite(fd, from, size, offset);
  }

  // As it is.
  int close(int fd) noexcept override { return kernel_.close(fd); }
  ssize_t append(int fd, void const* from, std::size_t size) noexcept override {
    return kernel_.append(fd, from, size);
  }
  ssize_t sendfile(int to, int file, std::int64_t offset, std::size_t size) noexcept override {
    return kernel_.sendfile(to, file, offset, size);
  }
  int fsync(int fd) noexcept override { return kernel_.fsync(fd); }
  int fdatasync(int fd) noexcept override { return kernel_.fdatasync(fd); }
  int ftruncate(int fd, std::int64_t size) noexcept override { return kernel_.ftruncate(fd, size); }
  int fchmod(int fd, unsigned permissions) noexcept override { return kernel_.fchmod(fd, permissions); }
  int fstat(int fd, weft::io::file_info& about) noexcept override { return kernel_.fstat(fd, about); }
  int stat(char const* path, weft::io::file_info& about) noexcept override { return kernel_.stat(path, about); }
  int lstat(char const* path, weft::io::file_info& about) noexcept override { return kernel_.lstat(path, about); }
  int mkdir(char const* path, unsigned permissions) noexcept override { return kernel_.mkdir(path, permissions); }
  int rmdir(char const* path) noexcept override { return kernel_.rmdir(path); }
  int unlink(char const* path) noexcept override { return kernel_.unlink(path); }
  int rename(char const* from, char const* to) noexcept override { return kernel_.rename(from, to); }
  int list(char const* path, std::vector<weft::io::directory_entry>& to) noexcept override {
    return kernel_.list(path, to);
  }
  int openat(int directory, char const* name, int flags) noexcept override {
    return kernel_.openat(directory, name, flags);
  }
  int unlinkat(int directory, char const* name, int flags) noexcept override {
    return kernel_.unlinkat(directory, name, flags);
  }
  int fdlist(int fd, std::vector<weft::io::directory_entry>& to) noexcept override { return kernel_.fdlist(fd, to); }
  [[nodiscard]] std::uint64_t draw() noexcept override { return kernel_.draw(); }
  [[nodiscard]] file_calls& beneath() noexcept override { return kernel_; }

private:
  std::chrono::milliseconds const delay_;
  weft::detail::file_calls& kernel_ = weft::detail::kernel_file_calls();
};
