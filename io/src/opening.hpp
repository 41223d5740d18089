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
/// a lease is opened when that one has given it up, or the system has taken it, after `fs.lease-break-time` at most.
/// @returns the number, or the negative error number
[[nodiscard]] inline int open_with_positions(detail::file_calls& calls, char const* path, int flags,
                                             unsigned permissions, std::stop_token const& token) noexcept {
  constexpr std::chrono::milliseconds longest_pause{50};
  file_info about;
  if (uninterrupted([&] { return calls.stat(path, about); }) == 0) {
    if (int const status = refuse_type(about.type); status < 0) return status;
  }
  for (std::chrono::milliseconds pause{1};; pause = std::min(2 * pause, longest_pause)) {
    int const number = uninterrupted([&] { return calls.open(path, flags, permissions); });
    if (number != -EAGAIN || token.stop_requested()) return number;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace weft::inline v0::io
