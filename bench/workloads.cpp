/// @file
/// W2, W3, W8, W9 and W10 on weft, and the way to those with files of their own; `W2_float` is W2 with an inexact
/// floating-point operation between any two yields. W4's variant `plain` queues each child; otherwise it starts at
/// once.

#include "workloads.hpp"
#include "workload.hpp"

#include <weft/weft.hpp>

#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

template <typename BetweenYields>
void yield(BetweenYields work) {
  auto const yields = bench::size("W2_N", 1000);
  bench::task_span span{bench::w2_tasks};
  std::atomic<std::size_t> total{0};
  std::vector<weft::task<void>> tasks;
  for (std::size_t i = 0; i < bench::w2_tasks; ++i) {
    tasks.push_back(weft::spawn([&] {
      span.first_statement();
      std::size_t n = 0;
      for (; n < yields; ++n) {
        work();
        weft::yield();
      }
      total += n;
      span.last_statement();
    }));
  }
  for (auto& task : tasks) task.get();
  bench::check(total == bench::w2_tasks * yields, "yields");
  bench::metric("ns_per_yield", span.nanoseconds() / static_cast<double>(bench::w2_tasks * yields), "ns");
}

/// On a value that is at hand for all: what is measured is the switch after it, and not the fetching of one more line
/// of each fiber's stack.
void inexact_operation() {
  static double const volatile tenth = 0.1;
  double const product = tenth * tenth;
  asm volatile("" : : "r"(std::bit_cast<std::uint64_t>(product)));  // computed each time
}

void spawn_join() {
  auto const batches = bench::size("W3_N", 1000);
  std::vector<std::uint64_t> slots(bench::w3_batch);
  std::vector<weft::task<void>> tasks(slots.size());
  bench::stopwatch const watch;
  for (std::size_t batch = 0; batch < batches; ++batch) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      tasks[i] = weft::spawn([&slots, i] { slots[i] += i + 1; });
    }
    for (auto& task : tasks) task.get();
  }
  double const ns = watch.nanoseconds_per(batches * slots.size());
  bench::check(std::accumulate(slots.begin(), slots.end(), std::uint64_t{0}) == batches * 500'500, "sum of the slots");
  bench::metric("ns_per_spawn_join", ns, "ns");
}

void parked() {
  auto const count = bench::size("W8_N", 1'000'000);
  weft::event event;
  weft::event all_parked;
  std::atomic<std::size_t> waiting{0};
  std::atomic<std::size_t> woken{0};
  auto const before = bench::memory_bytes("VmRSS");
  bench::stopwatch const creation;
  std::vector<weft::task<void>> tasks;
  tasks.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    tasks.push_back(weft::spawn(weft::spawn_options{.stack_size = std::size_t{64} * 1024}, [&] {
      if (waiting.fetch_add(1) + 1 == count) all_parked.set();
      event.wait();
      ++woken;
    }));
  }
  all_parked.wait();
  bench::metric("create_park_ms", creation.milliseconds(), "ms");
  auto const after = bench::memory_bytes("VmHWM");
  bench::metric("rss_bytes_per_fiber", static_cast<double>(after - before) / static_cast<double>(count), "B");
  bench::stopwatch const wake;
  event.set();
  for (auto& task : tasks) task.get();
  bench::metric("wake_join_ms", wake.milliseconds(), "ms");
  bench::check(woken == count, "tasks woken");
}

void timers() {
  auto const count = bench::size("W9_N", 1'000'000);
  std::atomic<std::size_t> done{0};
  double const cpu_before = bench::cpu_seconds();
  bench::stopwatch const watch;
  std::vector<weft::task<void>> tasks;
  tasks.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    tasks.push_back(weft::spawn(weft::spawn_options{.stack_size = std::size_t{64} * 1024}, [&done, i] {
      weft::sleep_for(bench::w9_duration(i));
      ++done;
    }));
  }
  for (auto& task : tasks) task.get();
  double const wall_ms = watch.milliseconds();
  double const cpu = bench::cpu_seconds() - cpu_before;
  bench::check(done == count, "tasks that slept");
  bench::metric("over_1s_ms", wall_ms - 1000, "ms");
  bench::metric("cpu_s", cpu, "s");
  bench::metric("peak_rss_mib", static_cast<double>(bench::memory_bytes("VmHWM")) / (1 << 20), "MiB");
}

std::uint64_t fib(unsigned n) {
  if (n <= bench::w10_cutoff) return bench::plain_fib(n);
  auto larger = weft::spawn(fib, n - 1);
  auto const smaller = fib(n - 2);
  return larger.get() + smaller;
}

void forkjoin() {
  auto const repetitions = bench::size("W10_N", 20);
  bench::check(fib(bench::w10_argument) == bench::w10_result, "fib(30)");
  bench::stopwatch const watch;
  for (std::size_t i = 0; i < repetitions; ++i) {
    bench::check(fib(bench::w10_argument) == bench::w10_result, "fib(30)");
  }
  bench::metric("wall_ms", watch.milliseconds() / static_cast<double>(repetitions), "ms");
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  weft::runtime_options options;
  options.workers = args.workers;
  weft::run(
      [&args] {
        if (args.workload == "W2") return yield([] {});
        if (args.workload == "W2_float")
          return yield([] { inexact_operation(); });  // not the function, which would be called through a pointer
        if (args.workload == "W3") return spawn_join();
        if (args.workload == "W4") return skynet(args.variant == "plain" ? weft::start::queued : weft::start::eager);
        if (args.workload == "W5") return pingpong();
        if (args.workload == "W6") return mpmc_channel();
        if (args.workload == "W7") return mutex();
        if (args.workload == "W8") return parked();
        if (args.workload == "W9") return timers();
        if (args.workload == "W10") return forkjoin();
        if (args.workload == "W13") return stall();
        if (args.workload == "W14") return offload();
        if (args.workload == "W18") return read_files();
        if (args.workload == "W19") return processes();
        bench::unknown(args);
      },
      options);
}
