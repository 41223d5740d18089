#pragma once
/// @file
/// What weft's micro-benchmarks share. A benchmark's loop runs on a fiber, inside of a runtime that lives for the one
/// measurement; so what is timed is neither the runtime's start nor its end.

#include <weft/runtime/runtime.hpp>

#include <benchmark/benchmark.h>
#include <cstddef>
#include <utility>

namespace micro {

/// Runs `body()` as a fiber of a runtime with that many workers.
template <class F>
void on_workers(std::size_t workers, F&& body) {
  weft::runtime_options options;
  options.workers = workers;
  weft::run(std::forward<F>(body), std::move(options));
}

/// Wall time counts, for a fiber may change its thread; CPU time is that of the whole process.
inline void timed(benchmark::internal::Benchmark* b) { b->UseRealTime()->MeasureProcessCPUTime(); }

}  // namespace micro
