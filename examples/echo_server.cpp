/// Sends back what comes, on any number of connections at once.
///
///     echo_server [PORT]    0, a free one, by default
///
/// It says where it listens. At SIGINT or SIGTERM it accepts no more, and gives those who are there ten seconds to end.

#include <weft/weft.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <stop_token>
#include <system_error>

using namespace std::chrono_literals;

namespace {

/// A fiber of its own runs this for each connection.
void echo(weft::io::tcp_stream client) {
  std::array<std::byte, 4096> buffer;  // NOLINT: it is filled
  std::error_code ec;                  // of a client that breaks off, which concerns nobody else
  client.nodelay(true, ec);
  while (!ec) {
    auto const size = client.read_some(buffer, ec);
    if (size == 0) break;
    client.write_all(std::span{buffer}.first(size), ec);
  }
}

/// Until SIGINT or SIGTERM, which stops the server gently.
weft::io::serve_summary serve(weft::io::tcp_listener& listener) {
  weft::io::signal_stream signals{SIGINT, SIGTERM};
  std::stop_source stop;
  auto serving = weft::spawn(
      [&] { return weft::io::serve(listener, echo, {.stop = stop.get_token(), .drain_limit = 10s}); });
  weft::select(weft::on_signal(signals, [&] { stop.request_stop(); }), weft::on_done(serving, [] {}));
  return serving.get();
}

}  // namespace

int main(int argc, char** argv) {
  auto const port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  try {
    weft::run([port] {
      auto listener = weft::io::tcp_listener::bind({"127.0.0.1", port});
      std::printf("listening at %s\n", listener.local_endpoint().to_string().c_str());
      std::fflush(stdout);
      auto const had = serve(listener);
      std::printf("%llu connections, %s\n", static_cast<unsigned long long>(had.served),
                  had.drained ? "all ended" : "some cut off");
    });
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
