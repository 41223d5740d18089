/// A permit taken and given back that nobody else wants: weft's semaphore and the standard library's.

#include "../runtime/micro.hpp"

#include <weft/sync/semaphore.hpp>

#include <benchmark/benchmark.h>
#include <semaphore>

namespace {

template <class Semaphore>
void acquire_release(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    Semaphore semaphore{2};  // libstdc++'s makes a system call for the first of none
    for (auto _ : state) {
      semaphore.acquire();
      semaphore.release();
    }
  });
}
BENCHMARK(acquire_release<weft::semaphore>)->Name("semaphore/acquire_release/weft")->Apply(micro::timed);
BENCHMARK(acquire_release<std::counting_semaphore<>>)->Name("semaphore/acquire_release/std")->Apply(micro::timed);

}  // namespace
