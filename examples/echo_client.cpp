/// Talks to an echo server on many connections at once, and looks whether all comes back as it was.
///
///     echo_client PORT [CONNECTIONS [MESSAGES [BYTES]]]    100 connections, on each 100 messages of 100 bytes

#include <weft/weft.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>

namespace {

/// Each message differs from those before it and from those of other connections.
std::string message(int connection, int number, std::size_t size) {
  auto text = std::to_string(connection).append("/").append(std::to_string(number)).append(" ");
  while (text.size() < size) text.append("abcdefghijklmnopqrstuvwxyz ");
  text.resize(size);
  return text;
}

void talk(weft::io::endpoint const& server, int connection, int messages, std::size_t size) {
  auto stream = weft::io::tcp_stream::connect(server);
  stream.nodelay(true);
  std::string answer(size, '\0');
  for (int i = 0; i < messages; ++i) {
    auto const sent = message(connection, i, size);
    // It is written and read at once: with a message larger than what the system holds, the server waits for us.
    weft::gather([&] { stream.write_all(sent); },
                 [&] { stream.read_exactly(std::as_writable_bytes(std::span{answer})); });
    if (answer != sent) throw std::runtime_error("something else came back");
  }
}

}  // namespace

int main(int argc, char** argv) {
  auto const number = [&](int argument, int otherwise) {
    return argc > argument ? std::atoi(argv[argument]) : otherwise;
  };
  if (argc < 2) {
    std::fprintf(stderr, "usage: echo_client PORT [CONNECTIONS [MESSAGES [BYTES]]]\n");
    return 2;
  }
  weft::io::endpoint const server{"127.0.0.1", static_cast<std::uint16_t>(number(1, 0))};
  int const connections = number(2, 100);
  int const messages = number(3, 100);
  auto const size = static_cast<std::size_t>(number(4, 100));
  try {
    weft::run([&] {
      weft::with_task_group([&](weft::task_group& all) {
        for (int i = 0; i < connections; ++i) all.spawn([=] { talk(server, i, messages, size); });
      });
    });
    std::printf("%d messages came back on each of %d connections\n", messages, connections);
  } catch (weft::cancelled const&) {
    return 130;  // SIGINT
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
