/// An event with nobody waiting: set and reset; and a wait for one that is set.

#include "../runtime/micro.hpp"

#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/event.hpp>

#include <benchmark/benchmark.h>

namespace {

void set_reset(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    weft::event event;
    for (auto _ : state) {
      event.set();
      event.reset();
    }
  });
}
BENCHMARK(set_reset)->Name("event/set_reset")->Apply(micro::timed);

void wait_when_set(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    weft::event event;
    event.set();
    for (auto _ : state) event.wait();
  });
}
BENCHMARK(wait_when_set)->Name("event/wait_when_set")->Apply(micro::timed);

void auto_reset(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    weft::auto_reset_event event;
    for (auto _ : state) {
      event.set();
      event.wait();
    }
  });
}
BENCHMARK(auto_reset)->Name("event/set_and_wait_auto_reset")->Apply(micro::timed);

}  // namespace
