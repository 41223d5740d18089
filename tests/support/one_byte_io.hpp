#pragma once
/// @file
/// WEFT_TEST_ONE_BYTE_IO=1 in the environment: all streams of the program move one byte with each system call.

#include <weft/io/testing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace weft::test {

/// Whether it is so; and sees to it when it is first asked, which is before main().
inline bool one_byte_io() {
  static bool const on = [] {
    char const* const value = std::getenv("WEFT_TEST_ONE_BYTE_IO");
    if (value == nullptr || *value != '1') return false;
    static auto& faults = *new testing::io_faults;  // for as long as there may be descriptors
    faults.limit_transfers(1);
    return true;
  }();
  return on;
}
inline bool const one_byte_io_from_the_start = one_byte_io();

/// `n` bytes, or a part of them where each is a system call; at least 1.
inline std::size_t scaled_bytes(std::size_t n) { return one_byte_io() ? std::max<std::size_t>(n / 64, 1) : n; }

}  // namespace weft::test
