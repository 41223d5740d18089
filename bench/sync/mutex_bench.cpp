/// Lock and unlock of a mutex that nobody else wants: weft's, the standard library's and Boost.Fiber's.

#include "../runtime/micro.hpp"

#include <weft/sync/mutex.hpp>
#include <weft/sync/recursive_mutex.hpp>
#include <weft/sync/shared_mutex.hpp>

#include <benchmark/benchmark.h>
#include <mutex>

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
#include <boost/fiber/mutex.hpp>
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

}  // namespace
