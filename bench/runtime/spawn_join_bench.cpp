/// One spawn and join on one worker: of a fiber at a time, queued or eager, and of ten and a thousand at once.

#include "micro.hpp"

#include <weft/runtime/spawn.hpp>

#include <benchmark/benchmark.h>
#include <cstddef>
#include <vector>

namespace {

void single(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int ran = 0;
    for (auto _ : state) weft::spawn([&ran] { ++ran; }).get();
    benchmark::DoNotOptimize(ran);
  });
}
BENCHMARK(single)->Name("spawn_join/single")->Apply(micro::timed);

void eager(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int ran = 0;
    for (auto _ : state) weft::spawn({.start = weft::start::eager}, [&ran] { ++ran; }).get();
    benchmark::DoNotOptimize(ran);
  });
}
BENCHMARK(eager)->Name("spawn_join/eager")->Apply(micro::timed);

void batch(benchmark::State& state, int size) {
  micro::on_workers(1, [&state, size] {
    int ran = 0;
    std::vector<weft::task<void>> tasks;
    tasks.reserve(static_cast<std::size_t>(size));
    while (state.KeepRunningBatch(size)) {
      for (int i = 0; i < size; ++i) tasks.push_back(weft::spawn([&ran] { ++ran; }));
      for (auto& task : tasks) task.get();
      tasks.clear();
    }
    benchmark::DoNotOptimize(ran);
  });
}
BENCHMARK_CAPTURE(batch, of_10, 10)->Name("spawn_join/batch_of_10")->Apply(micro::timed);
BENCHMARK_CAPTURE(batch, of_1000, 1000)->Name("spawn_join/batch_of_1000")->Apply(micro::timed);

}  // namespace
