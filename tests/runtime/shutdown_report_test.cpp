/// @file
/// Rule 21: a shutdown that has to wait names the fibers that it waits for.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

bool contains(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Waits for `until` and minds no cancellation.
void stubborn(weft::event& started, weft::event& until) {
  struct waits_on_exit {
    weft::event& until;
    ~waits_on_exit() { until.wait(); }
  };
  waits_on_exit const guard{until};
  started.set();
  weft::sleep_for(24h);
}

class reports {
public:
  [[nodiscard]] auto handler() {
    return [this](std::string_view report) {
      std::lock_guard const lock{mutex_};
      all_.emplace_back(report);
    };
  }
  [[nodiscard]] std::vector<std::string> all() const {
    std::lock_guard const lock{mutex_};
    return all_;
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
};

}  // namespace

TEST_CASE("rule 21: a shutdown at its limit names the fibers that remain", "[runtime][rule21]") {
  reports seen;
  weft::event started;
  weft::event released;
  weft::runtime rt{on(some_workers(), {.name = "service", .on_shutdown_report = seen.handler()})};
  auto t = rt.spawn({.name = "stubborn"}, [&] { stubborn(started, released); });
  rt.spawn({.name = "obedient"}, [] { weft::sleep_for(24h); }).detach();
  started.wait();
  CHECK(rt.live_fibers() >= 1);
  CHECK_FALSE(rt.shutdown(0s));
  // The obedient one was cancelled at the first look, and ends soon; the other is in each report.
  for (;;) {
    CHECK_FALSE(rt.shutdown(0s));
    auto const last = seen.all().back();
    CHECK(contains(last, "'service'"));
    CHECK(contains(last, "'stubborn'"));
    if (contains(last, "1 fiber, 0 running, 0 queued, 1 parked") && contains(last, "waits for: event")) break;
  }
  auto const before = seen.all().size();
  released.set();
  CHECK(rt.shutdown(1h));
  CHECK(seen.all().size() == before);  // who need not wait says nothing
  CHECK_THROWS_AS(t.get(), weft::cancelled);
}

TEST_CASE("rule 21: a shutdown without limit, and the destructor, report every five seconds", "[runtime][rule21]") {
  bool const destroyed = GENERATE(false, true);
  // Another runtime shuts down, in virtual time: its seconds take none.
  run_with(weft::testing::in_virtual_time(), [destroyed] {
    weft::event released;
    weft::event started;
    std::vector<weft::time_point> times;
    std::vector<std::string> texts;
    weft::runtime_options options{.workers = 1};
    options.on_shutdown_report = [&](std::string_view text) {  // on the fiber that shuts down
      times.push_back(weft::detail::deadline_after(0ns));
      texts.emplace_back(text);
      if (times.size() == 3) released.set();
      throw std::runtime_error("ignored");
    };
    auto other = std::make_unique<weft::runtime>(options);
    other->spawn({.name = "stubborn"}, [&] { stubborn(started, released); }).detach();
    started.wait();
    auto const begin = weft::detail::deadline_after(0ns);
    if (destroyed) {
      other.reset();
    } else {
      other->shutdown();
    }
    verify(times.size() >= 3);  // real time passes until the fiber has ended, and virtual time may run on
    for (std::size_t i = 0; i < times.size(); ++i) {
      verify(times[i] == begin + (i + 1) * 5s);
      verify(contains(texts[i], "'stubborn'"));
    }
  });
}

TEST_CASE("rule 21: without a handler the report goes to stderr, and a long one is cut short", "[runtime][rule21]") {
  auto const d = run_in_child([] {
    weft::runtime rt{{.workers = 1, .name = "mute"}};
    weft::event started;
    weft::event released;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 150; ++i) {
      tasks.push_back(rt.spawn({.name = "one-of-many"}, [&] { stubborn(started, released); }));
    }
    // Not before each has started: cancelled before, they would end.
    for (bool all = false; !all;) {
      auto const now = rt.all_tasks();
      all = std::all_of(now.begin(), now.end(), [](auto const& t) { return t.state == weft::task_state::parked; });
    }
    (void)rt.shutdown(0s);
    ::_exit(7);
  });
  CHECK(d.exited);
  CHECK(d.status == 7);
  CHECK(contains(d.output, "weft: the runtime 'mute' is shutting down and waits for these fibers:\n"));
  CHECK(contains(d.output, "'one-of-many'"));
  CHECK(contains(d.output, "... and 50 more\n"));
  CHECK(contains(d.output, "150 fibers"));
}

TEST_CASE("rule 21: a stuck offload job at shutdown is named", "[runtime][offload][rule21]") {
  bool const blocks = GENERATE(false, true);
  reports seen;
  weft::event started;
  weft::event released;
  weft::runtime rt{on(some_workers(), {.name = "service", .on_shutdown_report = seen.handler()})};
  rt.spawn({.name = "asker"}, [&] {
      auto const stuck = [&started, &released] {
        started.set();
        released.wait();
      };
      blocks ? weft::offload_blocking({.name = "stuck call"}, stuck) : weft::offload({.name = "stuck call"}, stuck);
    }).detach();
  started.wait();
  CHECK_FALSE(rt.shutdown(0s));
  auto const last = seen.all().back();
  CHECK(contains(last, "waits for these fibers:\n"));
  auto const sum = last.find("1 fiber, ");
  auto const line = last.find("offloaded: 'stuck call' of fiber ");
  REQUIRE(sum != std::string::npos);
  REQUIRE(line != std::string::npos);
  CHECK(sum < line);  // the fibers first
  auto const call = last.substr(line);
  CHECK(contains(call, " 'asker', for "));
  CHECK(contains(call, blocks ? "; pool 'service (blocking)'\n" : "; pool 'service'\n"));
  CHECK(call.find('\n') == call.size() - 1);  // one line, and nothing after it
  released.set();
  CHECK(rt.shutdown(1h));
}

TEST_CASE("rule 21: offload jobs that their fibers have left are named when no fiber is left, in pools of others too",
          "[runtime][offload][rule21]") {
  bool const own_pool = GENERATE(false, true);
  reports seen;
  weft::event started;
  weft::event released;
  weft::offload_pool pool{{.name = "others"}};
  {
    weft::runtime rt{on(some_workers(), {.name = "service", .on_shutdown_report = seen.handler()})};
    rt.spawn({.name = "asker"}, [&] {
        auto const stuck = [&started, &released] {
          started.set();
          released.wait();
        };
        weft::offload_options const leaves{.name = "stuck call", .abandon_on_cancel = true};
        own_pool ? pool.run(leaves, stuck) : weft::offload(leaves, stuck);
      }).detach();
    started.wait();
    // Each try cancels the caller; when it has left, the call alone is in the report.
    std::string last;
    do {
      CHECK_FALSE(rt.shutdown(0s));
      last = seen.all().back();
      // A call in another's pool is known to the runtime only when it has been left; until then its caller is named.
      CHECK((own_pool || contains(last, "offloaded: 'stuck call' of fiber ")));
    } while (contains(last, "waits for these fibers:\n"));
    CHECK(contains(last, "'service' is shutting down and waits for these offloaded calls:\noffloaded: "));
    CHECK(contains(last, " 'asker', which has left it, for "));
    CHECK(contains(last, own_pool ? "; pool 'others'\n" : "; pool 'service'\n"));
    released.set();
    CHECK(rt.shutdown(1h));
  }
}

TEST_CASE("rule 21: of many stuck offload jobs the first hundred are named", "[runtime][offload][rule21]") {
  constexpr int count = 104;
  reports seen;
  std::atomic<int> running{0};
  weft::event all;
  weft::event released;
  weft::runtime rt{on(some_workers(), {.name = "service", .on_shutdown_report = seen.handler()})};
  for (int i = 0; i < count; ++i) {
    rt.spawn([&] {
        weft::offload_blocking([&] {
          if (++running == count) all.set();
          released.wait();
        });
      }).detach();
  }
  all.wait();
  CHECK_FALSE(rt.shutdown(0s));
  auto const last = seen.all().back();
  std::size_t lines = 0;
  for (auto at = last.find("\noffloaded: "); at != std::string::npos; at = last.find("\noffloaded: ", at + 1)) ++lines;
  CHECK(lines == 100);
  CHECK(contains(last, "\n... and 4 more\n"));
  released.set();
  CHECK(rt.shutdown(1h));
}
