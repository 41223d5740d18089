/// Ten calls of which one fails: in a group it ends the others, settled it is one result among ten.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;

namespace {

int call(int number) {
  weft::sleep_for(std::chrono::seconds{number});
  if (number == 4) throw std::runtime_error("number 4 fails");
  return number;
}

}  // namespace

int main() {
  weft::run(
      [] {
        int finished = 0;
        auto const start = weft::testing::now();
        try {
          weft::with_task_group([&](weft::task_group& group) {
            for (int number = 1; number <= 10; ++number) {
              group.spawn([number, &finished] {
                call(number);
                ++finished;
              });
            }
          });
        } catch (std::runtime_error const& failure) {
          std::printf("group: %s, after %d had finished and %.0f s\n", failure.what(), finished,
                      std::chrono::duration<double>(weft::testing::now() - start).count());
        }

        std::vector<std::function<int()>> calls;
        for (int number = 1; number <= 10; ++number) calls.push_back([number] { return call(number); });
        int sum = 0;
        for (auto& outcome : weft::gather_settled(calls)) {
          if (outcome) {
            sum += *outcome;
          } else {
            std::printf("settled: one failure\n");
          }
        }
        std::printf("settled: the others add up to %d\n", sum);
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   group: number 4 fails, after 3 had finished and 4 s
//   settled: one failure
//   settled: the others add up to 51
