/// @file
/// Echo on Asio with callbacks. Each thread has an io_context, and connections are dealt to them in turn.

#include "echo_asio.hpp"

namespace {

class session : public std::enable_shared_from_this<session> {
public:
  explicit session(tcp::socket socket) : socket_{std::move(socket)} {}

  void read() {
    socket_.async_read_some(asio::buffer(buffer_), [self = shared_from_this()](auto error, std::size_t size) {
      if (!error) self->write(size);
    });
  }

private:
  void write(std::size_t size) {
    asio::async_write(socket_, asio::buffer(buffer_, size), [self = shared_from_this()](auto error, std::size_t) {
      if (error) return;
      bench::count_echo();
      self->read();
    });
  }

  tcp::socket socket_;
  std::array<char, bench::echo_buffer> buffer_{};
};

void accept(tcp::acceptor& acceptor, contexts& all) {
  acceptor.async_accept(all.next(), [&](auto error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay{true});
      std::make_shared<session>(std::move(socket))->read();
    }
    accept(acceptor, all);
  });
}

}  // namespace

int main(int argc, char** argv) {
  serve(bench::parse_echo(argc, argv), [](tcp::acceptor& acceptor, contexts& all) { accept(acceptor, all); });
}
