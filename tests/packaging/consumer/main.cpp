#include <weft/compat/boost_fiber.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

int main() {
  int const answer = weft::run([] {
    weft::event go;
    auto half = weft::spawn([&go] {
      go.wait();
      return weft::offload([] { return 20; });
    });
    weft::sleep_for(std::chrono::milliseconds{1});
    go.set();
    return half.get() + weft::compat::fibers::async([] { return 1; }).get();
  });
  std::printf("weft %d.%d.%d: %d\n", WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, WEFT_VERSION_PATCH, answer);
  return answer == 21 ? 0 : 1;
}
