/// How a task is asked to end, and what it does before it does. In virtual time, so that it takes none.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

struct connection {
  connection() = default;
  connection(connection const&) = delete;
  ~connection() {
    weft::sleep_for(5ms);  // a destructor that runs because of an exception may wait, cancelled or not
    std::printf("closed\n");
  }
};

void serve() {
  connection const open;
  for (int n = 1;; ++n) {
    weft::sleep_for(10ms);
    std::printf("request %d\n", n);
  }
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto server = weft::spawn(serve);
        weft::sleep_for(25ms);
        server.cancel();
        try {
          server.get();
        } catch (weft::cancelled const& c) {  // not a std::exception: `catch (std::exception const&)` lets it pass
          std::printf("cancelled by %s\n", weft::to_string(c.reason()));
        }

        auto never_started = weft::spawn([] { std::printf("not reached\n"); });
        never_started.cancel();
        never_started.wait();

        weft::spawn([] {
          weft::sleep_for(5ms);
          std::printf("detached, and done\n");
        }).detach();
        weft::sleep_for(10ms);
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   request 1
//   request 2
//   closed
//   cancelled by user
//   detached, and done
