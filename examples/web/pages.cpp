/// The first items of a list that comes in pages, each of which says where the next one is. A generator makes one range
/// of them; pages are asked for as they are needed.
///
///     pages SERVICE [ITEMS]    begins with SERVICE/pages/1

#include "http.hpp"

#include <boost/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

weft::generator<std::string> items_of(std::string service) {
  return weft::generator<std::string>([service = std::move(service)](auto& yield) {
    for (std::string path = "/pages/1"; !path.empty();) {
      auto const answer = http::get(service + path);
      if (!answer.ok()) throw std::runtime_error(path + ": " + http::status_text(answer.status));
      auto const page = boost::json::parse(answer.body);
      for (auto const& item : page.at("items").as_array()) yield(boost::json::value_to<std::string>(item));
      auto const& next = page.at("next");
      path = next.is_null() ? std::string() : boost::json::value_to<std::string>(next);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: pages SERVICE [ITEMS]\n");
    return 2;
  }
  auto const wanted = argc > 2 ? std::atoi(argv[2]) : 1'000'000;
  return http::run([=] {
    int count = 0;
    for (auto const& item : items_of(argv[1])) {
      std::printf("%s\n", item.c_str());
      if (++count == wanted) break;
    }
    std::printf("%d items\n", count);
  });
}
