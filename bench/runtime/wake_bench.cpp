/// A round trip of events between two parties, which is two wake-ups: two fibers of one worker; of two workers, where
/// the scheduler may keep both on one; the same with both made to change their worker with each wait; a fiber and a
/// thread.

#include "micro.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/sync/event.hpp>

#include <benchmark/benchmark.h>
#include <cstddef>
#include <thread>
#include <utility>

namespace {

/// Two events, each set by one party and reset by the other.
struct court {
  weft::event serve;
  weft::event reply;
  bool over = false;  // written before `serve` is set, read after

  void answer() {
    for (;;) {
      serve.wait();
      serve.reset();
      if (over) return;
      reply.set();
    }
  }
  void play(benchmark::State& state) {
    for (auto _ : state) {
      serve.set();
      reply.wait();
      reply.reset();
    }
    over = true;
    serve.set();
  }
};

void ping_pong(benchmark::State& state, weft::runtime_options options) {
  weft::run(
      [&state] {
        court c;
        auto other = weft::spawn([&c] { c.answer(); });
        c.play(state);
        other.get();
      },
      std::move(options));
}

void by_workers(benchmark::State& state) {
  weft::runtime_options options;
  options.workers = static_cast<std::size_t>(state.range(0));
  ping_pong(state, std::move(options));
}
BENCHMARK(by_workers)->Name("wake/event_round_trip")->ArgName("workers")->Arg(1)->Arg(2)->Apply(micro::timed);

void across_workers(benchmark::State& state) { ping_pong(state, weft::testing::forced_migration()); }
BENCHMARK(across_workers)->Name("wake/event_round_trip_across_workers")->Apply(micro::timed);

void with_a_thread(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    court c;
    std::thread other{[&c] { c.answer(); }};
    c.play(state);
    other.join();
  });
}
BENCHMARK(with_a_thread)->Name("wake/event_round_trip_with_thread")->Apply(micro::timed);

}  // namespace
