/// Downloads a file, which is there when it is whole.
///
///     downloader URL FILE [LIMIT_MS]

#include "download.hpp"
#include "http.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: downloader URL FILE [LIMIT_MS]\n");
    return 2;
  }
  auto const limit = std::chrono::milliseconds{argc > 3 ? std::atoi(argv[3]) : 24 * 3600 * 1000};
  return http::run([=] {
    auto const size = weft::with_timeout(limit, [&] { return download(argv[1], argv[2]); });
    std::printf("%llu bytes in %s\n", static_cast<unsigned long long>(size), argv[2]);
  });
}
