#pragma once
/// @file
/// Bytes that have been read, and not yet asked for.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace weft::inline v0::detail {

/// One piece of memory, [begin_, end_) of which is filled. There is none until it is needed.
class read_ahead {
public:
  /// @param size  of the memory at first, in bytes
  explicit read_ahead(std::size_t size) noexcept : size_(size == 0 ? 1 : size) {}
  read_ahead(read_ahead&& other) noexcept
      : memory_(std::move(other.memory_)),
        size_(other.size_),
        capacity_(std::exchange(other.capacity_, 0)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  read_ahead& operator=(read_ahead&& other) noexcept {
    read_ahead old{std::move(*this)};
    memory_ = std::move(other.memory_);
    size_ = other.size_;
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::string_view view() const noexcept {
    return {reinterpret_cast<char const*>(memory_.get()) + begin_, size()};
  }

  /// Moves as much as there is, at most all of `to`.  @returns bytes
  std::size_t take(std::span<std::byte> to) noexcept;
  /// Moves the first `count`, which must be there.  @throws std::bad_alloc  and then nothing has been moved
  [[nodiscard]] std::string take(std::size_t count);
  void consume(std::size_t count) noexcept;

  /// Room behind what there is, for at least one byte.  @throws std::bad_alloc
  [[nodiscard]] std::span<std::byte> room();
  /// So many bytes of that have been filled.
  void added(std::size_t count) noexcept { end_ += count; }

  /// Puts them before what there is.  @throws std::bad_alloc
  void put_back(std::span<std::byte const> bytes);

private:
  /// What is kept when it has been emptied; more than that was for one long line.
  static constexpr std::size_t most_kept = 65536;

  void move_to(std::size_t capacity, std::size_t begin);

  std::unique_ptr<std::byte[]> memory_;
  std::size_t size_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace weft::inline v0::detail
