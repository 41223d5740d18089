/// @file
/// Echo on libuv. Each thread has a loop and a listener of its own.

#include "../counted_calls.hpp"
#include "../echo.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <uv.h>

namespace {

struct connection {
  uv_tcp_t handle;
  uv_write_t request;
  std::array<char, bench::echo_buffer> buffer;
};

void must(int result, char const* what) {
  if (result < 0) throw std::runtime_error(std::string{what} + ": " + uv_strerror(result));
}

void close(connection* c) {
  auto* const handle = reinterpret_cast<uv_handle_t*>(&c->handle);
  if (uv_is_closing(handle) != 0) return;
  uv_close(handle, [](uv_handle_t* h) { delete static_cast<connection*>(h->data); });
}

void on_read(uv_stream_t* stream, ssize_t size, uv_buf_t const* buffer) {
  auto* const c = static_cast<connection*>(stream->data);
  if (size == 0) return;
  if (size < 0) return close(c);
  uv_buf_t const answer = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  // Its sender waits for the echo: the buffer is not written to meanwhile.
  int const result = uv_write(&c->request, stream, &answer, 1, [](uv_write_t* request, int status) {
    if (status < 0) close(static_cast<connection*>(request->handle->data));
  });
  if (result < 0) return close(c);
  bench::count_echo();
}

void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto* const c = new connection;
  must(uv_tcp_init(listener->loop, &c->handle), "uv_tcp_init");
  c->handle.data = c;
  auto* const stream = reinterpret_cast<uv_stream_t*>(&c->handle);
  if (uv_accept(listener, stream) < 0) return close(c);
  uv_tcp_nodelay(&c->handle, 1);
  auto const allocate = [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
    auto& memory = static_cast<connection*>(handle->data)->buffer;
    *buffer = uv_buf_init(memory.data(), memory.size());
  };
  must(uv_read_start(stream, allocate, on_read), "uv_read_start");
}

struct server {
  uv_loop_t loop;
  uv_tcp_t listener;
  uv_async_t stop;

  explicit server(std::uint16_t& port) {
    must(uv_loop_init(&loop), "uv_loop_init");
    must(uv_async_init(&loop, &stop, [](uv_async_t* handle) { uv_stop(handle->loop); }), "uv_async_init");
    must(uv_tcp_init(&loop, &listener), "uv_tcp_init");
    must(uv_tcp_open(&listener, bench::shared_listener(port)), "uv_tcp_open");
    must(uv_listen(reinterpret_cast<uv_stream_t*>(&listener), bench::echo_backlog, on_connection), "uv_listen");
  }
};

}  // namespace

int main(int argc, char** argv) {
  auto args = bench::parse_echo(argc, argv);
  bench::raise_descriptor_limit();
  auto const signals = bench::block_sigterm();
  std::vector<std::unique_ptr<server>> servers;
  for (unsigned i = 0; i < args.threads; ++i) servers.push_back(std::make_unique<server>(args.port));
  std::vector<std::thread> threads;
  for (auto& s : servers) {
    threads.emplace_back([&loop = s->loop] { uv_run(&loop, UV_RUN_DEFAULT); });
  }
  bench::announce(args.port);
  bench::wait_for_signal(signals);
  for (auto& s : servers) uv_async_send(&s->stop);
  for (auto& t : threads) t.join();
  bench::report_calls();
}
