/// How late a sleep ends on a runtime that has nothing else to do, and what a deadline costs that never comes.

#include "micro.hpp"

#include <weft/runtime/clock.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstddef>
#include <vector>

namespace {

using namespace std::chrono_literals;

/// The counters are the time by which sleep_for(100us) is too long.
void lateness(benchmark::State& state) {
  micro::on_workers(static_cast<std::size_t>(state.range(0)), [&state] {
    std::vector<double> late_us;
    late_us.reserve(static_cast<std::size_t>(state.max_iterations));
    for (auto _ : state) {
      auto const start = weft::clock::now();
      weft::sleep_for(100us);
      late_us.push_back(std::chrono::duration<double, std::micro>(weft::clock::now() - start - 100us).count());
    }
    std::sort(late_us.begin(), late_us.end());
    state.counters["late_median_us"] = late_us[late_us.size() / 2];
    state.counters["late_p99_us"] = late_us[late_us.size() * 99 / 100];
  });
}
BENCHMARK(lateness)->Name("sleep/100us")->ArgName("workers")->Arg(1)->Arg(2)->Iterations(2000)->Apply(micro::timed);

/// A fiber waits for an event, with or without a limit, and another sets it: all but the difference is `wake`.
void notified(benchmark::State& state, bool limited) {
  micro::on_workers(1, [&state, limited] {
    weft::event event;
    bool over = false;
    auto other = weft::spawn([&] {
      while (!over) {
        event.set();
        weft::yield();
      }
    });
    for (auto _ : state) {
      event.reset();
      if (limited) {
        benchmark::DoNotOptimize(event.wait_for(1h));
      } else {
        event.wait();
      }
    }
    over = true;
    other.get();
  });
}
BENCHMARK_CAPTURE(notified, without, false)->Name("sleep/notified_without_limit")->Apply(micro::timed);
BENCHMARK_CAPTURE(notified, with, true)->Name("sleep/notified_before_limit")->Apply(micro::timed);

}  // namespace
