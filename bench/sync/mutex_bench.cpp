/// Lock and unlock of a mutex that nobody else wants: weft's, the standard library's and Boost.Fiber's. And one that 64
/// fibers want all the time: how long one of them waits at most.

#include "../runtime/micro.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/mutex.hpp>
#include <weft/sync/recursive_mutex.hpp>
#include <weft/sync/shared_mutex.hpp>

#include <algorithm>
#include <atomic>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#endif

namespace {

template <class Mutex>
void lock_unlock(benchmark::State& state) {
  Mutex mutex;
  int counter = 0;
  for (auto _ : state) {
    mutex.lock();
    benchmark::DoNotOptimize(++counter);
    mutex.unlock();
  }
}

template <class Mutex>
void on_fiber(benchmark::State& state) {
  micro::on_workers(1, [&state] { lock_unlock<Mutex>(state); });
}
BENCHMARK(on_fiber<weft::mutex>)->Name("mutex/lock_unlock/weft")->Apply(micro::timed);
BENCHMARK(on_fiber<std::mutex>)->Name("mutex/lock_unlock/std")->Apply(micro::timed);
#ifdef WEFT_BENCH_WITH_BOOST_FIBER
BENCHMARK(lock_unlock<boost::fibers::mutex>)->Name("mutex/lock_unlock/Boost.Fiber")->Apply(micro::timed);
#endif
BENCHMARK(on_fiber<weft::recursive_mutex>)->Name("mutex/lock_unlock/weft_recursive")->Apply(micro::timed);
BENCHMARK(on_fiber<std::recursive_mutex>)->Name("mutex/lock_unlock/std_recursive")->Apply(micro::timed);
BENCHMARK(on_fiber<weft::shared_mutex>)->Name("mutex/lock_unlock/weft_shared")->Apply(micro::timed);

/// What the waits of one fiber came to at most: in time, and in others that had the lock meanwhile.
struct longest_wait {
  std::chrono::nanoseconds time{0};
  std::uint64_t turns = 0;

  void raise(longest_wait const& other) {
    time = std::max(time, other.time);
    turns = std::max(turns, other.turns);
  }
};

/// Wants the lock again at once, and lets others run while it has it, so that they find it taken. `taken` belongs to
/// who has the lock. `seen` is a copy of it for who has not: relaxed, for it orders nothing and pairs with nothing. It
/// is stored under the lock and loaded before the lock is asked for, and so never ahead of what `taken` is then.
template <class Mutex, class Yield>
longest_wait want_it(Mutex& mutex, std::uint64_t& taken, std::atomic<std::uint64_t>& seen, Yield yield) {
  constexpr int times = 1'000;
  longest_wait longest;
  for (int i = 0; i < times; ++i) {
    auto const before = seen.load(std::memory_order_relaxed);
    auto const asked = std::chrono::steady_clock::now();
    std::lock_guard const lock{mutex};
    longest.raise({std::chrono::steady_clock::now() - asked, taken - before});
    seen.store(++taken, std::memory_order_relaxed);
    yield();
  }
  return longest;
}

/// @param run  runs its argument in 64 fibers at once and calls its second with what each returns
template <class Mutex, class Run, class Yield>
void contend(benchmark::State& state, Run run, Yield yield) {
  longest_wait longest;
  for (auto _ : state) {
    Mutex mutex;
    std::uint64_t taken = 0;
    std::atomic<std::uint64_t> seen{0};
    run([&] { return want_it(mutex, taken, seen, yield); }, [&](longest_wait const& its) { longest.raise(its); });
  }
  state.counters["longest_wait_us"] = static_cast<double>(longest.time.count()) / 1e3;
  state.counters["longest_wait_turns"] = static_cast<double>(longest.turns);
}

constexpr int contenders = 64;

void contended(benchmark::State& state) {
  micro::on_workers(static_cast<std::size_t>(state.range(0)), [&state] {
    auto const run = [](auto&& body, auto&& result) {
      std::vector<weft::task<longest_wait>> tasks;
      for (int i = 0; i < contenders; ++i) tasks.push_back(weft::spawn([&body] { return body(); }));
      for (auto& t : tasks) result(t.get());
    };
    contend<weft::mutex>(state, run, [] { weft::yield(); });
  });
}
BENCHMARK(contended)->Name("mutex/64_fibers/weft")->ArgName("workers")->Arg(1)->Arg(2)->Apply(micro::timed);

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
void contended_boost(benchmark::State& state) {
  auto const run = [](auto&& body, auto&& result) {
    std::vector<longest_wait> waits(contenders);
    std::vector<boost::fibers::fiber> fibers;
    for (auto& its : waits) fibers.emplace_back([&body, &its] { its = body(); });
    for (auto& f : fibers) f.join();
    for (auto const& its : waits) result(its);
  };
  contend<boost::fibers::mutex>(state, run, [] { boost::this_fiber::yield(); });
}
BENCHMARK(contended_boost)->Name("mutex/64_fibers/Boost.Fiber")->Apply(micro::timed);
#endif

}  // namespace
