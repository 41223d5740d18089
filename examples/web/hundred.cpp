/// As many URLs as there are files in a directory, and those files, one by one and all together, as a table; and how
/// late another fiber was meanwhile that wants to run each millisecond.
///
///     hundred URL DIRECTORY [SLOW_MS [WORKERS]]    asks for URL with 1, 2, 3 ... appended; a disk may be slow

#include "http.hpp"
#include "slow_files.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::size_t size_of_url(std::string const& url) {
  auto const page = http::get(url);
  if (!page.ok()) throw std::runtime_error(url + ": " + http::status_text(page.status));
  return page.body.size();
}

std::size_t size_of_file(std::string const& path) { return weft::io::read_file(path).size(); }

struct measured {
  std::size_t bytes = 0;
  double seconds = 0;
};

template <class F>
measured measure(std::vector<std::string> const& all, F size_of, std::size_t at_once) {
  auto const start = weft::clock::now();
  measured total;
  for (auto const size : weft::map(all, size_of, weft::max_concurrency{at_once})) total.bytes += size;
  total.seconds = std::chrono::duration<double>(weft::clock::now() - start).count();
  return total;
}

template <class F>
void print_row(char const* what, std::vector<std::string> const& all, F size_of) {
  auto const one_by_one = measure(all, size_of, 1);
  auto const together = measure(all, size_of, all.size());
  if (one_by_one.bytes != together.bytes) throw std::runtime_error("they have changed meanwhile");
  std::printf("%5zu %-5s %9zu bytes   %8.2f s   %8.2f s   %6.1f\n", all.size(), what, together.bytes,
              one_by_one.seconds, together.seconds, one_by_one.seconds / together.seconds);
}

/// Never returns.
void tick(std::chrono::nanoseconds& latest) {
  for (auto due = weft::clock::now();; due += std::chrono::milliseconds{1}) {
    weft::sleep_until(due);
    latest = std::max<std::chrono::nanoseconds>(latest, weft::clock::now() - due);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: hundred URL DIRECTORY [SLOW_MS [WORKERS]]\n");
    return 2;
  }
  std::optional<slow_files> slow;
  if (argc > 3) slow.emplace(std::chrono::milliseconds{std::atoi(argv[3])});
  auto const program = [=] {
    std::vector<std::string> files;
    std::vector<std::string> urls;
    for (auto const& entry : weft::io::list_directory(argv[2])) {
      files.push_back(std::string(argv[2]).append("/").append(entry.name));
      urls.push_back(argv[1] + std::to_string(files.size()));
    }
    if (files.empty()) throw std::runtime_error("there are no files");
    std::printf("%29s %10s %12s %8s\n", "", "one by one", "together", "ratio");
    std::chrono::nanoseconds latest{0};
    auto ticker = weft::spawn([&] { tick(latest); });
    print_row("URLs", urls, size_of_url);
    print_row("files", files, size_of_file);
    ticker.cancel();
    ticker.wait();
    std::printf("a tick each millisecond, at most %.2f ms late\n",
                std::chrono::duration<double, std::milli>(latest).count());
  };
  return http::run(program, argc > 4 ? static_cast<std::size_t>(std::atoi(argv[4])) : 0);
}
