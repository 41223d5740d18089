/// A day of a program that mostly waits, in no time: a test of it need not sleep.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <functional>

using namespace std::chrono_literals;

namespace {

int readings = 0;

void measure_hourly(weft::event& stop) {
  while (!stop.wait_for(1h)) ++readings;
}

}  // namespace

int main() {
  weft::run(
      [] {
        weft::event stop;
        auto meter = weft::spawn(measure_hourly, std::ref(stop));
        weft::sleep_for(24h + 30min);
        stop.set();
        meter.get();
        std::printf("%d readings\n", readings);
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   24 readings
