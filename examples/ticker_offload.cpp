/// A call that blocks its thread for three and a half seconds, made in place and through offload(). In place it holds
/// up every fiber of its worker; through offload() it holds up its caller alone.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

weft::time_point start;

void say(char const* what) {
  std::printf("%.1f s: %s\n", std::chrono::duration<double>(weft::testing::now() - start).count(), what);
}

void blocking_call() { weft::testing::spend(3500ms); }  // stands for a query, a compression, ...

}  // namespace

int main() {
  weft::run(
      [] {
        start = weft::testing::now();
        auto const ticker = weft::spawn([] {
          for (;;) {
            weft::sleep_for(1s);
            say("tick");
          }
        });
        weft::yield();  // the ticker begins
        say("the call is made in place");
        blocking_call();
        say("it has returned");
        weft::yield();
        say("the call is offloaded");
        weft::offload(blocking_call);
        say("it has returned");
        // `ticker` dies here: it is cancelled, its sleep throws weft::cancelled, and it is joined.
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   0.0 s: the call is made in place
//   3.5 s: it has returned
//   3.5 s: tick
//   3.5 s: the call is offloaded
//   4.5 s: tick
//   5.5 s: tick
//   6.5 s: tick
//   7.0 s: it has returned
