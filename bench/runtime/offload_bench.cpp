/// One call through the offload pool and back.

#include "micro.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>

#include <benchmark/benchmark.h>
#include <vector>

namespace {

/// One caller: the pool's thread and the worker wake each other.
void round_trip(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int n = 0;
    for (auto _ : state) n = weft::offload([n] { return n + 1; });
    benchmark::DoNotOptimize(n);
  });
}
BENCHMARK(round_trip)->Name("offload/round_trip")->Apply(micro::timed);

/// A hundred callers: time for each call, when neither side runs dry.
void many_callers(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    constexpr int callers = 100;
    constexpr int calls = 10;
    std::vector<weft::task<void>> tasks;
    tasks.reserve(callers);
    while (state.KeepRunningBatch(benchmark::IterationCount{callers} * calls)) {
      for (int i = 0; i < callers; ++i) {
        tasks.push_back(weft::spawn([] {
          for (int k = 0; k < calls; ++k) benchmark::DoNotOptimize(weft::offload([k] { return k; }));
        }));
      }
      for (auto& task : tasks) task.get();
      tasks.clear();
    }
  });
}
BENCHMARK(many_callers)->Name("offload/100_callers")->Apply(micro::timed);

}  // namespace
