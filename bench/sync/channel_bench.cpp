/// One value into a channel and out again, by one party, which never waits: weft's channel and Boost.Fiber's. And what
/// it costs to have a channel at all.

#include "../runtime/micro.hpp"

#include <weft/sync/channel.hpp>

#include <benchmark/benchmark.h>
#include <cstddef>

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
#include <boost/fiber/buffered_channel.hpp>
#endif

namespace {

void weft_send_receive(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    weft::channel<int> channel{128};
    int value = 0;
    for (auto _ : state) {
      channel.send(value);
      value = *channel.receive() + 1;
    }
  });
}
BENCHMARK(weft_send_receive)->Name("channel/send_receive/weft")->Apply(micro::timed);

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
void boost_send_receive(benchmark::State& state) {
  boost::fibers::buffered_channel<int> channel{128};
  int value = 0;
  for (auto _ : state) {
    channel.push(value);
    value = channel.value_pop() + 1;
  }
}
BENCHMARK(boost_send_receive)->Name("channel/send_receive/Boost.Fiber")->Apply(micro::timed);
#endif

void make(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    auto const capacity = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
      weft::channel<int> channel{capacity};
      benchmark::DoNotOptimize(&channel);
    }
  });
}
BENCHMARK(make)->Name("channel/make")->ArgName("capacity")->Arg(0)->Arg(10)->Apply(micro::timed);

}  // namespace
