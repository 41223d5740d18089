/// The same URLs one by one and together, and how many times as fast that is.
///
///     ten_urls URL...

#include "http.hpp"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::size_t size_of(std::string const& url) {
  auto const page = http::get(url);
  if (!page.ok()) throw std::runtime_error(url + ": " + http::status_text(page.status));
  return page.body.size();
}

double seconds_since(weft::clock::time_point start) {
  return std::chrono::duration<double>(weft::clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: ten_urls URL...\n");
    return 2;
  }
  std::vector<std::string> const urls(argv + 1, argv + argc);
  return http::run([&] {
    auto const start = weft::clock::now();
    std::size_t bytes = 0;
    for (auto const& url : urls) bytes += size_of(url);
    double const one_by_one = seconds_since(start);
    std::printf("one by one: %zu bytes of %zu URLs in %.2f s\n", bytes, urls.size(), one_by_one);

    auto const again = weft::clock::now();
    bytes = 0;
    for (auto const size : weft::map(urls, size_of, weft::max_concurrency{urls.size()})) bytes += size;
    double const together = seconds_since(again);
    std::printf("together: %zu bytes of %zu URLs in %.2f s\n", bytes, urls.size(), together);
    std::printf("%.1f times as fast\n", one_by_one / together);
  });
}
