/// Time limits: one that throws, one that goes on without the result, one within another, and one that is moved while
/// the work makes progress.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

double seconds_since(weft::time_point start) {
  return std::chrono::duration<double>(weft::testing::now() - start).count();
}

int fetch(std::chrono::milliseconds duration) {
  weft::sleep_for(duration);
  return 42;
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto const start = weft::testing::now();

        std::printf("in time: %d\n", weft::with_timeout(1s, [] { return fetch(500ms); }));
        try {
          weft::with_timeout(1s, [] { return fetch(1h); });
        } catch (weft::timeout_error const&) {
          std::printf("too late, at %.1f s\n", seconds_since(start));
        }

        auto const page = weft::move_on_after(1s, [] { return fetch(1h); });
        std::printf("moved on %s, at %.1f s\n", page ? "with a page" : "without a page", seconds_since(start));

        // The outer limit is the shorter one: it ends both, and only it is told of.
        try {
          weft::with_timeout(1s, [] {
            try {
              weft::with_timeout(1h, [] { return fetch(2h); });
            } catch (weft::timeout_error const&) {
              std::printf("not this one\n");
            }
          });
        } catch (weft::timeout_error const&) {
          std::printf("the outer one, at %.1f s\n", seconds_since(start));
        }

        // Each part that arrives earns another second.
        weft::with_timeout(1s, [&](weft::cancel_scope& limit) {
          for (int part = 1; part <= 3; ++part) {
            (void)fetch(800ms);
            limit.reschedule(1s);
          }
        });
        std::printf("three parts, at %.1f s\n", seconds_since(start));
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   in time: 42
//   too late, at 1.5 s
//   moved on without a page, at 2.5 s
//   the outer one, at 3.5 s
//   three parts, at 5.9 s
