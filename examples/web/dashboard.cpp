/// A page put together from what several services say. They are asked at the same time, so it takes as long as the
/// slowest; one that fails, or takes longer than it may, leaves a gap with the reason.
///
///     dashboard NAME URL LIMIT_MS [NAME URL LIMIT_MS]...
///
/// It says where it listens, answers GET / with JSON, and ends at SIGINT.

#include "http.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace {

struct service {
  std::string name;
  std::string url;
  std::chrono::milliseconds limit;
};

boost::json::object ask(service const& of) {
  try {
    auto const answer = weft::move_on_after(of.limit, [&] { return http::get(of.url); });
    if (!answer) return {{"error", "no answer within " + std::to_string(of.limit.count()) + " ms"}};
    if (!answer->ok()) return {{"error", http::status_text(answer->status)}};
    return {{"answer", answer->body}};
  } catch (std::exception const& e) {
    return {{"error", e.what()}};
  }
}

http::response page_of(std::vector<service> const& services) {
  auto const start = weft::clock::now();
  auto answers = weft::map(services, ask, weft::max_concurrency{services.size()});
  boost::json::object page;
  for (std::size_t i = 0; i < services.size(); ++i) page[services[i].name] = std::move(answers[i]);
  page["milliseconds"] = std::chrono::duration_cast<std::chrono::milliseconds>(weft::clock::now() - start).count();
  http::response whole{.body = boost::json::serialize(page)};
  whole.headers.add("Content-Type", "application/json");
  return whole;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<service> services;
  for (int i = 1; i + 2 < argc; i += 3) {
    services.push_back({argv[i], argv[i + 1], std::chrono::milliseconds{std::atoi(argv[i + 2])}});
  }
  if (services.empty()) {
    std::fprintf(stderr, "usage: dashboard NAME URL LIMIT_MS [NAME URL LIMIT_MS]...\n");
    return 2;
  }
  http::server server;
  server.on("/", [&](http::request const&) { return page_of(services); });
  return http::run([&] {
    auto listener = http::listen(0);
    server.serve(listener);
  });
}
