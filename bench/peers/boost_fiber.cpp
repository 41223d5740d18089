/// @file
/// W2 to W10 on Boost.Fiber: round_robin on one thread, work_stealing on several.
/// Variant `default` of W3 takes the library's own stack allocator and size. All others have stacks of 16 KiB: from
/// pooled_fixedsize_stack, or from fixedsize_stack on several threads (the pool is not thread safe) and in W8 and W9.

#include "../workload.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/fixedsize_stack.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/policy.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>
#include <boost/fiber/unbuffered_channel.hpp>

namespace {

namespace fibers = boost::fibers;

constexpr std::size_t stack_size = 16 * 1024;

template <typename Stacks, typename F>
fibers::fiber spawn(Stacks& stacks, F&& f) {
  return fibers::fiber{std::allocator_arg, stacks, std::forward<F>(f)};
}

template <typename Stacks>
void yield(Stacks& stacks) {
  auto const yields = bench::size("W2_N", 1000);
  bench::task_span span{bench::w2_tasks};
  std::atomic<std::size_t> total{0};
  std::vector<fibers::fiber> tasks;
  for (std::size_t i = 0; i < bench::w2_tasks; ++i) {
    tasks.push_back(spawn(stacks, [&] {
      span.first_statement();
      std::size_t n = 0;
      for (; n < yields; ++n) boost::this_fiber::yield();
      total += n;
      span.last_statement();
    }));
  }
  for (auto& task : tasks) task.join();
  bench::check(total == bench::w2_tasks * yields, "yields");
  bench::metric("ns_per_yield", span.nanoseconds() / static_cast<double>(bench::w2_tasks * yields), "ns");
}

template <typename Stacks>
void spawn_join(Stacks& stacks) {
  auto const batches = bench::size("W3_N", 1000);
  std::vector<std::uint64_t> slots(bench::w3_batch);
  std::vector<fibers::fiber> tasks(slots.size());
  bench::stopwatch const watch;
  for (std::size_t batch = 0; batch < batches; ++batch) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      tasks[i] = spawn(stacks, [&slots, i] { slots[i] += i + 1; });
    }
    for (auto& task : tasks) task.join();
  }
  double const ns = watch.nanoseconds_per(batches * slots.size());
  bench::check(std::accumulate(slots.begin(), slots.end(), std::uint64_t{0}) == batches * 500'500, "sum of the slots");
  bench::metric("ns_per_spawn_join", ns, "ns");
}

using number_channel = fibers::buffered_channel<std::uint64_t>;

/// As the library's own example has it: children start at once and are detached, and a channel holds 15.
template <typename Stacks>
void skynet(Stacks& stacks, number_channel& to, std::uint64_t num, std::uint64_t size) {
  if (size == 1) {
    to.push(num);
    return;
  }
  number_channel from{16};
  for (std::uint64_t i = 0; i < bench::w4_children; ++i) {
    fibers::fiber{fibers::launch::dispatch, std::allocator_arg, stacks,
                  [&stacks, &from, num, size, i] {
                    skynet(stacks, from, num + i * (size / bench::w4_children), size / bench::w4_children);
                  }}
        .detach();
  }
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < bench::w4_children; ++i) sum += from.value_pop();
  to.push(sum);
}

template <typename Stacks>
void skynet(Stacks& stacks) {
  auto const leaves = bench::size("W4_N", 1'000'000);
  number_channel answer{16};
  bench::stopwatch const watch;
  auto root = spawn(stacks, [&] { skynet(stacks, answer, 0, leaves); });
  auto const sum = answer.value_pop();
  double const ms = watch.milliseconds();
  root.join();
  bench::check(sum == bench::w4_sum(leaves), "sum of the leaves");
  bench::metric("wall_ms", ms, "ms");
  bench::metric("peak_rss_mib", static_cast<double>(bench::memory_bytes("VmHWM")) / (1 << 20), "MiB");
}

template <typename Stacks>
void pingpong(Stacks& stacks) {
  auto const rounds = bench::size("W5_N", 1'000'000);
  fibers::unbuffered_channel<std::uint64_t> ping;
  fibers::unbuffered_channel<std::uint64_t> pong;
  std::uint64_t sum = 0;
  bench::stopwatch const watch;
  auto b = spawn(stacks, [&] {
    for (std::size_t i = 0; i < rounds; ++i) pong.push(ping.value_pop() + 1);
  });
  auto a = spawn(stacks, [&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      ping.push(i);
      sum += pong.value_pop();
    }
  });
  a.join();
  b.join();
  double const ns = watch.nanoseconds_per(rounds);
  bench::check(sum == bench::w5_sum(rounds), "sum of the answers");
  bench::metric("ns_per_round_trip", ns, "ns");
}

template <typename Stacks>
void mpmc_channel(Stacks& stacks) {
  auto const messages = bench::size("W6_N", 4'000'000);
  number_channel channel{bench::w6_capacity};
  std::uint64_t sums[bench::w6_tasks]{};
  std::vector<fibers::fiber> producers;
  std::vector<fibers::fiber> consumers;
  bench::stopwatch const watch;
  for (std::size_t p = 0; p < bench::w6_tasks; ++p) {
    producers.push_back(spawn(stacks, [&channel, p, messages] {
      for (std::size_t i = p; i < messages; i += bench::w6_tasks) channel.push(i);
    }));
  }
  for (auto& sum : sums) {
    consumers.push_back(spawn(stacks, [&channel, &sum] {
      std::uint64_t mine = 0;
      for (std::uint64_t value = 0; channel.pop(value) == fibers::channel_op_status::success;) mine += value;
      sum = mine;
    }));
  }
  for (auto& task : producers) task.join();
  channel.close();
  for (auto& task : consumers) task.join();
  double const ns = watch.nanoseconds_per(messages);
  bench::check(std::accumulate(std::begin(sums), std::end(sums), std::uint64_t{0}) == bench::w6_sum(messages),
               "sum of the messages");
  bench::metric("ns_per_message", ns, "ns");
}

template <typename Stacks>
void mutex(Stacks& stacks) {
  auto const each = bench::size("W7_N", 20'000);
  fibers::mutex mutex;
  std::size_t counter = 0;
  std::vector<fibers::fiber> tasks;
  bench::stopwatch const watch;
  for (std::size_t t = 0; t < bench::w7_tasks; ++t) {
    tasks.push_back(spawn(stacks, [&mutex, &counter, each] {
      for (std::size_t i = 0; i < each; ++i) {
        std::lock_guard const lock{mutex};
        ++counter;
      }
    }));
  }
  for (auto& task : tasks) task.join();
  double const ns = watch.nanoseconds_per(bench::w7_tasks * each);
  bench::check(counter == bench::w7_tasks * each, "counter");
  bench::metric("ns_per_lock", ns, "ns");
}

void parked() {
  auto const count = bench::size("W8_N", 1'000'000);
  fibers::fixedsize_stack stacks{stack_size};
  fibers::buffered_channel<int> event{2};
  fibers::promise<void> all_parked;
  std::atomic<std::size_t> waiting{0};
  std::atomic<std::size_t> woken{0};

  auto const rss_before = bench::memory_bytes("VmRSS");
  bench::stopwatch const create;
  std::vector<fibers::fiber> tasks;
  tasks.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    tasks.push_back(spawn(stacks, [&] {
      if (++waiting == count) all_parked.set_value();
      int nothing = 0;
      if (event.pop(nothing) == fibers::channel_op_status::closed) ++woken;
    }));
  }
  all_parked.get_future().wait();
  double const create_ms = create.milliseconds();
  auto const peak = bench::memory_bytes("VmHWM");

  bench::stopwatch const wake;
  event.close();
  for (auto& task : tasks) task.join();
  double const wake_ms = wake.milliseconds();
  bench::check(woken == count, "woken");
  bench::metric("create_park_ms", create_ms, "ms");
  bench::metric("wake_join_ms", wake_ms, "ms");
  bench::metric("rss_bytes_per_fiber", static_cast<double>(peak - rss_before) / static_cast<double>(count), "B");
}

void timers() {
  auto const count = bench::size("W9_N", 1'000'000);
  fibers::fixedsize_stack stacks{stack_size};
  std::atomic<std::size_t> done{0};
  double const cpu_before = bench::cpu_seconds();
  bench::stopwatch const watch;
  std::vector<fibers::fiber> tasks;
  tasks.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    tasks.push_back(spawn(stacks, [&done, i] {
      boost::this_fiber::sleep_for(bench::w9_duration(i));
      ++done;
    }));
  }
  for (auto& task : tasks) task.join();
  double const wall_ms = watch.milliseconds();
  double const cpu = bench::cpu_seconds() - cpu_before;
  bench::check(done == count, "sleepers");
  bench::metric("over_1s_ms", wall_ms - 1000, "ms");
  bench::metric("cpu_s", cpu, "s");
  bench::metric("peak_rss_mib", static_cast<double>(bench::memory_bytes("VmHWM")) / (1 << 20), "MiB");
}

template <typename Stacks>
std::uint64_t fib(Stacks& stacks, unsigned n) {
  if (n <= bench::w10_cutoff) return bench::plain_fib(n);
  std::uint64_t a = 0;
  auto task = spawn(stacks, [&] { a = fib(stacks, n - 1); });
  std::uint64_t const b = fib(stacks, n - 2);
  task.join();
  return a + b;
}

template <typename Stacks>
void forkjoin(Stacks& stacks) {
  auto const repeats = bench::size("W10_N", 20);
  bench::check(fib(stacks, bench::w10_argument) == bench::w10_result, "fib");
  bench::stopwatch const watch;
  for (std::size_t n = 0; n < repeats; ++n) {
    bench::check(fib(stacks, bench::w10_argument) == bench::w10_result, "fib");
  }
  bench::metric("wall_ms", watch.milliseconds() / static_cast<double>(repeats), "ms");
}

template <typename Stacks>
void run(bench::arguments const& args, Stacks& stacks) {
  if (args.workload == "W2") {
    yield(stacks);
  } else if (args.workload == "W3") {
    spawn_join(stacks);
  } else if (args.workload == "W4") {
    skynet(stacks);
  } else if (args.workload == "W5") {
    pingpong(stacks);
  } else if (args.workload == "W6") {
    mpmc_channel(stacks);
  } else if (args.workload == "W7") {
    mutex(stacks);
  } else if (args.workload == "W8") {
    parked();
  } else if (args.workload == "W9") {
    timers();
  } else if (args.workload == "W10") {
    forkjoin(stacks);
  } else {
    bench::unknown(args);
  }
}

void choose_stacks_and_run(bench::arguments const& args) {
  fibers::default_stack usual;
  fibers::fixedsize_stack fixed{stack_size};
  fibers::pooled_fixedsize_stack pool{stack_size};
  if (args.variant == "default") {
    run(args, usual);
  } else if (args.workers > 1) {
    run(args, fixed);
  } else {
    run(args, pool);
  }
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  if (args.workers == 1) {
    fibers::use_scheduling_algorithm<fibers::algo::round_robin>();
    fibers::fiber{[&] { choose_stacks_and_run(args); }}.join();
    return 0;
  }
  // Every thread that shares work has to register before any of them goes on.
  fibers::promise<void> finished;
  auto const end = finished.get_future().share();
  std::vector<std::thread> workers;
  for (unsigned w = 1; w < args.workers; ++w) {
    workers.emplace_back([&] {
      fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(args.workers);
      end.wait();
    });
  }
  fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(args.workers);
  fibers::fiber{[&] { choose_stacks_and_run(args); }}.join();
  finished.set_value();
  for (auto& worker : workers) worker.join();
}
