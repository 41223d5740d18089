#pragma once
/// @file
/// Streams of bytes: what TCP and Unix connections, pipes and adopted descriptors have in common.

#include <weft/io/buffered_source.hpp>
#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/detail/pieces.hpp>

#include <atomic>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace weft::inline v0::io {

struct pipe_ends;

/// Which half of a connection.
enum class direction : unsigned char { receive, send, both };

/// Reads and writes bytes, in order. Like a blocking descriptor, but only the calling fiber waits.
///
/// Each operation comes twice: one throws std::system_error, the other sets `ec`, and clears it where all went well. To
/// be cancelled is no error: weft::cancelled leaves both.
///
/// Reads by lines and the like read ahead; the stream gets a buffer with the first of them, and whatever reads later is
/// given first what is in there.
/// @par Thread safety
/// One fiber may read while another writes, and close() may be called beside both. Of two that read at once each gets
/// some of the bytes; with a buffer they take turns, one call after the other.
/// @par Cancellation
/// All that read or write are cancellation points, even where they need not wait. A read that was cancelled took no
/// byte: what had come for it is given by the next (unless another fiber reads by lines at that moment).
/// @par Errors
/// std::errc::bad_file_descriptor: it has been closed, by this side, before or meanwhile. Outside of a runtime an
/// operation that has to wait throws no_runtime. Of lines and the like, the forms with `ec` give
/// std::errc::message_size where the others throw limit_overrun, and what did come, without an error, where the others
/// throw incomplete_read.
class stream {
public:
  /// In bytes: what a line may have if the caller does not say.
  static constexpr std::size_t default_limit = buffered_source::default_limit;

  /// Not open: all operations fail as on a closed one.
  stream() noexcept = default;
  /// Takes over a descriptor of any kind that can be waited for: a socket, a pipe, a terminal; makes it non-blocking,
  /// for all who share it, and closed on exec.
  /// @throws std::system_error  of one that cannot be waited for, as a regular file, with
  ///   std::errc::operation_not_permitted; then it is still the caller's. std::bad_alloc: then it has been closed.
  [[nodiscard]] static stream adopt(int fd);
  [[nodiscard]] static stream adopt(int fd, std::error_code& ec);
  stream(stream&&) noexcept = default;
  stream& operator=(stream&&) noexcept = default;  ///< Closes what was there.
  /// As close().
  ~stream() = default;

  // --- reading ---

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
  /// @throws incomplete_read, which has what came; limit_overrun, and then read_some() still gives it all;
  ///   std::invalid_argument for an empty delimiter
  [[nodiscard]] std::string read_until(std::string_view delimiter, std::size_t limit = default_limit);
  /// @returns what does not end with `delimiter` only with `ec` set, or at the end of the stream
  [[nodiscard]] std::string read_until(std::string_view delimiter, std::size_t limit, std::error_code& ec);

  /// The next line, without the `\n` or `\r\n` that ends it. What comes after the last of them is a line too.
  /// @param limit  of the line with its end, in bytes
  /// @returns nothing at the end of the stream  @throws limit_overrun, and then read_some() still gives it all
  [[nodiscard]] std::optional<std::string> read_line(std::size_t limit = default_limit);
  [[nodiscard]] std::optional<std::string> read_line(std::size_t limit, std::error_code& ec);
  [[nodiscard]] std::optional<std::string> read_line(std::error_code& ec) { return read_line(default_limit, ec); }

  /// All until the end of the stream.
  /// @param limit  in bytes  @throws limit_overrun, and then read_some() still gives it all
  [[nodiscard]] std::string read_all(std::size_t limit);
  [[nodiscard]] std::string read_all(std::size_t limit, std::error_code& ec);

  /// Bytes that have been read ahead: no wait for the descriptor's readiness knows of them. By who reads.
  [[nodiscard]] std::size_t buffered() const noexcept;

  // --- writing ---

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

  // --- several buffers in one system call: a range of spans, of strings (to write), or a buffer sequence of Asio ---

  /// As read_some(), into one buffer after the other.
  template <detail::buffers_to_fill Buffers>
  std::size_t read_some(Buffers const& buffers) {
    return read_pieces(detail::pieces<std::byte>{buffers}.all());
  }
  /// With boost::system::error_code as Asio's SyncReadStream: the end is the error boost::asio::error::eof.
  template <detail::buffers_to_fill Buffers, class ErrorCode>
  std::size_t read_some(Buffers const& buffers, ErrorCode& ec) {
    detail::pieces<std::byte> const some{buffers};
    if constexpr (std::is_same_v<ErrorCode, std::error_code>) {
      return read_pieces(some.all(), ec);
    } else {
      std::error_code own;
      auto const done = read_pieces(some.all(), own);
      detail::foreign_error<ErrorCode>::set(ec, own, done == 0 && !some.all().empty());
      return done;
    }
  }

  /// As write_some(), from one buffer after the other.
  template <detail::buffers_to_send Buffers>
  std::size_t write_some(Buffers const& buffers) {
    return write_pieces(detail::pieces<std::byte const>{buffers}.all());
  }
  template <detail::buffers_to_send Buffers, class ErrorCode>
  std::size_t write_some(Buffers const& buffers, ErrorCode& ec) {
    detail::pieces<std::byte const> const some{buffers};
    if constexpr (std::is_same_v<ErrorCode, std::error_code>) {
      return write_pieces(some.all(), ec);
    } else {
      std::error_code own;
      auto const done = write_pieces(some.all(), own);
      detail::foreign_error<ErrorCode>::set(ec, own, false);
      return done;
    }
  }

  /// As write_all(), from one buffer after the other.
  template <detail::buffers_to_send Buffers>
  void write_all(Buffers const& buffers) {
    std::size_t done = 0;
    do done += write_pieces(detail::pieces<std::byte const>{buffers, done}.all());
    while (!detail::pieces<std::byte const>{buffers, done}.all().empty());
  }
  template <detail::buffers_to_send Buffers>
  std::size_t write_all(Buffers const& buffers, std::error_code& ec) {
    std::size_t done = 0;
    do done += write_pieces(detail::pieces<std::byte const>{buffers, done}.all(), ec);
    while (!ec && !detail::pieces<std::byte const>{buffers, done}.all().empty());
    return done;
  }

  /// Ends the connection: whoever waits on it gets std::errc::bad_file_descriptor, and what was read ahead is lost.
  /// What has been written is still sent. To close again does nothing. Never waits; any thread.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  /// -1: none. It stays this stream's.
  [[nodiscard]] int native_handle() const noexcept { return descriptor_.number(); }

  /// For layers on Asio's streams that ask for it, with <weft/io/asio.hpp>: an executor that runs nothing.
  template <class Dependent = void>
  [[nodiscard]] auto get_executor() const {
    return detail::foreign_executor<Dependent>::get();
  }

protected:
  enum class carrier : bool { socket, other };
  stream(detail::open_descriptor descriptor, carrier of) noexcept : descriptor_(std::move(descriptor)), carrier_(of) {}

  [[nodiscard]] detail::open_descriptor& descriptor() noexcept { return descriptor_; }
  [[nodiscard]] detail::open_descriptor const& descriptor() const noexcept { return descriptor_; }

private:
  friend struct detail::descriptor_access;
  friend pipe_ends pipe(std::error_code& ec);

  class look_ahead;
  class turn;
  /// Null until somebody first reads ahead; then the same until the stream goes.
  class look_ahead_slot {
  public:
    look_ahead_slot() noexcept = default;
    // relaxed: nobody uses a stream that is moved.
    look_ahead_slot(look_ahead_slot&& other) noexcept : at_(other.at_.exchange(nullptr, std::memory_order_relaxed)) {}
    look_ahead_slot& operator=(look_ahead_slot&& other) noexcept {
      if (this != &other) {
        reset();
        at_.store(other.at_.exchange(nullptr, std::memory_order_relaxed), std::memory_order_relaxed);
      }
      return *this;
    }
    ~look_ahead_slot() { reset(); }

    /// Null: there is none.
    // acquire: pairs with get_or_make().
    [[nodiscard]] look_ahead* get() const noexcept { return at_.load(std::memory_order_acquire); }
    /// @throws std::bad_alloc
    [[nodiscard]] look_ahead& get_or_make();

  private:
    void reset() noexcept {
      if (at_.load(std::memory_order_relaxed) != nullptr) drop();
    }
    void drop() noexcept;
    std::atomic<look_ahead*> at_{nullptr};
  };

  std::size_t receive(std::span<std::byte> buffer, std::error_code& ec);
  std::size_t receive_in_line(std::span<std::byte> buffer, std::error_code& ec);
  std::size_t send_in_line(std::span<std::byte const> buffer, std::error_code& ec);
  std::size_t receive(std::span<std::span<std::byte> const> to, std::error_code& ec);
  void give_back(std::span<std::byte const> taken);
  std::size_t read_pieces(std::span<std::span<std::byte> const> to);
  std::size_t read_pieces(std::span<std::span<std::byte> const> to, std::error_code& ec);
  std::size_t write_pieces(std::span<std::span<std::byte const> const> from);
  std::size_t write_pieces(std::span<std::span<std::byte const> const> from, std::error_code& ec);

  detail::open_descriptor descriptor_;
  look_ahead_slot ahead_;
  carrier carrier_ = carrier::socket;
};

}  // namespace weft::inline v0::io
