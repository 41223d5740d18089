#pragma once
/// @file
/// Text put together inside a signal handler: no memory is allocated, no lock taken.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <unistd.h>

namespace weft::inline v0::detail {

class signal_text {
public:
  signal_text& operator<<(char const* text) noexcept {
    while (*text != '\0') put(*text++);
    return *this;
  }
  signal_text& operator<<(std::uint64_t number) noexcept {
    std::array<char, 20> digits{};
    std::size_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    while (count > 0) put(digits[--count]);
    return *this;
  }

  void write_to(int descriptor) const noexcept {
    for (std::size_t done = 0; done < size_;) {
      auto const n = ::write(descriptor, text_.data() + done, size_ - done);
      if (n < 0 && errno != EINTR) return;
      if (n > 0) done += static_cast<std::size_t>(n);
    }
  }

private:
  void put(char c) noexcept {
    if (size_ < text_.size()) text_[size_++] = c;
  }

  std::array<char, 640> text_{};
  std::size_t size_ = 0;
};

}  // namespace weft::inline v0::detail
