/// Three greetings side by side, each after a pause of its own: together they take as long as the longest.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

void greet(char const* name, std::chrono::seconds pause) {
  weft::sleep_for(pause);
  std::printf("hello, %s\n", name);
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto const start = weft::testing::now();
        weft::gather([] { greet("Maria", 3s); }, [] { greet("John", 1s); }, [] { greet("Ana", 2s); });
        std::printf("all greeted after %.0f s\n", std::chrono::duration<double>(weft::testing::now() - start).count());
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   hello, John
//   hello, Ana
//   hello, Maria
//   all greeted after 3 s
