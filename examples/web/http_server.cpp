/// A plain HTTP server, for curl, wrk and browsers.
///
///     http_server [PORT [WORKERS]]    port 0, a free one, by default
///
///     /           "Hello, World!"
///     /echo       what was posted
///     /count/N    lines with the numbers to N, as they are made
///
/// It says where it listens. At SIGINT it accepts no more, answers what has come, and ends.

#include "http.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

http::response hello(http::request const&) { return {.body = "Hello, World!"}; }

http::response echo(http::request const& asked) {
  if (asked.method != "POST") return {.status = 405, .body = "post something\n"};
  return {.body = asked.body};
}

http::response count(http::request const& asked) {
  auto const last = std::atoi(asked.path.substr(std::string_view("/count/").size()).c_str());
  http::response answer;
  answer.pieces.emplace([last](auto& yield) {
    for (int i = 1; i <= last; ++i) {
      auto const line = std::to_string(i).append("\n");
      yield(std::string_view{line});
    }
  });
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  auto const port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  auto const workers = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 0);
  http::server server;
  server.on("/", hello);
  server.on("/echo", echo);
  server.on("/count/", count);
  return http::run(
      [&] {
        auto listener = http::listen(port);
        auto const had = server.serve(listener);
        std::printf("%llu connections, %s\n", static_cast<unsigned long long>(had.served),
                    had.drained ? "all ended" : "some cut off");
      },
      workers);
}
