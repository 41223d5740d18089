/// @file
/// W18 with `pread` from threads, each of which waits for its own: the work itself.

#include "../files.hpp"
#include "../workload.hpp"

#include <cstddef>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <vector>

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  if (args.workload != "W18") bench::unknown(args);
  auto const reads = bench::size("W18_N", 20'000);
  bench::file_to_read const of;
  int const file = ::open(of.path().c_str(), O_RDONLY | O_CLOEXEC);
  bench::check(file >= 0, "opening a file");
  auto const read = [file](std::vector<char>& to, std::size_t n) {
    auto const offset = static_cast<off_t>(bench::file_to_read::piece_of(n) * bench::w18_piece);
    bench::check(::pread(file, to.data(), to.size(), offset) == static_cast<ssize_t>(to.size()), "a read");
    bench::file_to_read::check_piece(to.data(), n);
  };

  std::vector<char> small(bench::w18_small);
  for (std::size_t n = 0; n < bench::w18_pieces; ++n) read(small, n);
  bench::stopwatch const alone;
  for (std::size_t n = 0; n < reads; ++n) read(small, n);
  double const small_ns = alone.nanoseconds_per(reads);

  auto const each = reads / bench::w18_readers;
  bench::stopwatch const together;
  std::vector<std::thread> readers;
  for (std::size_t r = 0; r < bench::w18_readers; ++r) {
    readers.emplace_back([&read, each, r] {
      std::vector<char> buffer(bench::w18_piece);
      for (std::size_t n = r * each; n < (r + 1) * each; ++n) read(buffer, n);
    });
  }
  for (auto& reader : readers) reader.join();
  bench::tell_reads(each * bench::w18_readers, small_ns, together.seconds());
  ::close(file);
}
