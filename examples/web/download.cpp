#include "download.hpp"

#include "http.hpp"

#include <cstddef>
#include <span>
#include <vector>

std::uint64_t download(std::string const& url, std::filesystem::path const& to) {
  auto answer = http::open(url);
  if (answer.status() != 200) throw http::error(url + ": " + http::status_text(answer.status()));
  // Beside the file that it is to be, for only there it can be renamed to that.
  auto target = weft::io::temp_file::make(absolute(to).parent_path(), weft::io::default_permissions);
  std::vector<std::byte> buffer(256 * 1024);
  std::uint64_t size = 0;
  for (std::size_t filled = buffer.size(); filled == buffer.size(); size += filled) {
    filled = 0;  // pieces are large, since each goes to another thread to be written
    while (auto const count = answer.read_some(std::span{buffer}.subspan(filled))) filled += count;
    target.write(std::span{buffer}.first(filled));
  }
  target.rename_to(to);
  return size;
}
