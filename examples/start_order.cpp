/// When a spawned fiber takes its first step, and how an event holds others back. On one worker, so that the
/// order is always the same.

#include <weft/weft.hpp>

#include <cstdio>
#include <vector>

int main() {
  weft::runtime_options options;
  options.workers = 1;
  weft::run(
      [] {
        auto queued = weft::spawn([] { std::printf("queued: when its turn comes\n"); });
        auto eager = weft::spawn({.start = weft::start::eager}, [] { std::printf("eager: at once\n"); });
        std::printf("parent\n");
        queued.get();
        eager.get();

        weft::event gate;
        std::vector<weft::task<void>> runners;
        for (int i = 1; i <= 3; ++i) {
          runners.push_back(weft::spawn([&gate, i] {
            gate.wait();
            std::printf("runner %d\n", i);
          }));
        }
        weft::yield();  // all three wait now
        std::printf("go\n");
        gate.set();
        for (auto& runner : runners) runner.get();
      },
      options);
}

// Prints:
//   eager: at once
//   parent
//   queued: when its turn comes
//   go
//   runner 1
//   runner 2
//   runner 3
