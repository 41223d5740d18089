#pragma once
/// @file
/// Reads of few bytes at a time, lines and the like, over anything that reads.

#include <weft/io/buffered_source.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <system_error>

namespace weft::inline v0::io {

/// Reads some bytes, and has read 0 at the end, as stream does.
template <class T>
concept readable_stream = requires(T& from, std::span<std::byte> buffer, std::error_code& ec) {
  { from.read_some(buffer, ec) } -> std::convertible_to<std::size_t>;
};

/// Reads from `S` as much as its buffer holds, and gives it in any portions. What is in the buffer is not given by the
/// stream itself.
/// @par Thread safety
/// One fiber at a time.
template <readable_stream S>
class buffered_reader : public buffered_source {
public:
  /// @param from  must outlive it  @param size  of the buffer, in bytes; it is allocated by the first read
  explicit buffered_reader(S& from, std::size_t size = 8192) noexcept : buffered_source(size, size), from_(&from) {}

protected:
  std::size_t fetch(std::span<std::byte> into, std::error_code& ec) override { return from_->read_some(into, ec); }

private:
  S* from_;
};

}  // namespace weft::inline v0::io
