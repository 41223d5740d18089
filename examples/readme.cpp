#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

int slow_square(int n) {
  weft::sleep_for(n * 10ms);  // parks this fiber; its thread runs others
  return n * n;
}

int main() {
  weft::run([] {
    weft::task<int> a = weft::spawn(slow_square, 3);
    weft::task<int> b = weft::spawn(slow_square, 4);
    int const sum = a.get() + b.get();  // after 40 ms, not 70
    std::printf("%d\n", sum);
  });
}

// Prints:
//   25
