/// @file
/// W18 on weft.

#include "files.hpp"
#include "workload.hpp"
#include "workloads.hpp"

#include <weft/weft.hpp>

#include <cstddef>
#include <vector>

void read_files() {
  auto const reads = bench::size("W18_N", 20'000);
  bench::file_to_read const of;
  auto file = weft::io::file::open(of.path());

  std::vector<std::byte> small(bench::w18_small);
  auto const one_by_one = [&](std::size_t from, std::size_t to) {
    for (std::size_t n = from; n < to; ++n) {
      bench::check(file.pread(small, bench::file_to_read::piece_of(n) * bench::w18_piece) == small.size(), "a read");
      bench::file_to_read::check_piece(small.data(), n);
    }
  };
  one_by_one(0, bench::w18_pieces);
  bench::stopwatch const alone;
  one_by_one(0, reads);
  double const small_ns = alone.nanoseconds_per(reads);

  auto const each = reads / bench::w18_readers;
  bench::stopwatch const together;
  std::vector<weft::task<void>> readers;
  for (std::size_t r = 0; r < bench::w18_readers; ++r) {
    readers.push_back(weft::spawn([&file, each, r] {
      std::vector<std::byte> buffer(bench::w18_piece);
      for (std::size_t n = r * each; n < (r + 1) * each; ++n) {
        auto const offset = bench::file_to_read::piece_of(n) * bench::w18_piece;
        bench::check(file.pread(buffer, offset) == buffer.size(), "a read");
        bench::file_to_read::check_piece(buffer.data(), n);
      }
    }));
  }
  for (auto& reader : readers) reader.get();
  bench::tell_reads(each * bench::w18_readers, small_ns, together.seconds());
}
