/// The prime sieve, as Doug McIlroy wrote it for communicating processes and the Go authors after him: each prime has a
/// fiber of its own, which lets only those numbers pass that it does not divide.

#include <weft/weft.hpp>

#include <cstdio>
#include <memory>
#include <vector>

namespace {

using numbers = weft::channel<int>;

void filter(numbers& in, numbers& out, int prime) {
  for (int const number : in) {
    if (number % prime != 0) out.send(number);
  }
}

}  // namespace

int main() {
  weft::run([] {
    std::vector<std::unique_ptr<numbers>> stages;  // they outlive the fibers: the group is left before they go
    stages.push_back(std::make_unique<numbers>());
    weft::with_task_group([&](weft::task_group& group) {
      group.spawn([&first = *stages.back()] {
        for (int number = 2;; ++number) first.send(number);
      });
      for (int i = 0; i < 20; ++i) {
        numbers& in = *stages.back();
        int const prime = in.receive().value();
        std::printf("%d%c", prime, i % 10 == 9 ? '\n' : ' ');
        stages.push_back(std::make_unique<numbers>());
        group.spawn([&in, &out = *stages.back(), prime] { filter(in, out, prime); });
      }
      group.cancel();  // all of them wait for the next number, or to be rid of one
    });
  });
}

// Prints:
//   2 3 5 7 11 13 17 19 23 29
//   31 37 41 43 47 53 59 61 67 71
