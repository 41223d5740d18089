/// @file
/// W3 and W10 on oneTBB. Its tasks have no stacks of their own, so it cannot run the other workloads.

#include "../workload.hpp"

#include <cstddef>
#include <cstdint>
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

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  tbb::global_control const limit{tbb::global_control::max_allowed_parallelism, args.workers};
  tbb::task_arena arena{static_cast<int>(args.workers)};
  if (args.workload == "W3") {
    arena.execute(spawn_join);
  } else if (args.workload == "W10") {
    arena.execute(forkjoin);
  } else {
    bench::unknown(args);
  }
}
