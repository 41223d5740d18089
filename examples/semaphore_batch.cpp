/// A hundred tasks at once, of which ten may use a service at a time. (Where tasks are only started for this, map()
/// with max_concurrency is shorter: see capped_batch.cpp. A semaphore also serves tasks that have other things to do.)

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

int main() {
  weft::run(
      [] {
        auto const start = weft::testing::now();
        weft::semaphore free_connections{10};
        std::atomic<int> in_use{0};
        std::atomic<int> high_water{0};

        weft::with_task_group([&](weft::task_group& group) {
          for (int item = 0; item < 100; ++item) {
            group.spawn([&] {
              auto const permit = free_connections.acquire_scoped();
              int const now_in_use = ++in_use;
              if (now_in_use > high_water) high_water = now_in_use;
              weft::sleep_for(1s);  // the service
              --in_use;
            });
          }
        });

        std::printf("100 items, at most %d at once, %.0f s\n", high_water.load(),
                    std::chrono::duration<double>(weft::testing::now() - start).count());
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   100 items, at most 10 at once, 10 s
