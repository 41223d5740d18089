/// @file
/// W7 on weft.

#include "workload.hpp"
#include "workloads.hpp"

#include <weft/weft.hpp>

#include <cstddef>
#include <mutex>
#include <vector>

void mutex() {
  auto const each = bench::size("W7_N", 20'000);
  weft::mutex mutex;
  std::size_t counter = 0;
  std::vector<weft::task<void>> tasks;
  bench::stopwatch const watch;
  for (std::size_t t = 0; t < bench::w7_tasks; ++t) {
    tasks.push_back(weft::spawn([&mutex, &counter, each] {
      for (std::size_t i = 0; i < each; ++i) {
        std::lock_guard const lock{mutex};
        ++counter;
      }
    }));
  }
  for (auto& task : tasks) task.get();
  double const ns = watch.nanoseconds_per(bench::w7_tasks * each);
  bench::check(counter == bench::w7_tasks * each, "counter");
  bench::metric("ns_per_lock", ns, "ns");
}
