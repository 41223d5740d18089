/// gather of a thousand ready functions, against spawning and joining the same by hand, on one worker.

#include "micro.hpp"

#include <weft/runtime/gather.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task_group.hpp>

#include <benchmark/benchmark.h>
#include <vector>

namespace {

constexpr int size = 1000;

/// What is called: it takes a number and adds it, so that there is something to call.
struct ready_function {
  int* sum;
  int value;
  int operator()() const {
    *sum += value;
    return value;
  }
};

std::vector<ready_function> functions(int& sum) {
  std::vector<ready_function> all;
  for (int i = 0; i < size; ++i) all.push_back({&sum, i});
  return all;
}

void spawn_and_join(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int sum = 0;
    auto const all = functions(sum);
    while (state.KeepRunningBatch(size)) {
      std::vector<weft::task<int>> tasks;
      tasks.reserve(size);
      for (auto const& f : all) tasks.push_back(weft::spawn(f));
      std::vector<int> results;
      results.reserve(size);
      for (auto& task : tasks) results.push_back(task.get());
      benchmark::DoNotOptimize(results.data());
    }
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(spawn_and_join)->Name("gather/by_hand_1000")->Apply(micro::timed);

void gathered(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int sum = 0;
    auto const all = functions(sum);
    while (state.KeepRunningBatch(size)) {
      auto const results = weft::gather(all);
      benchmark::DoNotOptimize(results.data());
    }
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(gathered)->Name("gather/gather_1000")->Apply(micro::timed);

void settled(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int sum = 0;
    auto const all = functions(sum);
    while (state.KeepRunningBatch(size)) {
      auto const results = weft::gather_settled(all);
      benchmark::DoNotOptimize(results.data());
    }
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(settled)->Name("gather/gather_settled_1000")->Apply(micro::timed);

void group(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int sum = 0;
    auto const all = functions(sum);
    while (state.KeepRunningBatch(size)) {
      weft::task_group g;
      for (auto const& f : all) g.spawn(f);
      g.wait();
    }
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(group)->Name("gather/task_group_1000")->Apply(micro::timed);

void three(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    int ran = 0;
    auto const f = [&ran] { return ++ran; };
    for (auto _ : state) {
      auto const [a, b, c] = weft::gather(f, f, f);
      benchmark::DoNotOptimize(a + b + c);
    }
  });
}
BENCHMARK(three)->Name("gather/of_3")->Apply(micro::timed);

}  // namespace
