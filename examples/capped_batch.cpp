/// A hundred calls of a service that bears ten at once.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <vector>

using namespace std::chrono_literals;

int main() {
  weft::run(
      [] {
        weft::mutex counting;
        int now_running = 0;
        int most_running = 0;
        auto const start = weft::testing::now();
        std::vector<int> items(100);
        std::iota(items.begin(), items.end(), 1);

        auto const results = weft::map(
            items,
            [&](int item) {
              {
                std::lock_guard const held{counting};
                most_running = std::max(most_running, ++now_running);
              }
              weft::sleep_for(1s);
              std::lock_guard const held{counting};
              --now_running;
              return item * item;
            },
            weft::max_concurrency{10});

        std::printf("%zu results, the last is %d\n", results.size(), results.back());
        std::printf("at most %d at once, %.0f s in all\n", most_running,
                    std::chrono::duration<double>(weft::testing::now() - start).count());
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   100 results, the last is 10000
//   at most 10 at once, 10 s in all
