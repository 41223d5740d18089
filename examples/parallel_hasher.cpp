/// Hashes files, several at a time: each is read in pieces on the pool for calls that block, and hashed on the pool for
/// calls that compute, the next piece being read meanwhile.
///
///     weft_example_parallel_hasher [DIRECTORY]
///
/// Without a directory it makes one with some files in it.

#include <weft/weft.hpp>

#include <array>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace {

namespace io = weft::io;
constexpr std::size_t files_at_a_time = 8;
constexpr std::size_t piece = 262'144;

/// FNV-1a of 64 bits (Fowler, Noll and Vo): it tells files apart, and is no protection against who wants to deceive.
class fnv1a {
public:
  void add(std::span<std::byte const> bytes) noexcept {
    for (auto const b : bytes) state_ = (state_ ^ static_cast<std::uint64_t>(b)) * 0x100000001B3U;
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return state_; }

private:
  std::uint64_t state_ = 0xCBF29CE484222325U;
};

std::uint64_t hash_of(std::filesystem::path const& path) {
  auto file = io::file::open(path);
  fnv1a hash;
  std::array<std::vector<std::byte>, 2> buffers{std::vector<std::byte>(piece), std::vector<std::byte>(piece)};
  std::size_t size = file.read(buffers[0]);
  for (std::size_t turn = 0; size != 0; ++turn) {
    auto const here = std::span{buffers[turn % 2]}.first(size);
    auto& next = buffers[(turn + 1) % 2];
    auto const [hashed, read] = weft::gather([&] { weft::offload([&] { hash.add(here); }); },  //
                                             [&] { return file.read(next); });
    size = read;
  }
  return hash.value();
}

std::vector<std::filesystem::path> files_below(std::filesystem::path const& top) {
  std::vector<std::filesystem::path> files;
  for (auto const& entry : io::walk_directory(top)) {
    if (entry.type == std::filesystem::file_type::regular) files.push_back(entry.path);
  }
  return files;
}

void hash_all_in(std::filesystem::path const& top) {
  auto const files = files_below(top);
  auto const hashes = weft::map(files, hash_of, weft::max_concurrency{files_at_a_time});
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::printf("%016" PRIx64 "  %s\n", hashes[i], files[i].lexically_relative(top).c_str());
  }
}

void hash_examples() {
  auto const directory = io::temp_directory::make();
  io::create_directories(directory / "more" / "deep");
  io::write_file(directory / "empty", "");
  io::write_file(directory / "a", "a");
  io::write_file(directory / "more" / "foobar", "foobar");
  io::write_file(directory / "more" / "deep" / "million", std::string(1'000'000, 'x'));
  hash_all_in(directory.path());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    weft::run([&] { argc > 1 ? hash_all_in(argv[1]) : hash_examples(); });
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

// Prints:
//   af63dc4c8601ec8c  a
//   cbf29ce484222325  empty
//   c5a9912916bf6025  more/deep/million
//   85944171f73967e8  more/foobar
