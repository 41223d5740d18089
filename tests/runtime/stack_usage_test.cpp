/// @file
/// High-water marks of stacks: exact to within a page, summed up by where fibers come from.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/detail/descriptor_wait.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t kib = 1024;

/// Uses `Bytes` and little more.
template <std::size_t Bytes>
[[gnu::noinline]] unsigned use(unsigned char with = 0xFF) {
  unsigned char volatile frame[Bytes];  // NOLINT: std::array's members are not volatile
  for (std::size_t i = 0; i < Bytes; i += 64) frame[i] = with;
  frame[0] = with;
  return frame[Bytes - 1];
}

struct named_callable {
  void operator()() const { use<24 * kib>(); }
};

weft::stack_usage const* find(std::vector<weft::stack_usage> const& all, std::string_view part) {
  auto const at = std::find_if(all.begin(), all.end(),
                               [part](auto const& u) { return u.site.find(part) != part.npos; });
  return at != all.end() ? &*at : nullptr;
}

/// The depth to which a fiber gets by itself lies below what its frames need by this at most.
constexpr std::size_t own_frames = 2 * kib;

}  // namespace

TEST_CASE("how deep stacks get is told for each name, to within a page", "[stack]") {
  if (under_sanitizer) return;  // whose frames are larger
  weft::runtime rt{on(some_workers(), {.measure_stacks = true})};
  rt.run([] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(weft::spawn(weft::spawn_options{.name = "deep"}, [] { use<100 * kib>(); }));
      tasks.push_back(weft::spawn(weft::spawn_options{.name = "shallow"}, [] {
        use<1 * kib>();
        weft::yield();
      }));
      // The deepest of its site counts.
      tasks.push_back(weft::spawn(weft::spawn_options{.name = "mixed"}, [i] {
        if (i == 7) {
          use<60 * kib>();
        } else {
          use<kib>();
        }
      }));
      tasks.push_back(
          weft::spawn(weft::spawn_options{.name = "own size", .stack_size = 1024 * kib}, [] { use<600 * kib>(); }));
    }
    for (auto& t : tasks) t.get();
  });
  auto const all = rt.stack_usage();
  struct expected {
    char const* site;
    std::size_t bytes;
    std::size_t stack_size;
  };
  for (auto const& e : {expected{"own size", 600 * kib, 1024 * kib}, expected{"deep", 100 * kib, 256 * kib},
                        expected{"mixed", 60 * kib, 256 * kib}, expected{"shallow", 1 * kib, 256 * kib}}) {
    auto const* const found = find(all, e.site);
    REQUIRE(found != nullptr);
    INFO(e.site << ": " << found->deepest_bytes);
    CHECK(found->fibers == 50);
    CHECK(found->stack_size == e.stack_size);
    CHECK(found->deepest_bytes >= e.bytes);
    CHECK(found->deepest_bytes <= e.bytes + own_frames + page);
  }
  CHECK(std::is_sorted(all.begin(), all.end(), [](auto& a, auto& b) { return a.deepest_bytes > b.deepest_bytes; }));
}

TEST_CASE("a deep fiber leaves nothing behind that the next on its stack would be blamed for", "[stack]") {
  if (under_sanitizer) return;
  weft::runtime rt{on(1, {.measure_stacks = true})};
  rt.run([] {
    for (int i = 0; i < 20; ++i) {
      weft::spawn(weft::spawn_options{.name = "first"}, [] { use<150 * kib>(); }).get();
      weft::spawn(weft::spawn_options{.name = "second"}, [] { use<5 * kib>(); }).get();
    }
  });
  auto const all = rt.stack_usage();
  REQUIRE(find(all, "second") != nullptr);
  CHECK(find(all, "second")->fibers == 20);
  CHECK(find(all, "second")->deepest_bytes <= 5 * kib + own_frames + page);
  CHECK(find(all, "first")->deepest_bytes >= 150 * kib);
}

TEST_CASE("zeros that were written count as well, by the page", "[stack]") {
  if (under_sanitizer) return;
  weft::runtime rt{on(1, {.measure_stacks = true})};
  rt.run([] { weft::spawn(weft::spawn_options{.name = "zeros"}, [] { use<100 * kib>(0); }).get(); });
  auto const all = rt.stack_usage();
  REQUIRE(find(all, "zeros") != nullptr);
  CHECK(find(all, "zeros")->deepest_bytes >= 100 * kib);
  CHECK(find(all, "zeros")->deepest_bytes <= 100 * kib + own_frames + page);
}

TEST_CASE("without a name the callable's type tells where a fiber comes from", "[stack]") {
  weft::runtime rt{on(some_workers(), {.measure_stacks = true})};
  rt.run([] {
    weft::spawn(named_callable{}).get();
    weft::spawn(named_callable{}).get();
    weft::spawn([] { weft::yield(); }).get();
  });
  auto const all = rt.stack_usage();
  REQUIRE(find(all, "named_callable") != nullptr);
  auto const& found = *find(all, "named_callable");
  INFO(found.site);
  CHECK(found.fibers == 2);
  CHECK(found.site.find("name_of_callable") == std::string::npos);
  CHECK(found.site.back() != ']');
  CHECK(all.size() == 3);  // and main and the lambda
  for (auto const& site : all) {
    CHECK(site.stack_size == 256 * kib);
    if (!under_sanitizer) CHECK(site.deepest_bytes > 100);
  }
}

TEST_CASE("fibers that wait, throw, or are cancelled are measured; on other workers too", "[stack]") {
  weft::runtime rt{on(some_workers(), {.measure_stacks = true})};
  rt.run([] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 100; ++i) {
      tasks.push_back(weft::spawn(weft::spawn_options{.name = "waits"}, [] {
        use<12 * kib>();
        for (int turn = 0; turn < 5; ++turn) weft::yield();
      }));
      tasks.push_back(weft::spawn(weft::spawn_options{.name = "throws"}, [] {
        weft::yield();
        throw 1;
      }));
      tasks.push_back(weft::spawn(weft::spawn_options{.name = "is cancelled"}, [] { weft::sleep_for(1h); }));
      tasks.back().cancel();
    }
    for (auto& t : tasks) {
      t.wait();
      (void)t.exception();
    }
  });
  auto const all = rt.stack_usage();
  for (auto const* site : {"waits", "throws", "is cancelled"}) {
    REQUIRE(find(all, site) != nullptr);
    CHECK(find(all, site)->fibers == 100);
  }
  if (!under_sanitizer) {
    CHECK(find(all, "waits")->deepest_bytes >= 12 * kib);
    CHECK(find(all, "waits")->deepest_bytes <= 12 * kib + own_frames + page);
  }
  rt.shutdown();
  CHECK(rt.stack_usage().empty());
}

/// libuv has an array of 12 KiB where it asks for events: more than the smallest stack has left. So a worker looks into
/// its loop, and into a stuck neighbour's, on its own stack.
TEST_CASE("fibers that yield, wait, end and join keep to their first page, also where a loop is to be looked into",
          "[stack]") {
  if (under_sanitizer) return;
  watchdog dog{"looks into a loop"};
  constexpr std::uint64_t looks = 200;
  bool const in_order = GENERATE(false, true);
  weft::runtime_options options = on(in_order ? 1 : some_workers(), {.stack_size = 16 * kib, .measure_stacks = true});
  if (in_order) options.order = weft::scheduling::fifo;
  weft::runtime rt{options};
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
  rt.run([&] {
    auto reader = weft::spawn(weft::spawn_options{.name = "waits"}, [&] {
      verify(weft::detail::wait_descriptor(ends[0], weft::detail::readiness::readable));
    });
    std::atomic<bool> stop{false};
    auto const until_stopped = [&stop](char const* name, auto step) {
      return weft::spawn(weft::spawn_options{.name = name}, [&stop, step] {
        while (!stop.load()) step();
      });
    };
    auto yielder = until_stopped("yields", [] { weft::yield(); });
    auto other_yielder = until_stopped("yields", [] { weft::yield(); });
    auto joiner = until_stopped("joins", [] { weft::spawn(weft::spawn_options{.name = "ends"}, [] {}).get(); });
    auto starter = until_stopped("starts", [] {
      weft::spawn(weft::spawn_options{.name = "is started", .start = weft::start::eager}, [] { weft::yield(); }).get();
    });
    while (rt.stats().polls < looks) weft::yield();
    stop.store(true);
    verify(::write(ends[1], "x", 1) == 1);
  });
  for (int const end : ends) ::close(end);
  auto const all = rt.stack_usage();
  for (auto const* site : {"waits", "yields", "joins", "ends", "starts", "is started"}) {
    INFO(site);
    REQUIRE(find(all, site) != nullptr);
    CHECK(find(all, site)->stack_size == 16 * kib);
    CHECK(find(all, site)->deepest_bytes <= own_frames + page);
  }
}

TEST_CASE("without measuring there is nothing to tell", "[stack]") {
  weft::runtime rt{on(1)};
  rt.run([] { weft::spawn([] {}).get(); });
  CHECK(rt.stack_usage().empty());
}
