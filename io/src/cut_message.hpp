#pragma once
/// @file
/// The front of scattered buffers, up to so many bytes.

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <sys/socket.h>
#include <sys/uio.h>

namespace weft::inline v0::testing {

/// At most the first 16 of them; empty ones in front are passed over.
class cut_vector {
public:
  cut_vector(iovec const* of, std::size_t count, std::size_t bytes) noexcept : data_(of), size_(count) {
    std::size_t sum = 0;
    for (auto const& part : std::span{of, count}) sum += part.iov_len;
    if (sum <= bytes) return;
    size_ = 0;
    for (auto const& part : std::span{of, count}) {
      if (bytes == 0 || size_ == front_.size()) break;
      if (part.iov_len == 0) continue;
      front_[size_] = {part.iov_base, std::min(part.iov_len, bytes)};
      bytes -= front_[size_++].iov_len;
    }
    data_ = front_.data();
  }
  cut_vector(cut_vector const&) = delete;

  [[nodiscard]] iovec const* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
  std::array<iovec, 16> front_{};
  iovec const* data_;
  std::size_t size_;
};

class cut_message {
public:
  cut_message(msghdr const& of, std::size_t bytes) noexcept : part_(of.msg_iov, of.msg_iovlen, bytes), message_(of) {
    message_.msg_iov = const_cast<iovec*>(part_.data());  // the type is the kernel's: it does not write there
    message_.msg_iovlen = part_.size();
  }
  [[nodiscard]] msghdr& message() noexcept { return message_; }
  /// What a receiver has been told, but for the buffers.
  void give_back(msghdr& to) const noexcept {
    auto* const buffers = to.msg_iov;
    auto const count = to.msg_iovlen;
    to = message_;
    to.msg_iov = buffers;
    to.msg_iovlen = count;
  }

private:
  cut_vector part_;
  msghdr message_;
};

}  // namespace weft::inline v0::testing
