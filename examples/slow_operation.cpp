/// The same slow operations, called one after another and run as tasks at once.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

int slow_operation(int n) {
  std::printf("operation %d begins\n", n);
  weft::sleep_for(2s);
  std::printf("operation %d ends\n", n);
  return n * n;
}

double seconds_since(weft::time_point start) {
  return std::chrono::duration<double>(weft::testing::now() - start).count();
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto start = weft::testing::now();
        int sum = slow_operation(1) + slow_operation(2);
        std::printf("one by one: %d after %.0f s\n", sum, seconds_since(start));

        start = weft::testing::now();
        auto first = weft::spawn(slow_operation, 3);
        auto second = weft::spawn(slow_operation, 4);
        sum = first.get() + second.get();
        std::printf("at once: %d after %.0f s\n", sum, seconds_since(start));
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   operation 1 begins
//   operation 1 ends
//   operation 2 begins
//   operation 2 ends
//   one by one: 5 after 4 s
//   operation 3 begins
//   operation 4 begins
//   operation 3 ends
//   operation 4 ends
//   at once: 25 after 2 s
