#pragma once
/// @file
/// The file of W18, and what is read of it: in an order that nobody can guess, so that no reading ahead helps, and from
/// memory, so that it is the way to the system call and back that counts.

#include "workload.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace bench {

inline constexpr std::size_t w18_readers = 64;
inline constexpr std::size_t w18_pieces = 1024;
inline constexpr std::size_t w18_piece = 65'536;  ///< bytes
inline constexpr std::size_t w18_small = 4096;    ///< bytes of each piece that one reader alone asks for

/// Goes with the object. Each piece begins with its number.
class file_to_read {
public:
  file_to_read() {
    path_ = "weft-bench-XXXXXX";
    int const fd = ::mkstemp(path_.data());
    check(fd >= 0, "making a file");
    std::vector<char> piece(w18_piece, 'x');
    for (std::uint64_t i = 0; i < w18_pieces; ++i) {
      std::memcpy(piece.data(), &i, sizeof i);
      check(::write(fd, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "writing a file");
    }
    ::close(fd);
  }
  file_to_read(file_to_read const&) = delete;
  ~file_to_read() { ::unlink(path_.c_str()); }

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  /// Which piece is read as the `n`th.
  [[nodiscard]] static std::uint64_t piece_of(std::size_t n) noexcept { return n * 7919 % w18_pieces; }
  static void check_piece(void const* begin, std::size_t n) {
    std::uint64_t found = 0;
    std::memcpy(&found, begin, sizeof found);
    check(found == piece_of(n), "a piece");
  }

private:
  std::string path_;
};

/// What W18 tells.
inline void tell_reads(std::size_t reads, double small_ns, double all_seconds) {
  metric("us_per_read", small_ns / 1e3, "us");
  metric("mib_s", static_cast<double>(reads * w18_piece) / (1 << 20) / all_seconds, "MiB/s");
}

}  // namespace bench
