#pragma once
/// @file
/// Reads by lines, up to delimiters, and whole: what streams and buffered_reader have in common. Bytes are read ahead
/// of what is asked for, and wait in a buffer; whatever cannot be given is still in it afterwards.

#include <weft/io/detail/read_ahead.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

/// @par Thread safety
/// One fiber at a time.
/// @par Cancellation
/// All that read are cancellation points, even where they need not wait. Cancelled means that no byte was taken: what
/// had come for the call is given by the next. An error takes none either, nor does limit_overrun.
/// @par Errors
/// The forms with `ec` give std::errc::message_size where the others throw limit_overrun, and what did come, without
/// an error, where the others throw incomplete_read.
class buffered_source {
public:
  /// In bytes: what a line may have if the caller does not say.
  static constexpr std::size_t default_limit = 65536;

  buffered_source(buffered_source&&) noexcept = default;
  buffered_source& operator=(buffered_source&&) noexcept = default;
  virtual ~buffered_source() = default;

  /// Reads at most `buffer.size()` bytes; waits until there is at least one.
  /// @returns bytes read; 0 only at the end of the stream or for an empty buffer
  std::size_t read_some(std::span<std::byte> buffer);
  std::size_t read_some(std::span<std::byte> buffer, std::error_code& ec);

  /// Fills `buffer`.
  /// @throws incomplete_read  at the end of the stream: what did come is in the front of `buffer`
  void read_exactly(std::span<std::byte> buffer);
  /// @returns bytes read: less than all only with `ec` set, or at the end of the stream
  std::size_t read_exactly(std::span<std::byte> buffer, std::error_code& ec);

  /// The next `count` bytes. Memory is taken as they come.
  /// @throws incomplete_read  which has what came before the end of the stream
  [[nodiscard]] std::string read_exactly(std::size_t count);
  [[nodiscard]] std::string read_exactly(std::size_t count, std::error_code& ec);

  /// All up to the next `delimiter`, and that.
  /// @param limit  of what is returned, in bytes
  /// @throws incomplete_read, limit_overrun; std::invalid_argument for an empty delimiter
  [[nodiscard]] std::string read_until(std::string_view delimiter, std::size_t limit = default_limit);
  /// @returns what does not end with `delimiter` only with `ec` set, or at the end of the stream
  [[nodiscard]] std::string read_until(std::string_view delimiter, std::size_t limit, std::error_code& ec);

  /// The next line, without the `\n` or `\r\n` that ends it. What comes after the last of them is a line too.
  /// @param limit  of the line with its end, in bytes
  /// @returns nothing at the end of the stream  @throws limit_overrun
  [[nodiscard]] std::optional<std::string> read_line(std::size_t limit = default_limit);
  [[nodiscard]] std::optional<std::string> read_line(std::size_t limit, std::error_code& ec);
  [[nodiscard]] std::optional<std::string> read_line(std::error_code& ec) { return read_line(default_limit, ec); }

  /// All that is left.
  /// @param limit  in bytes  @throws limit_overrun
  [[nodiscard]] std::string read_all(std::size_t limit);
  [[nodiscard]] std::string read_all(std::size_t limit, std::error_code& ec);

  // --- parsers that look at the bytes in place ---

  /// What has been read ahead. Valid until the next call.
  [[nodiscard]] std::string_view buffered() const noexcept { return ahead_.view(); }
  /// Reads more behind what is buffered; waits until there is at least one byte.  @returns false at the end of the
  /// stream
  bool fill();
  /// @returns false with `ec` set, or at the end of the stream
  bool fill(std::error_code& ec);
  /// Takes the first `count` bytes, or all, if there are not as many, out of what is buffered. Does not wait.
  void consume(std::size_t count) noexcept { ahead_.consume(count); }

protected:
  /// @param size  of the buffer, in bytes; it grows where a line needs more
  /// @param whole_above  reads of as many bytes go past the empty buffer
  buffered_source(std::size_t size, std::size_t whole_above) noexcept : ahead_(size), whole_above_(whole_above) {}

  /// Reads some from what is below; waits.  @returns 0 with `ec` set, or at the end of the stream
  virtual std::size_t fetch(std::span<std::byte> into, std::error_code& ec) = 0;

  /// Takes of what is buffered as much as there is. Does not wait.  @returns bytes
  std::size_t take(std::span<std::byte> to) noexcept { return ahead_.take(to); }
  /// What was taken comes again.  @throws std::bad_alloc
  void put_back(std::span<std::byte const> taken) { ahead_.put_back(taken); }

private:
  enum class looked : unsigned char { found, ended, too_long, failed };
  [[nodiscard]] looked look_for(std::string_view delimiter, std::size_t limit, std::size_t& length,
                                std::error_code& ec);

  detail::read_ahead ahead_;
  std::size_t whole_above_;
};

}  // namespace weft::inline v0::io
