/// @file
/// W13 on weft.

#include "latency.hpp"
#include "workload.hpp"
#include "workloads.hpp"

#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace {

using std::chrono::steady_clock;

std::int64_t nanoseconds_since(steady_clock::time_point then) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now() - then).count();
}

/// A timed task notes when it sets the event, once a round; its partner finds each of these times.
struct pair_of_tasks {
  explicit pair_of_tasks(std::size_t rounds) : set_at(rounds) {}
  weft::event event;
  std::atomic<std::size_t> rounds_set{0};
  std::vector<steady_clock::time_point> set_at;
};

}  // namespace

void stall() {
  auto const rounds = bench::size("W13_N", 60);
  auto const heavy_rounds = rounds / bench::w13_heavy_periods;
  bench::latency_histogram timers;
  bench::latency_histogram events;
  std::atomic<std::uint64_t> sum{0};
  std::vector<std::unique_ptr<pair_of_tasks>> pairs;
  std::vector<weft::task<void>> tasks;
  auto const start = steady_clock::now() + bench::w13_period;
  for (std::size_t i = 0; i < bench::w13_timed; ++i) {
    pairs.push_back(std::make_unique<pair_of_tasks>(rounds));
    pair_of_tasks& pair = *pairs.back();
    tasks.push_back(weft::spawn([&, i] {
      auto deadline = start + bench::w13_period * i / bench::w13_timed;
      for (std::size_t round = 0; round < rounds; ++round, deadline += bench::w13_period) {
        weft::sleep_until(deadline);
        timers.add(nanoseconds_since(deadline));
        pair.set_at[round] = steady_clock::now();
        pair.rounds_set.store(round + 1, std::memory_order_release);
        pair.event.set();
      }
    }));
    tasks.push_back(weft::spawn([&] {
      for (std::size_t round = 0; round < rounds; ++round) {
        while (pair.rounds_set.load(std::memory_order_acquire) <= round) {
          pair.event.reset();
          if (pair.rounds_set.load(std::memory_order_acquire) <= round) pair.event.wait();
        }
        events.add(nanoseconds_since(pair.set_at[round]));
        sum += bench::compute(round + 1, 10);
      }
    }));
  }
  for (std::size_t i = 0; i < bench::w13_heavy; ++i) {
    tasks.push_back(weft::spawn([&, i] {
      auto const period = bench::w13_period * bench::w13_heavy_periods;
      auto deadline = start + period * i / bench::w13_heavy;
      for (std::size_t round = 0; round < heavy_rounds; ++round, deadline += period) {
        weft::sleep_until(deadline);
        timers.add(nanoseconds_since(deadline));
        sum += bench::compute(round + 1, bench::w13_work);
      }
    }));
  }
  for (auto& task : tasks) task.get();
  bench::check(timers.total() == bench::w13_timed * rounds + bench::w13_heavy * heavy_rounds, "timers");
  bench::check(events.total() == bench::w13_timed * rounds && sum != 0, "events");
  timers.report("timer");
  events.report("event");
  bench::metric("cpu_s", bench::cpu_seconds(), "s");
}
