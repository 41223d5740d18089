#pragma once
/// @file
/// Opening what has positions.

#include "error_text.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <stop_token>
#include <thread>

namespace weft::inline v0::io {

/// What has no positions, or is a directory.  @returns an error, or 0
[[nodiscard]] inline int refuse_type(std::filesystem::file_type type) noexcept {
  switch (type) {
    case std::filesystem::file_type::directory: return -EISDIR;
    case std::filesystem::file_type::fifo:
    case std::filesystem::file_type::socket: return -ESPIPE;
    default: return 0;
  }
}

/// On a thread that may block. Asks for the type first: to open a FIFO lets its other side go on, which then finds
/// nobody there. (Who opens it must look again, for it may have become another meanwhile.) A file on which another has
/// a lease is opened when that one has given it up, or the system has taken it, after `fs.lease-break-time`; that is
/// waited for up to a minute.
/// @returns the number, or the negative error number
[[nodiscard]] inline int open_with_positions(detail::file_calls& calls, char const* path, int flags,
                                             unsigned permissions, std::stop_token const& token) noexcept {
  using std::chrono::milliseconds;
  constexpr milliseconds longest_pause{50};
  milliseconds left{60'000};
  file_info about;
  int status = (flags & O_EXCL) == 0 ? uninterrupted([&] { return calls.stat(path, about); }) : -ENOENT;
  bool const is_there = status == 0;
  if (is_there) status = refuse_type(about.type);
  if (status < 0 && status != -ENOENT) return status;
  // Where system calls are made up, time is, too.
  bool const may_be_leased = is_there && about.is_regular() && &calls == &detail::kernel_file_calls();
  for (milliseconds pause{1};; pause = std::min(2 * pause, longest_pause)) {
    int const number = uninterrupted([&] { return calls.open(path, flags, permissions); });
    if (number != -EAGAIN || !may_be_leased || left <= pause || token.stop_requested()) return number;
    std::this_thread::sleep_for(pause);
    left -= pause;
  }
}

}  // namespace weft::inline v0::io
