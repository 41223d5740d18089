/// What some URLs answer, asked at the same time and told in the order in which they were given.
///
///     statuses URL...

#include "http.hpp"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

std::string status_of(std::string const& url) {
  try {
    return http::status_text(http::get(url).status);
  } catch (std::exception const& e) {
    return e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: statuses URL...\n");
    return 2;
  }
  std::vector<std::string> const urls(argv + 1, argv + argc);
  return http::run([&] {
    std::vector<weft::task<std::string>> asked;
    for (auto const& url : urls) asked.push_back(weft::spawn(status_of, url));
    for (std::size_t i = 0; i < urls.size(); ++i) std::printf("%s: %s\n", urls[i].c_str(), asked[i].get().c_str());
  });
}
