/// One spawn and join on one worker: of a fiber at a time, queued or eager, and of a thousand at once.

#include "micro.hpp"

#include <weft/runtime/spawn.hpp>

#include <benchmark/benchmark.h>
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

void batch(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    constexpr int size = 1000;
    int ran = 0;
    std::vector<weft::task<void>> tasks;
    tasks.reserve(size);
    while (state.KeepRunningBatch(size)) {
      for (int i = 0; i < size; ++i) tasks.push_back(weft::spawn([&ran] { ++ran; }));
      for (auto& task : tasks) task.get();
      tasks.clear();
    }
    benchmark::DoNotOptimize(ran);
  });
}
BENCHMARK(batch)->Name("spawn_join/batch_of_1000")->Apply(micro::timed);

}  // namespace
