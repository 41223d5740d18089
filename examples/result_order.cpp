/// Results in the order of the calls, by `gather`, and in the order in which they come, by `as_completed`.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

using namespace std::chrono_literals;

namespace {

int after_seconds(int seconds, int value) {
  weft::sleep_for(std::chrono::seconds{seconds});
  return value;
}

double seconds_since(weft::time_point start) {
  return std::chrono::duration<double>(weft::testing::now() - start).count();
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto start = weft::testing::now();
        auto const [a, b, c] = weft::gather([] { return after_seconds(3, 30); }, [] { return after_seconds(1, 10); },
                                            [] { return after_seconds(2, 20); });
        std::printf("gather: %d, %d, %d after %.0f s\n", a, b, c, seconds_since(start));

        start = weft::testing::now();
        std::vector<weft::task<int>> tasks;
        tasks.push_back(weft::spawn(after_seconds, 3, 4));
        tasks.push_back(weft::spawn(after_seconds, 1, 5));
        tasks.push_back(weft::spawn(after_seconds, 2, 6));
        for (auto& task : weft::as_completed(tasks)) {
          std::printf("as_completed: %d after %.0f s\n", task.get(), seconds_since(start));
        }
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   gather: 30, 10, 20 after 3 s
//   as_completed: 5 after 1 s
//   as_completed: 6 after 2 s
//   as_completed: 4 after 3 s
