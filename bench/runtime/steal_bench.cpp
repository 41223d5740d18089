/// One worker makes all the work, the others have to steal theirs: time for each of 1000 fibers that compute for about
/// 2 us. The counter `moved` is the share of fibers that ran on another worker than the one that spawned them.

#include "micro.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <benchmark/benchmark.h>
#include <cstddef>
#include <vector>

namespace {

void compute() {
  for (int i = 0; i < 2000; ++i) benchmark::DoNotOptimize(i);
}

void fan_out(benchmark::State& state) {
  micro::on_workers(static_cast<std::size_t>(state.range(0)), [&state] {
    constexpr int size = 1000;
    std::atomic<int> moved{0};
    std::vector<weft::task<void>> tasks;
    tasks.reserve(size);
    while (state.KeepRunningBatch(size)) {
      int const here = weft::this_fiber::worker();
      for (int i = 0; i < size; ++i) {
        tasks.push_back(weft::spawn([&moved, here] {
          if (weft::this_fiber::worker() != here) moved.fetch_add(1, std::memory_order_relaxed);
          compute();
        }));
      }
      for (auto& task : tasks) task.get();
      tasks.clear();
    }
    state.counters["moved"] = static_cast<double>(moved) / static_cast<double>(state.iterations());
  });
}
BENCHMARK(fan_out)->Name("steal/fan_out")->ArgName("workers")->Arg(1)->Arg(2)->Apply(micro::timed);

}  // namespace
