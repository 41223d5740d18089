#include <weft/io/detail/read_ahead.hpp>

#include <algorithm>
#include <cstring>

namespace weft::inline v0::detail {

std::size_t read_ahead::take(std::span<std::byte> to) noexcept {
  auto const count = std::min(to.size(), size());
  if (count != 0) std::memcpy(to.data(), memory_.get() + begin_, count);
  consume(count);
  return count;
}

std::string read_ahead::take(std::size_t count) {
  std::string taken{view().substr(0, count)};
  consume(count);
  return taken;
}

void read_ahead::consume(std::size_t count) noexcept {
  begin_ += std::min(count, size());
  if (begin_ != end_) return;
  begin_ = end_ = 0;
  if (capacity_ > std::max(size_, most_kept)) {
    memory_.reset();
    capacity_ = 0;
  }
}

std::span<std::byte> read_ahead::room() {
  if (end_ == capacity_) {
    // Moved only over as much as is free: so each byte is moved a bounded number of times.
    if (capacity_ != 0 && begin_ >= capacity_ - begin_) {
      std::memmove(memory_.get(), memory_.get() + begin_, size());
      end_ = size();
      begin_ = 0;
    } else {
      move_to(std::max(size_, 2 * size()), 0);
    }
  }
  return {memory_.get() + end_, capacity_ - end_};
}

void read_ahead::put_back(std::span<std::byte const> bytes) {
  if (bytes.empty()) return;
  if (begin_ < bytes.size()) move_to(std::max(size_, bytes.size() + size()), bytes.size());
  begin_ -= bytes.size();
  std::memcpy(memory_.get() + begin_, bytes.data(), bytes.size());
}

/// To new memory, in which the bytes begin at `begin`.
void read_ahead::move_to(std::size_t capacity, std::size_t begin) {
  std::unique_ptr<std::byte[]> larger{new std::byte[capacity]};
  auto const count = size();
  if (count != 0) std::memcpy(larger.get() + begin, memory_.get() + begin_, count);
  memory_ = std::move(larger);
  capacity_ = capacity;
  begin_ = begin;
  end_ = begin + count;
}

}  // namespace weft::inline v0::detail
