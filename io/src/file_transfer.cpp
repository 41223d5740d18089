#include "file_transfer.hpp"

#include <algorithm>
#include <cerrno>

namespace weft::inline v0::io {

namespace {

constexpr auto last_offset = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

transferred outcome_of(ssize_t result) noexcept {
  return result < 0 ? transferred{0, static_cast<int>(result)} : transferred{static_cast<std::size_t>(result), 0};
}

/// Repeats `once(rest)` until that does nothing more.
template <class Bytes, class Once>
transferred go_on(Bytes bytes, std::stop_token const& token, Once once) noexcept {
  transferred all;
  while (all.bytes < bytes.size() && !token.stop_requested()) {
    auto const some = once(bytes.subspan(all.bytes), all.bytes);
    all.bytes += some.bytes;
    all.error = some.error;
    if (some.bytes == 0) break;
  }
  return all;
}

}  // namespace

transferred read_once(detail::file_calls& calls, int fd, std::span<std::byte> to, std::uint64_t offset) noexcept {
  if (to.empty()) return {};
  if (offset > last_offset) return {0, -EINVAL};
  return outcome_of(uninterrupted(
      [&] { return calls.pread(fd, to.data(), std::min(to.size(), file_chunk), static_cast<std::int64_t>(offset)); }));
}

transferred read_fully(detail::file_calls& calls, int fd, std::span<std::byte> to, std::uint64_t offset,
                       std::stop_token const& token) noexcept {
  return go_on(to, token,
               [&](std::span<std::byte> rest, std::size_t done) { return read_once(calls, fd, rest, offset + done); });
}

transferred write_once(detail::file_calls& calls, int fd, std::span<std::byte const> from,
                       std::uint64_t offset) noexcept {
  if (from.empty()) return {};
  if (offset > last_offset && offset != at_the_end) return {0, -EINVAL};
  auto const some = outcome_of(uninterrupted([&] {
    auto const size = std::min(from.size(), file_chunk);
    return offset == at_the_end ? calls.append(fd, from.data(), size)
                                : calls.pwrite(fd, from.data(), size, static_cast<std::int64_t>(offset));
  }));
  // Nothing written and no error: nobody knows what to wait for.
  return some.bytes == 0 && some.error == 0 ? transferred{0, -EIO} : some;
}

transferred write_fully(detail::file_calls& calls, int fd, std::span<std::byte const> from, std::uint64_t offset,
                        std::stop_token const& token) noexcept {
  return go_on(from, token, [&](std::span<std::byte const> rest, std::size_t done) {
    return write_once(calls, fd, rest, offset == at_the_end ? at_the_end : offset + done);
  });
}

int read_rest(detail::file_calls& calls, int fd, std::string& to, std::uint64_t offset, std::size_t limit,
              std::stop_token const& token) {
  constexpr std::size_t least = 4096;  // of what has no size, as in /proc
  file_info about;
  if (int const status = uninterrupted([&] { return calls.fstat(fd, about); }); status < 0) return status;
  auto const before = to.size();
  auto const expected = about.size > offset ? static_cast<std::size_t>(about.size - offset) : 0;
  // One more than there should be, so that the end is seen by the same call. Only that tells whether there is more than
  // the limit: the size is a hint, and in /sys all files have that of a page.
  std::size_t room = std::min({expected, limit, no_limit - 1}) + 1;
  if (expected == 0) room = least;
  transferred last;
  std::size_t done = 0;
  do {
    to.resize(before + done + room);
    last = read_fully(calls, fd, std::as_writable_bytes(std::span{to}).subspan(before + done), offset + done, token);
    done += last.bytes;
    to.resize(before + done);
    if (done > limit) return -EMSGSIZE;
    if (last.bytes < room) return last.error;
    room = std::max(least, done);  // it has grown
  } while (!token.stop_requested());
  return 0;
}

int check_path(std::string const& path) noexcept { return path.find('\0') == std::string::npos ? 0 : -EINVAL; }

}  // namespace weft::inline v0::io
