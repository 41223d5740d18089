#pragma once
/// @file
/// Writes of few bytes at a time, over anything that writes.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace weft::inline v0::io {

/// Writes some bytes, as stream does.
template <class T>
concept writable_stream = requires(T& to, std::span<std::byte const> buffer, std::error_code& ec) {
  { to.write_some(buffer, ec) } -> std::convertible_to<std::size_t>;
};

/// Gathers what is written until its buffer is full, or flush() is called. Its destructor does neither wait nor write:
/// what has not been flushed is dropped.
/// @par Thread safety
/// One fiber at a time.
/// @par Cancellation
/// All that may write are cancellation points where they do. A cancelled flush() keeps what has not been written, for
/// the next; of the bytes given to a write_all() that was cancelled or failed, some may have been taken.
template <writable_stream S>
class buffered_writer {
public:
  /// @param to  must outlive it  @param size  of the buffer, in bytes  @throws std::bad_alloc
  explicit buffered_writer(S& to, std::size_t size = 8192)
      : to_(&to), size_(std::max<std::size_t>(size, 1)), memory_(new std::byte[size_]) {}
  buffered_writer(buffered_writer&& other) noexcept
      : to_(other.to_),
        size_(other.size_),
        memory_(std::move(other.memory_)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  buffered_writer& operator=(buffered_writer&&) = delete;  // what it holds would be dropped
  ~buffered_writer() = default;

  /// Into the buffer, if there is room; else what is there is written first, and what is larger than all of it
  /// directly.
  /// @throws std::system_error
  void write_all(std::span<std::byte const> bytes) {
    std::error_code ec;
    (void)write_all(bytes, ec);
    if (ec) throw std::system_error(ec, "weft: writing to a stream");
  }
  /// @returns bytes taken: less than all only with `ec` set
  std::size_t write_all(std::span<std::byte const> bytes, std::error_code& ec) {
    ec.clear();
    if (bytes.size() > size_ - end_) {
      flush(ec);
      if (ec) return 0;
      if (bytes.size() >= size_) return write_through(bytes, ec);
    }
    if (!bytes.empty()) std::memcpy(memory_.get() + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
    return bytes.size();
  }
  void write_all(std::string_view text) { write_all(std::as_bytes(std::span{text})); }
  std::size_t write_all(std::string_view text, std::error_code& ec) {
    return write_all(std::as_bytes(std::span{text}), ec);
  }

  /// Writes what is in the buffer.  @throws std::system_error
  void flush() {
    std::error_code ec;
    flush(ec);
    if (ec) throw std::system_error(ec, "weft: writing to a stream");
  }
  void flush(std::error_code& ec) {
    ec.clear();
    while (begin_ < end_ && !ec) begin_ += to_->write_some(rest(), ec);
    if (begin_ == end_) begin_ = end_ = 0;
  }

  /// Bytes that have not been written yet.
  [[nodiscard]] std::size_t buffered() const noexcept { return end_ - begin_; }

private:
  [[nodiscard]] std::span<std::byte const> rest() const noexcept { return {memory_.get() + begin_, end_ - begin_}; }
  std::size_t write_through(std::span<std::byte const> bytes, std::error_code& ec) {
    std::size_t done = 0;
    while (done < bytes.size() && !ec) done += to_->write_some(bytes.subspan(done), ec);
    return done;
  }

  S* to_;
  std::size_t size_;
  std::unique_ptr<std::byte[]> memory_;
  std::size_t begin_ = 0;  // [begin_, end_) is to be written
  std::size_t end_ = 0;
};

}  // namespace weft::inline v0::io
