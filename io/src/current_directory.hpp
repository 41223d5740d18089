#pragma once
/// @file
/// An open directory that one goes down from and comes back up to.

#include "file_transfer.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <vector>

namespace weft::inline v0::io {

/// At first the process's. Only the one in which one is, is open.
class current_directory {
public:
  explicit current_directory(detail::file_calls& calls) noexcept : calls_(calls) {}
  current_directory(current_directory const&) = delete;
  ~current_directory() { close(); }

  /// For calls that look up a name in it.
  [[nodiscard]] int number() const noexcept { return number_; }

  /// Goes into `name`; a symbolic link is not followed.  @returns an error, or 0
  /// @throws std::bad_alloc  before it goes
  int enter(std::string const& name) {
    way_.emplace_back();
    int const status = go(name.c_str(), way_.back());
    if (status < 0) way_.pop_back();
    return status;
  }

  /// Goes back to where it was entered from. After an error only go_out() is left.
  /// @returns an error, or 0; -ESTALE: it was moved elsewhere
  int leave() noexcept {
    way_.pop_back();
    if (way_.empty()) {
      close();
      return 0;
    }
    identity above;
    int const status = go("..", above);
    if (status == -ENOENT) return -ESTALE;  // it was moved out of what of the file system is mounted here
    return status == 0 && above != way_.back() ? -ESTALE : status;
  }

  /// Back to the process's.
  void go_out() noexcept {
    close();
    way_.clear();
  }

private:
  struct identity {
    std::uint64_t device = 0;
    std::uint64_t number = 0;
    bool operator==(identity const&) const = default;
  };

  int go(char const* name, identity& found) noexcept {
    int const to = uninterrupted([&] { return calls_.openat(number_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW); });
    if (to < 0) return to;
    file_info about;
    int const status = uninterrupted([&] { return calls_.fstat(to, about); });
    if (status < 0) {
      (void)calls_.close(to);
      return status;
    }
    close();
    number_ = to;
    found = {about.device, about.number};
    return 0;
  }

  void close() noexcept {
    if (number_ != AT_FDCWD) (void)calls_.close(number_);
    number_ = AT_FDCWD;
  }

  detail::file_calls& calls_;
  int number_ = AT_FDCWD;
  std::vector<identity> way_;  // of those that were entered, and that it is in
};

}  // namespace weft::inline v0::io
