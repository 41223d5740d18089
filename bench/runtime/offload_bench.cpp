/// One call through a pool and back: computing, blocking, of the user's own; beside a thread for each call. (W14 has
/// the peers.)

#include "micro.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/spawn.hpp>

#include <benchmark/benchmark.h>
#include <future>
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

void blocking_round_trip(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int n = 0;
    for (auto _ : state) n = weft::offload_blocking([n] { return n + 1; });
    benchmark::DoNotOptimize(n);
  });
}
BENCHMARK(blocking_round_trip)->Name("offload/blocking_round_trip")->Apply(micro::timed);

/// A call that may be left owns what it touches: an allocation more.
void abandonable_round_trip(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int n = 0;
    for (auto _ : state) n = weft::offload({.abandon_on_cancel = true}, [n] { return n + 1; });
    benchmark::DoNotOptimize(n);
  });
}
BENCHMARK(abandonable_round_trip)->Name("offload/abandonable_round_trip")->Apply(micro::timed);

void own_pool_round_trip(benchmark::State& state) {
  weft::offload_pool pool;
  micro::on_workers(1, [&state, &pool] {
    int n = 0;
    for (auto _ : state) n = pool.run([n] { return n + 1; });
    benchmark::DoNotOptimize(n);
  });
}
BENCHMARK(own_pool_round_trip)->Name("offload/own_pool_round_trip")->Apply(micro::timed);

/// The caller is a thread, and sleeps.
void own_pool_from_thread(benchmark::State& state) {
  weft::offload_pool pool;
  int n = 0;
  for (auto _ : state) n = pool.run([n] { return n + 1; });
  benchmark::DoNotOptimize(n);
}
BENCHMARK(own_pool_from_thread)->Name("offload/own_pool_from_thread")->Apply(micro::timed);

void std_async(benchmark::State& state) {
  int n = 0;
  for (auto _ : state) n = std::async(std::launch::async, [n] { return n + 1; }).get();
  benchmark::DoNotOptimize(n);
}
BENCHMARK(std_async)->Name("offload/std_async_round_trip")->Apply(micro::timed);

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
