/// `wait` for the first of many tasks, for the first failure, for all, or for a limited time; then for the rest.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

void job(std::chrono::seconds duration, bool fails) {
  weft::sleep_for(duration);
  if (fails) throw std::runtime_error("this one fails");
}

std::vector<weft::task<void>> start_jobs() {
  std::vector<weft::task<void>> jobs;
  jobs.push_back(weft::spawn(job, 1s, false));
  jobs.push_back(weft::spawn(job, 2s, true));
  jobs.push_back(weft::spawn(job, 3s, false));
  return jobs;
}

template <class Result>
void tell(char const* mode, Result const& result, weft::time_point start) {
  std::printf("%s: %zu done, %zu pending after %.1f s\n", mode, result.done.size(), result.pending.size(),
              std::chrono::duration<double>(weft::testing::now() - start).count());
  for (auto* task : result.done) (void)task->exception();  // seen
}

}  // namespace

int main() {
  using weft::return_when;
  weft::run(
      [] {
        for (auto const& [name, when] : {std::pair{"first_completed", return_when::first_completed},
                                         std::pair{"first_exception", return_when::first_exception},
                                         std::pair{"all_completed", return_when::all_completed}}) {
          auto const start = weft::testing::now();
          auto jobs = start_jobs();
          auto const result = weft::wait(jobs, when);
          tell(name, result, start);
        }

        auto const start = weft::testing::now();
        auto jobs = start_jobs();
        auto some = weft::wait(jobs, 1500ms);
        tell("1.5 s", some, start);
        auto rest = weft::wait(some.pending);
        tell("and the rest", rest, start);
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   first_completed: 1 done, 2 pending after 1.0 s
//   first_exception: 2 done, 1 pending after 2.0 s
//   all_completed: 3 done, 0 pending after 3.0 s
//   1.5 s: 1 done, 2 pending after 1.5 s
//   and the rest: 2 done, 0 pending after 3.0 s
