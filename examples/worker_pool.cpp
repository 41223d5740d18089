/// Three workers share a queue of jobs. join() returns when the last job has been done, not when it has been taken.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

struct job {
  int number;
  std::chrono::seconds length;
};

void work(int worker, weft::queue<job>& jobs) {
  try {
    for (;;) {
      job const next = jobs.get();
      weft::sleep_for(next.length);
      std::printf("worker %d has done job %d\n", worker, next.number);
      jobs.task_done();
    }
  } catch (weft::queue_shutdown const&) {
    std::printf("worker %d goes home\n", worker);
  }
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto const start = weft::testing::now();
        weft::queue<job> jobs{4};  // who puts a fifth one waits
        weft::task_group workers;
        for (int i = 1; i <= 3; ++i) workers.spawn([&jobs, i] { work(i, jobs); });

        std::chrono::seconds in_all{0};
        for (int i = 1; i <= 9; ++i) {
          std::chrono::seconds const length{i};
          jobs.put({i, length});
          in_all += length;
        }
        jobs.join();
        std::printf("%lld s of work in %.0f s\n", static_cast<long long>(in_all.count()),
                    std::chrono::duration<double>(weft::testing::now() - start).count());
        jobs.shutdown();
        workers.wait();
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   worker 1 has done job 1
//   worker 2 has done job 2
//   worker 3 has done job 3
//   worker 1 has done job 4
//   worker 2 has done job 5
//   worker 3 has done job 6
//   worker 1 has done job 7
//   worker 2 has done job 8
//   worker 3 has done job 9
//   45 s of work in 18 s
//   worker 1 goes home
//   worker 2 goes home
//   worker 3 goes home
