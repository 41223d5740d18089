/// @file
/// Echo on Asio with coroutines. Each thread has an io_context, and connections are dealt to them in turn.

#include "echo_asio.hpp"

namespace {

asio::awaitable<void> echo(tcp::socket socket) try {
  std::array<char, bench::echo_buffer> buffer{};
  for (;;) {
    auto const size = co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(buffer, size), asio::use_awaitable);
    bench::count_echo();
  }
} catch (boost::system::system_error const&) {
  // The other side has closed.
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, contexts& all) {
  for (;;) {
    auto socket = co_await acceptor.async_accept(all.next(), asio::use_awaitable);
    socket.set_option(tcp::no_delay{true});
    auto const executor = socket.get_executor();
    asio::co_spawn(executor, echo(std::move(socket)), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  serve(bench::parse_echo(argc, argv), [](tcp::acceptor& acceptor, contexts& all) {
    asio::co_spawn(all.first(), accept(acceptor, all), asio::detached);
  });
}
