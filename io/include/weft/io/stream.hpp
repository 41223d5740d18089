#pragma once
/// @file
/// Streams of bytes: what TCP and Unix connections, pipes and adopted descriptors have in common.

#include <weft/io/detail/open_descriptor.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

/// Which half of a connection.
enum class direction : unsigned char { receive, send, both };

/// Reads and writes bytes, in order. Like a blocking descriptor, but only the calling fiber waits.
///
/// Each operation comes twice: one throws std::system_error, the other sets `ec`, and clears it where all went well. To
/// be cancelled is no error: weft::cancelled leaves both.
/// @par Thread safety
/// One fiber may read while another writes, and close() may be called beside both. Of two that read at once each gets
/// some of the bytes.
/// @par Cancellation
/// All that read or write are cancellation points, even where they need not wait.
/// @par Errors
/// std::errc::bad_file_descriptor: it has been closed, by this side, before or meanwhile. Outside of a runtime an
/// operation that has to wait throws no_runtime.
class stream {
public:
  /// Not open: all operations fail as on a closed one.
  stream() noexcept = default;
  stream(stream&&) noexcept = default;
  stream& operator=(stream&&) noexcept = default;  ///< Closes what was there.
  /// As close().
  ~stream() = default;

  /// Reads at most `buffer.size()` bytes; waits until there is at least one.
  /// @returns bytes read; 0 only at the end of the stream or for an empty buffer
  std::size_t read_some(std::span<std::byte> buffer);
  std::size_t read_some(std::span<std::byte> buffer, std::error_code& ec);

  /// Fills `buffer`.
  /// @throws incomplete_read  at the end of the stream: what did come is in the front of `buffer`
  void read_exactly(std::span<std::byte> buffer);
  /// @returns bytes read: less than all only with `ec` set, or at the end of the stream
  std::size_t read_exactly(std::span<std::byte> buffer, std::error_code& ec);

  /// Writes at most all of `buffer`; waits until there is room for at least one byte.
  /// @returns bytes written; 0 only for an empty buffer
  std::size_t write_some(std::span<std::byte const> buffer);
  std::size_t write_some(std::span<std::byte const> buffer, std::error_code& ec);

  /// Writes all of `buffer`. A cancellation leaves open how much has been written.
  void write_all(std::span<std::byte const> buffer);
  /// @returns bytes written: less than all only with `ec` set
  std::size_t write_all(std::span<std::byte const> buffer, std::error_code& ec);
  void write_all(std::string_view text) { write_all(std::as_bytes(std::span{text})); }
  std::size_t write_all(std::string_view text, std::error_code& ec) {
    return write_all(std::as_bytes(std::span{text}), ec);
  }

  /// Ends the connection: whoever waits on it gets std::errc::bad_file_descriptor. What has been written is still sent.
  /// To close again does nothing. Never waits; any thread.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  /// -1: none. It stays this stream's.
  [[nodiscard]] int native_handle() const noexcept { return descriptor_.number(); }

protected:
  enum class carrier : bool { socket, other };
  stream(detail::open_descriptor descriptor, carrier of) noexcept : descriptor_(std::move(descriptor)), carrier_(of) {}

  [[nodiscard]] detail::open_descriptor& descriptor() noexcept { return descriptor_; }
  [[nodiscard]] detail::open_descriptor const& descriptor() const noexcept { return descriptor_; }

private:
  friend struct detail::descriptor_access;
  detail::open_descriptor descriptor_;
  carrier carrier_ = carrier::socket;
};

}  // namespace weft::inline v0::io
