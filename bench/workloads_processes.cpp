/// @file
/// W19 on weft.

#include "workload.hpp"
#include "workloads.hpp"

#include <weft/weft.hpp>

#include <atomic>
#include <cstddef>
#include <vector>

void processes() {
  auto const count = bench::size("W19_N", 1'000);
  auto const run_one = [] { return weft::io::process::spawn({"/bin/true"}).wait().success(); };
  std::size_t ran = 0;
  bench::stopwatch const one;
  for (std::size_t i = 0; i < count; ++i) ran += run_one() ? 1 : 0;
  double const alone = one.nanoseconds_per(count) / 1000;
  bench::check(ran == count, "processes one at a time");

  auto const each = count / bench::w19_at_a_time;
  std::atomic<std::size_t> together{0};
  std::vector<weft::task<void>> tasks;
  bench::stopwatch const many;
  for (std::size_t t = 0; t < bench::w19_at_a_time; ++t) {
    tasks.push_back(weft::spawn([&] {
      for (std::size_t i = 0; i < each; ++i) together += run_one() ? 1 : 0;
    }));
  }
  for (auto& task : tasks) task.get();
  double const beside = many.nanoseconds_per(each * bench::w19_at_a_time) / 1000;
  bench::check(together == each * bench::w19_at_a_time, "processes sixteen at a time");
  bench::metric("us_per_process", alone, "us");
  bench::metric("us_per_process_of_16", beside, "us");
}
