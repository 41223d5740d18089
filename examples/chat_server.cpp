/// A chat server with rooms: see chat.hpp for what its clients, such as `telnet`, can say.
///
///     chat_server [PORT [QUEUE [GRACE]]]    a free port, 64 lines and 5 seconds by default
///
/// It says where it listens, and ends at SIGINT.

#include "chat.hpp"

#include <weft/weft.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

int main(int argc, char** argv) {
  auto const number = [&](int argument, int otherwise) {
    return argc > argument ? std::atoi(argv[argument]) : otherwise;
  };
  auto const port = static_cast<std::uint16_t>(number(1, 0));
  chat rooms{{.queue = static_cast<std::size_t>(number(2, 64)), .grace = std::chrono::seconds{number(3, 5)}}};
  try {
    weft::run([&] {
      auto listener = weft::io::tcp_listener::bind({"127.0.0.1", port});
      std::printf("listening at %s\n", listener.local_endpoint().to_string().c_str());
      std::fflush(stdout);
      weft::io::serve(
          listener, [&](weft::io::tcp_stream client) { rooms.talk(std::move(client)); },
          {.max_connections = 1000, .on_exception = [](std::exception_ptr) {}});  // who breaks off has left, no more
    });
  } catch (weft::cancelled const&) {
    std::printf("stopped\n");
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
