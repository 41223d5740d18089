/// How many fields the JSON objects have that some URLs answer with.
///
///     field_counts URL...

#include "http.hpp"

#include <boost/json.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

std::string fields_of(std::string const& url) {
  try {
    auto const answer = http::get(url);
    if (!answer.ok()) return http::status_text(answer.status);
    auto const value = boost::json::parse(answer.body);
    if (!value.is_object()) return "not an object";
    return std::to_string(value.get_object().size()) + " fields";
  } catch (std::exception const& e) {  // it could not be loaded, or is no JSON
    return e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: field_counts URL...\n");
    return 2;
  }
  std::vector<std::string> const urls(argv + 1, argv + argc);
  return http::run([&] {
    auto const counts = weft::map(urls, fields_of, weft::max_concurrency{10});
    for (std::size_t i = 0; i < urls.size(); ++i) std::printf("%s: %s\n", urls[i].c_str(), counts[i].c_str());
  });
}
