/// How many characters there are in UTF-8 files, which are read at the same time.
///
///     character_counts FILE...

#include "http.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// Bytes of the character that `text` begins with; 0: it is not UTF-8.
std::size_t character_size(std::string_view text) {
  auto const byte = [text](std::size_t i) { return static_cast<std::uint8_t>(i < text.size() ? text[i] : 0); };
  auto const first = byte(0);
  if (first < 0x80) return 1;
  std::size_t const size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  std::uint32_t code = first & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
    code = code << 6U | (byte(i) & 0x3FU);
  }
  static constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};  // others are written with fewer bytes
  bool const surrogate = code >= 0xD800 && code <= 0xDFFF;
  return first < 0xC0 || first > 0xF7 || code < least[size] || code > 0x10FFFF || surrogate ? 0 : size;
}

std::optional<std::size_t> characters(std::string_view text) {
  std::size_t count = 0;
  for (; !text.empty(); ++count) {
    auto const size = character_size(text);
    if (size == 0) return std::nullopt;
    text.remove_prefix(size);
  }
  return count;
}

std::string count(std::string const& path) {
  try {
    auto const number = characters(weft::io::read_file(path));
    return path + ": " + (number ? std::to_string(*number) + " characters" : "not UTF-8");
  } catch (std::exception const& e) {
    return e.what();  // says which file
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: character_counts FILE...\n");
    return 2;
  }
  std::vector<std::string> const paths(argv + 1, argv + argc);
  return http::run([&] {
    for (auto const& line : weft::map(paths, count, weft::max_concurrency{10})) std::printf("%s\n", line.c_str());
  });
}
