/// @file
/// Two fibers of one worker. With the argument `race` both write one variable, one after the other on the same thread
/// and without any synchronisation: ThreadSanitizer must report it. With `clean` the second waits for the first.

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <cstdio>
#include <string_view>

namespace {

int shared = 0;  // NOLINT: what the race is about

[[gnu::noinline]] void touch(int value) {
  shared += value;
  asm volatile("" ::: "memory");
}

}  // namespace

int main(int argc, char** argv) {
  bool const race = argc > 1 && std::string_view(argv[1]) == "race";
  weft::run(
      [race] {
        weft::event done;
        auto first = weft::spawn([&] {
          weft::yield();
          touch(1);
          weft::yield();
          if (!race) done.set();
        });
        auto second = weft::spawn([&] {
          weft::yield();
          if (!race) done.wait();
          touch(2);
        });
        first.get();
        second.get();
      },
      weft::testing::fifo());
  std::printf("shared is %d\n", shared);
  return shared == 3 ? 0 : 1;
}
