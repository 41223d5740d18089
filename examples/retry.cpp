/// A service that fails at first, called again after waits that become longer; and calls that are given up: because the
/// attempts are used up, the time is, or another attempt would not help.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>

using namespace std::chrono_literals;

namespace {

struct busy : std::runtime_error {
  busy() : runtime_error("busy") {}
};

/// Takes 50 ms to say that it is busy, and returns from the third call on.
std::string fetch(unsigned attempt) {
  weft::sleep_for(50ms);
  if (attempt < 3) throw busy{};
  return "the page";
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto const begin = weft::testing::now();
        auto const say = [&](char const* what) {
          auto const t = std::chrono::duration_cast<std::chrono::milliseconds>(weft::testing::now() - begin);
          std::printf("%4d ms: %s\n", static_cast<int>(t.count()), what);
        };
        auto const attempt = [&](weft::retry_policy const& how) {
          try {
            auto const page = weft::retry(how, [&](unsigned n) {
              say(("attempt " + std::to_string(n)).c_str());
              return fetch(n);
            });
            say(page.c_str());
          } catch (std::exception const& e) {
            say(("given up: " + std::string(e.what())).c_str());
          }
        };
        attempt({.attempts = 5, .backoff = 100ms, .jitter = 0});
        attempt({.attempts = 2, .backoff = 100ms, .jitter = 0});
        attempt({.attempts = 5, .backoff = 1s, .jitter = 0, .budget = 500ms});
        attempt({.attempts = 5, .retry_if = weft::retry_on<std::system_error>()});
      },
      weft::testing::in_virtual_time());
}

// Prints:
//      0 ms: attempt 1
//    150 ms: attempt 2
//    400 ms: attempt 3
//    450 ms: the page
//    450 ms: attempt 1
//    600 ms: attempt 2
//    650 ms: given up: busy
//    650 ms: attempt 1
//    700 ms: given up: busy
//    700 ms: attempt 1
//    750 ms: given up: busy
