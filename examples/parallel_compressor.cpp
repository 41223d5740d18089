/// Compresses, like gzip, on all processors: standard input, or a file, in blocks, each on a thread of the pool for
/// work that computes. They are written in order, each a member of its own, which gzip reads as one file. On standard
/// error it tells every so often how far it is, while it computes.
///
///     parallel_compressor [FILE] > FILE.gz

#include <weft/weft.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <utility>
#include <zlib.h>

using namespace std::chrono_literals;
namespace io = weft::io;

namespace {

constexpr std::size_t block_size = std::size_t{128} * 1024;
constexpr std::size_t blocks_ahead = 16;  // as many are in memory

/// One member of a gzip file.
std::string compress(std::string const& block) {
  z_stream z{};
  constexpr int gzip = 16;
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + gzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2 failed");
  }
  std::string out(deflateBound(&z, block.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
  z.avail_in = static_cast<uInt>(block.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  int const status = deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return out;
}

struct progress {
  std::uint64_t in = 0;
  std::uint64_t out = 0;

  void tell() const {
    std::string line = "read ";
    line.append(std::to_string(in)).append(", written ").append(std::to_string(out)).append("\n");
    io::stderr_stream().write_all(line);
  }
};

void compress_all(io::inherited_stream& from, io::inherited_stream& to) {
  weft::mutex guard;
  progress so_far;
  auto const ticker = weft::spawn([&] {
    for (;;) {
      weft::sleep_for(100ms);
      std::scoped_lock const held{guard};
      so_far.tell();
    }
  });

  // The reader spawns a task for each block; the channel has them in order, and bounds how many there are.
  weft::channel<weft::task<std::string>> compressed{blocks_ahead};
  auto reader = weft::spawn([&] {
    weft::defer const at_the_end{[&] { compressed.close(); }};
    for (;;) {
      std::string block(block_size, '\0');
      std::error_code ec;
      block.resize(from.read_exactly(std::as_writable_bytes(std::span{block}), ec));
      if (ec) throw std::system_error(ec, "reading");
      if (block.empty()) return;
      bool const last = block.size() < block_size;  // not to be read on: a terminal would ask for another end
      {
        std::scoped_lock const held{guard};
        so_far.in += block.size();
      }
      compressed.send(weft::spawn([block = std::move(block)] { return weft::offload(compress, block); }));
      if (last) return;
    }
  });
  bool any = false;
  for (auto& block : compressed) {
    auto const bytes = block.get();
    to.write_all(bytes);
    any = true;
    std::scoped_lock const held{guard};
    so_far.out += bytes.size();
  }
  reader.get();
  if (!any) to.write_all(compress(""));
  so_far.tell();
}

}  // namespace

int main(int argc, char** argv) {
  int const file = argc > 1 ? ::open(argv[1], O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
  if (file < 0) {
    std::perror(argv[1]);
    return 1;
  }
  try {
    weft::run([file] {
      io::inherited_stream from{file};
      compress_all(from, io::stdout_stream());
    });
  } catch (weft::cancelled const&) {  // SIGINT
    return 130;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
