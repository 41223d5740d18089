/// The services that stand_in.hpp describes.
///
///     stand_in_server [PORT]    port 0, a free one, by default
///
/// It says where it listens, and ends at SIGINT.

#include "stand_in.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>

int main(int argc, char** argv) {
  auto const port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  return http::run([port] {
    stand_in services;
    auto listener = http::listen(port);
    services.server().serve(listener, std::chrono::nanoseconds{0});
  });
}
