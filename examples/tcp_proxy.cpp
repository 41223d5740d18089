/// Passes on TCP connections to another port, byte for byte. What one side does, the other sees: when one has said all,
/// the other reads to the end, and may still answer; when one breaks off, so does the other's connection; and who sends
/// faster than the other reads has to wait.
///
///     tcp_proxy TARGET_PORT [PORT [CONNECTIONS]]    a free port, and at most 10000 connections at once, by default
///
/// It says where it listens. At SIGINT all connections are broken off.

#include <weft/weft.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <sys/socket.h>
#include <system_error>
#include <vector>

namespace {

using weft::io::tcp_stream;

/// All that comes from one side, to the other.
void pass_on(tcp_stream& from, tcp_stream& to) {
  std::vector<std::byte> buffer(64 * 1024);
  while (auto const size = from.read_some(buffer)) to.write_all(std::span{buffer}.first(size));
  to.shutdown(weft::io::direction::send);
}

/// Closes so that the peer gets an error, and does not take it for the end.
void break_off(tcp_stream& stream) noexcept {
  linger const at_once{.l_onoff = 1, .l_linger = 0};
  if (stream.is_open()) (void)::setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  stream.close();
}

void join(tcp_stream client, weft::io::endpoint const& target) {
  tcp_stream server;
  try {
    server = tcp_stream::connect(target);
    client.nodelay(true);
    server.nodelay(true);
    // The first direction that fails ends the other.
    weft::gather([&] { pass_on(client, server); }, [&] { pass_on(server, client); });
  } catch (...) {
    break_off(client);
    break_off(server);
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tcp_proxy TARGET_PORT [PORT [CONNECTIONS]]\n");
    return 2;
  }
  auto const number = [&](int argument, int otherwise) {
    return argc > argument ? std::atoi(argv[argument]) : otherwise;
  };
  weft::io::endpoint const target{"127.0.0.1", static_cast<std::uint16_t>(number(1, 0))};
  weft::io::endpoint const at{"127.0.0.1", static_cast<std::uint16_t>(number(2, 0))};
  int const connections = number(3, 10'000);
  try {
    weft::run([&] {
      auto listener = weft::io::tcp_listener::bind(at);
      std::printf("listening at %s\n", listener.local_endpoint().to_string().c_str());
      std::fflush(stdout);
      auto const report = [](std::exception_ptr failure) {
        try {
          std::rethrow_exception(failure);
        } catch (std::exception const& e) {
          std::fprintf(stderr, "broken off: %s\n", e.what());
        }
      };
      weft::io::serve(listener, [&](tcp_stream client) { join(std::move(client), target); },
                      {.max_connections = connections, .on_exception = report});
    });
  } catch (weft::cancelled const&) {
    std::printf("stopped\n");
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
