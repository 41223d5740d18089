/// @file
/// W3, W10 and W14 on oneTBB. Its tasks have no stacks of their own, so it cannot run the other workloads. W14 is for a
/// thread outside of the arena: the variant `enqueue` hands a task in and waits for its future, `execute` calls it in a
/// place of the arena, with the thread itself if one is free.

#include "../workload.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <future>
#include <numeric>
#include <vector>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

namespace {

namespace tbb = oneapi::tbb;

void spawn_join() {
  auto const batches = bench::size("W3_N", 1000);
  std::vector<std::uint64_t> slots(bench::w3_batch);
  bench::stopwatch const watch;
  for (std::size_t batch = 0; batch < batches; ++batch) {
    tbb::task_group group;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      group.run([&slots, i] { slots[i] += i + 1; });
    }
    group.wait();
  }
  double const ns = watch.nanoseconds_per(batches * slots.size());
  bench::check(std::accumulate(slots.begin(), slots.end(), std::uint64_t{0}) == batches * 500'500, "sum of the slots");
  bench::metric("ns_per_spawn_join", ns, "ns");
}

std::uint64_t fib(unsigned n) {
  if (n <= bench::w10_cutoff) return bench::plain_fib(n);
  std::uint64_t a = 0;
  tbb::task_group group;
  group.run([&a, n] { a = fib(n - 1); });
  std::uint64_t const b = fib(n - 2);
  group.wait();
  return a + b;
}

void forkjoin() {
  auto const repeats = bench::size("W10_N", 20);
  bench::check(fib(bench::w10_argument) == bench::w10_result, "fib");
  bench::stopwatch const watch;
  for (std::size_t n = 0; n < repeats; ++n) bench::check(fib(bench::w10_argument) == bench::w10_result, "fib");
  bench::metric("wall_ms", watch.milliseconds() / static_cast<double>(repeats), "ms");
}

void offload(tbb::task_arena& arena, bool enqueue) {
  auto const calls = bench::size("W14_N", 20'000);
  std::size_t n = 0;
  bench::stopwatch const one;
  for (std::size_t i = 0; i < calls; ++i) {
    if (enqueue) {
      std::promise<std::size_t> result;
      auto there = result.get_future();
      arena.enqueue([&result, n] { result.set_value(n + 1); });
      n = there.get();
    } else {
      n = arena.execute([n] { return n + 1; });
    }
  }
  double const round_trip = one.nanoseconds_per(calls);
  bench::check(n == calls, "calls one at a time");

  auto const each = calls * bench::w14_factor / bench::w14_callers;
  std::size_t sum = 0;
  bench::stopwatch const many;
  for (std::size_t i = 0; i < each; ++i) {
    if (enqueue) {
      std::array<std::promise<std::size_t>, bench::w14_callers> results;
      std::array<std::future<std::size_t>, bench::w14_callers> there;
      for (std::size_t k = 0; k < results.size(); ++k) {
        there[k] = results[k].get_future();
        arena.enqueue([&result = results[k], i] { result.set_value(i + 1); });
      }
      for (auto& result : there) sum += result.get() == i + 1;
    } else {
      for (std::size_t k = 0; k < bench::w14_callers; ++k) sum += arena.execute([i] { return i + 1; }) == i + 1;
    }
  }
  double const per_call = many.nanoseconds_per(each * bench::w14_callers);
  bench::check(sum == each * bench::w14_callers, "calls a hundred at a time");
  bench::metric("ns_per_round_trip", round_trip, "ns");
  bench::metric("ns_per_call", per_call, "ns");
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  // W14's caller is a thread outside, which takes up a place of its own.
  unsigned const threads = args.workers + (args.workload == "W14" ? 1 : 0);
  tbb::global_control const limit{tbb::global_control::max_allowed_parallelism, threads};
  tbb::task_arena arena{static_cast<int>(threads)};
  if (args.workload == "W3") {
    arena.execute(spawn_join);
  } else if (args.workload == "W10") {
    arena.execute(forkjoin);
  } else if (args.workload == "W14") {
    offload(arena, args.variant == "enqueue");
  } else {
    bench::unknown(args);
  }
}
