/// @file
/// W14 on weft.

#include "workload.hpp"
#include "workloads.hpp"

#include <weft/weft.hpp>

#include <atomic>
#include <cstddef>
#include <vector>

void offload() {
  auto const calls = bench::size("W14_N", 20'000);
  std::size_t n = 0;
  bench::stopwatch const one;
  for (std::size_t i = 0; i < calls; ++i) n = weft::offload([n] { return n + 1; });
  double const round_trip = one.nanoseconds_per(calls);
  bench::check(n == calls, "calls one at a time");

  auto const each = calls * bench::w14_factor / bench::w14_callers;
  std::atomic<std::size_t> sum{0};
  std::vector<weft::task<void>> tasks;
  bench::stopwatch const many;
  for (std::size_t c = 0; c < bench::w14_callers; ++c) {
    tasks.push_back(weft::spawn([&sum, each] {
      std::size_t mine = 0;
      for (std::size_t i = 0; i < each; ++i) mine = weft::offload([mine] { return mine + 1; });
      sum += mine;
    }));
  }
  for (auto& task : tasks) task.get();
  double const per_call = many.nanoseconds_per(each * bench::w14_callers);
  bench::check(sum == each * bench::w14_callers, "calls a hundred at a time");
  bench::metric("ns_per_round_trip", round_trip, "ns");
  bench::metric("ns_per_call", per_call, "ns");
}
