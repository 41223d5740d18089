/// A call that blocks its thread, made in place and through offload(). In place it holds up every fiber of its worker;
/// through offload() it holds up its caller alone.

#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

namespace {

void blocking_call() { std::this_thread::sleep_for(100ms); }

}  // namespace

int main() {
  weft::runtime_options options;
  options.workers = 1;
  weft::run(
      [] {
        std::atomic<int> ticks = 0;
        auto const ticker = weft::spawn([&ticks] {
          for (;; ++ticks) weft::sleep_for(1ms);
        });
        auto const went_on = [&ticks](auto call) {
          int const before = ticks;
          call();
          return ticks > before ? "went on" : "stood still";
        };
        std::printf("in place: the ticker %s\n", went_on(blocking_call));
        std::printf("offload:  the ticker %s\n", went_on([] { weft::offload(blocking_call); }));
        // `ticker` dies here: it is cancelled, its sleep throws weft::cancelled, and it is joined.
      },
      options);
}

// Prints:
//   in place: the ticker stood still
//   offload:  the ticker went on
