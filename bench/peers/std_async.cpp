/// @file
/// W14 with `std::async(std::launch::async)`: a thread for each call. Its caller is a thread.

#include "../workload.hpp"

#include <array>
#include <cstddef>
#include <future>

namespace {

void offload() {
  auto const calls = bench::size("W14_N", 20'000);
  std::size_t n = 0;
  bench::stopwatch const one;
  for (std::size_t i = 0; i < calls; ++i) n = std::async(std::launch::async, [n] { return n + 1; }).get();
  double const round_trip = one.nanoseconds_per(calls);
  bench::check(n == calls, "calls one at a time");

  auto const each = calls * bench::w14_factor / bench::w14_callers;
  std::size_t sum = 0;
  std::array<std::future<std::size_t>, bench::w14_callers> results;
  bench::stopwatch const many;
  for (std::size_t i = 0; i < each; ++i) {
    for (auto& result : results) result = std::async(std::launch::async, [i] { return i + 1; });
    for (auto& result : results) sum += result.get() == i + 1;
  }
  double const per_call = many.nanoseconds_per(each * bench::w14_callers);
  bench::check(sum == each * bench::w14_callers, "calls a hundred at a time");
  bench::metric("ns_per_round_trip", round_trip, "ns");
  bench::metric("ns_per_call", per_call, "ns");
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  if (args.workload != "W14") bench::unknown(args);
  offload();
}
