#pragma once
/// @file
/// From one stream or file to another.

#include <weft/io/buffered_reader.hpp>
#include <weft/io/buffered_writer.hpp>
#include <weft/io/file.hpp>
#include <weft/io/stream.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <system_error>

namespace weft::inline v0::io {

/// Sends what is in `from` from `offset` on, at most `count` bytes, by sendfile(2), which copies within the kernel, on
/// a thread of the blocking pool; or, where there is no such way, by reading and writing. The file's position stays.
/// @returns bytes sent: less than `count` only at the end of the file
/// @throws std::system_error, as file::pread() and stream::write_all()
/// @par Cancellation
/// A cancellation point; a cancellation leaves open how much has been sent. If `to` is closed meanwhile, its other side
/// learns of that when the piece that is under way, at most 256 KiB, has gone.
std::uint64_t send_file(stream& to, file& from, std::uint64_t offset = 0,
                        std::uint64_t count = std::numeric_limits<std::uint64_t>::max());
/// @returns bytes sent, with `ec` set too
std::uint64_t send_file(stream& to, file& from, std::uint64_t offset, std::uint64_t count, std::error_code& ec);

/// Copies all that `from` has, up to its end: a stream, a file from its position on, or anything that reads. From a
/// file to a stream by send_file().
/// @returns bytes copied, with `ec` set too
/// @par Cancellation
/// A cancellation point; a cancellation leaves open how much has been copied.
template <readable_stream From, writable_stream To>
std::uint64_t copy(From& from, To& to, std::error_code& ec) {
  if constexpr (std::derived_from<From, file> && std::derived_from<To, stream>) {
    auto const sent = send_file(to, from, from.tell(), std::numeric_limits<std::uint64_t>::max(), ec);
    from.seek(from.tell() + sent);
    return sent;
  } else {
    constexpr std::size_t size = 131'072;  // each way to a file costs as much as to copy some KiB
    auto const buffer = std::make_unique<std::byte[]>(size);
    std::uint64_t copied = 0;
    for (;;) {
      std::span<std::byte const> rest{buffer.get(), from.read_some(std::span{buffer.get(), size}, ec)};
      if (rest.empty()) return copied;
      while (!rest.empty() && !ec) {
        auto const written = to.write_some(rest, ec);
        copied += written;
        rest = rest.subspan(written);
      }
      if (ec) return copied;
    }
  }
}
/// @throws std::system_error
template <readable_stream From, writable_stream To>
std::uint64_t copy(From& from, To& to) {
  std::error_code ec;
  auto const copied = io::copy(from, to, ec);  // not the algorithm
  if (ec) throw std::system_error(ec, "weft: copying");
  return copied;
}

}  // namespace weft::inline v0::io
