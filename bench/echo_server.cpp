/// @file
/// Echo on weft: a fiber for each connection.
///
/// `stall` lets as many spare workers as there are workers take the place of those that compute; `stall_alone` does
/// not.

#include "counted_calls.hpp"
#include "echo.hpp"
#include "latency.hpp"

#include <weft/io/testing.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <span>

namespace {

std::atomic<std::uint64_t> sum{0};  // so that the compiler cannot leave the computation out

void echo(weft::io::tcp_stream stream) {
  stream.nodelay(true);
  std::array<std::byte, bench::echo_buffer> buffer;  // NOLINT: read_some() fills it
  std::error_code ec;
  while (auto const size = stream.read_some(buffer, ec)) {
    stream.write_all(std::span{buffer}.first(size), ec);
    if (ec) return;
    bench::count_echo();
  }
}

/// Computes for about 10 ms of every 20.
void stall() {
  for (auto deadline = std::chrono::steady_clock::now();; deadline += bench::stall_period) {
    weft::sleep_until(deadline);
    sum += bench::compute(1, bench::stall_work);
  }
}

void serve(weft::io::tcp_listener& listener, unsigned stalls) {
  weft::task_group tasks;
  for (unsigned i = 0; i < stalls; ++i) tasks.spawn(stall);
  for (;;) tasks.spawn(echo, listener.accept());
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse_echo(argc, argv, {"stall", "stall_alone"});
  bench::raise_descriptor_limit();
  auto const signals = bench::block_sigterm();  // before there are workers
#if defined(BENCH_COUNTED)
  weft::testing::io_faults const calls;
#endif
  {
    weft::runtime_options options;
    options.workers = args.threads;
    if (args.variant == "stall") options.spare_workers = args.threads;
    weft::runtime rt{options};
    weft::io::tcp_listener listener;
    auto server = rt.spawn([&] {
      listener = weft::io::tcp_listener::bind({"127.0.0.1", args.port}, {.backlog = bench::echo_backlog});
      bench::announce(listener.local_endpoint().port());
      serve(listener, args.variant.empty() ? 0 : args.threads);
    });
    bench::wait_for_signal(signals);
    server.cancel();
    server.wait();
  }
#if defined(BENCH_COUNTED)
  bench::saw(bench::counting::receive, calls.count(weft::testing::io_call::recv));
  bench::saw(bench::counting::send, calls.count(weft::testing::io_call::send));
#endif
  bench::report_calls();
}
