/// @file
/// W10 without any spawn: what the computation itself costs.

#include "../workload.hpp"

namespace {

std::uint64_t fib(unsigned n) {
  if (n <= bench::w10_cutoff) return bench::plain_fib(n);
  std::uint64_t const a = fib(n - 1);
  std::uint64_t const b = fib(n - 2);
  return a + b;
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  if (args.workload != "W10") bench::unknown(args);

  auto const repeats = bench::size("W10_N", 20);
  bench::check(fib(bench::w10_argument) == bench::w10_result, "fib");
  bench::stopwatch const watch;
  for (std::size_t n = 0; n < repeats; ++n) {
    bench::check(fib(bench::w10_argument) == bench::w10_result, "fib");
  }
  bench::metric("wall_ms", watch.milliseconds() / static_cast<double>(repeats), "ms");
}
