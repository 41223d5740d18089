/// @file
/// W19 with posix_spawn() and waitpid(), by threads.

#include "../workload.hpp"

#include <atomic>
#include <cstddef>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

bool run_one() {
  char name[] = "/bin/true";
  char* const argv[] = {name, nullptr};
  pid_t child = 0;
  int status = 1;
  return ::posix_spawn(&child, name, nullptr, nullptr, argv, environ) == 0 && ::waitpid(child, &status, 0) == child &&
         status == 0;
}

void processes() {
  auto const count = bench::size("W19_N", 1'000);
  std::size_t ran = 0;
  bench::stopwatch const one;
  for (std::size_t i = 0; i < count; ++i) ran += run_one() ? 1 : 0;
  double const alone = one.nanoseconds_per(count) / 1000;
  bench::check(ran == count, "processes one at a time");

  auto const each = count / bench::w19_at_a_time;
  std::atomic<std::size_t> together{0};
  std::vector<std::thread> threads;
  bench::stopwatch const many;
  for (std::size_t t = 0; t < bench::w19_at_a_time; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < each; ++i) together += run_one() ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  double const beside = many.nanoseconds_per(each * bench::w19_at_a_time) / 1000;
  bench::check(together == each * bench::w19_at_a_time, "processes sixteen at a time");
  bench::metric("us_per_process", alone, "us");
  bench::metric("us_per_process_of_16", beside, "us");
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  if (args.workload != "W19") bench::unknown(args);
  processes();
}
