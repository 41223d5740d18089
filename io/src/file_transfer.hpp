#pragma once
/// @file
/// Reading and writing a file to the end of what was asked for, on the thread where that may block. A transfer goes in
/// chunks: between two of them it looks whether it is still wanted, so that a cancellation waits for no more than one.

#include <weft/io/detail/file_calls.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>

namespace weft::inline v0::io {

/// In bytes. Large enough that the calls cost nothing beside the copying, and read in a millisecond by a slow disk.
inline constexpr std::size_t file_chunk = std::size_t{1} << 20U;
/// Of no use as a limit: everything.
inline constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

/// A call again, as often as it is interrupted.
template <class Call>
auto uninterrupted(Call call) noexcept -> decltype(call()) {
  for (;;) {
    auto const result = call();
    if (result != -EINTR) return result;
  }
}

/// What has been moved, and the negative error number of what stopped it, or 0.
struct transferred {
  std::size_t bytes = 0;
  int error = 0;
};

/// What a call or a transfer made of `ec`.
inline void set_error(std::error_code& ec, std::int64_t result) noexcept {
  if (result < 0) {
    ec.assign(static_cast<int>(-result), std::generic_category());
  } else {
    ec.clear();
  }
}

/// One call.
[[nodiscard]] transferred read_once(detail::file_calls& calls, int fd, std::span<std::byte> to,
                                    std::uint64_t offset) noexcept;
/// Until `to` is full, at the end of the file, or stopped.
[[nodiscard]] transferred read_fully(detail::file_calls& calls, int fd, std::span<std::byte> to, std::uint64_t offset,
                                     std::stop_token const& token) noexcept;
/// Where bytes go that are written.
inline constexpr std::uint64_t at_the_end = std::numeric_limits<std::uint64_t>::max();
/// One call.  @param offset  or at_the_end, of a file that is open for appending
[[nodiscard]] transferred write_once(detail::file_calls& calls, int fd, std::span<std::byte const> from,
                                     std::uint64_t offset) noexcept;
/// All, unless stopped.
[[nodiscard]] transferred write_fully(detail::file_calls& calls, int fd, std::span<std::byte const> from,
                                      std::uint64_t offset, std::stop_token const& token) noexcept;
/// Appends to `to` what comes from `offset` on. -EMSGSIZE: that is more than `limit` bytes.
/// @throws std::bad_alloc, std::length_error
[[nodiscard]] int read_rest(detail::file_calls& calls, int fd, std::string& to, std::uint64_t offset, std::size_t limit,
                            std::stop_token const& token);

/// `path`, for a call: one that is too long for the kernel or has a NUL in it is refused.  @returns 0, or the error
[[nodiscard]] int check_path(std::string const& path) noexcept;

}  // namespace weft::inline v0::io
