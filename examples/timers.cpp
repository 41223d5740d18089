/// Calls that are due later, once or again and again, and a value that one of them sets. In virtual time, so that each
/// comes exactly when it is due.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

int main() {
  weft::run(
      [] {
        int beats = 0;
        // The third call takes longer than the period. overlap::skip, the default, leaves out what is due meanwhile, at
        // 400 ms; the others stay where they were, at 500 and 600 ms.
        auto heart = weft::every(100ms, [&] {
          std::printf("beat %d\n", ++beats);
          if (beats == 3) weft::sleep_for(150ms);
        });

        weft::promise<int> answer;
        auto later = weft::after(250ms, [&] {
          answer.set_value(42);
          return "kept";
        });
        std::printf("after 250 ms the answer is %d\n", answer.get_future().get());
        std::printf("the promise was %s\n", later.get());

        auto never_due = weft::after(1h, [] { std::printf("not reached\n"); });
        weft::sleep_for(370ms);
        std::printf("after 620 ms: stop\n");
        heart.cancel();

        weft::promise<int> broken;
        auto nothing = broken.get_future();
        broken = {};
        try {
          nothing.get();
        } catch (weft::broken_promise const&) {
          std::printf("nobody will ever set this one\n");
        }
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   beat 1
//   beat 2
//   after 250 ms the answer is 42
//   the promise was kept
//   beat 3
//   beat 4
//   beat 5
//   after 620 ms: stop
//   nobody will ever set this one
