/// One yield, among so many fibers on one worker.

#include "micro.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <benchmark/benchmark.h>
#include <cstddef>
#include <vector>

namespace {

void yield(benchmark::State& state) {
  auto const fibers = static_cast<std::size_t>(state.range(0));
  micro::on_workers(1, [&state, fibers] {
    bool stop = false;
    std::size_t started = 1;
    std::size_t yields = 0;
    std::vector<weft::task<void>> others;
    for (std::size_t i = 1; i < fibers; ++i) {
      others.push_back(weft::spawn([&stop, &started, &yields] {
        ++started;
        while (!stop) {
          weft::yield();
          ++yields;
        }
      }));
    }
    while (started < fibers) weft::yield();  // all have their stacks now
    // A worker with more fibers than its ring holds lets this one run less often than the others. What they have done
    // beyond the present round counts for the next ones.
    auto due = yields;
    while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(fibers))) {
      for (due += fibers; yields < due; ++yields) weft::yield();
    }
    stop = true;
    for (auto& other : others) other.get();
  });
}
// A turn of 100'000 would take a good part of the measurement, and only whole turns are seen.
BENCHMARK(yield)->Name("yield")->ArgName("fibers")->RangeMultiplier(10)->Range(1, 10'000)->Apply(micro::timed);

}  // namespace
