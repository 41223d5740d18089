/// @file
/// watch_path(): what happens to files and in directories.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/verify.hpp"

#include <weft/io/readiness.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/watch_path.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/select.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::scratch;
using weft::test::some_workers;
using weft::testing::io_call;
using weft::testing::io_faults;
using kind = path_change::kind;

/// The next of that kind: what else is said beside it depends on the file system.
std::optional<path_change> next_of(path_watch& watch, kind what) {
  for (;;) {
    auto change = watch.next();
    if (!change || change->what == what) return change;
  }
}

/// That the system keeps for who watches.
std::size_t events_kept() {
  std::size_t kept = 0;
  std::ifstream{"/proc/sys/fs/inotify/max_queued_events"} >> kept;
  return kept;
}

/// So often, and never the same twice in a row.
void change_in(std::filesystem::path const& directory, std::size_t times) {
  for (auto const* name : {"a", "b"}) std::ofstream{directory / name};
  for (std::size_t i = 0; i < times; ++i) {
    std::filesystem::permissions(directory / (i % 2 == 0 ? "a" : "b"), std::filesystem::perms{0600});
  }
}

}  // namespace

TEST_CASE("what is done in a directory is told, with the names", "[io][watch_path]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto watch = watch_path(dir.path());
    dir.put("a", "text");
    CHECK(next_of(watch, kind::created) == path_change{kind::created, "a"});
    CHECK(next_of(watch, kind::modified) == path_change{kind::modified, "a"});
    std::filesystem::rename(dir / "a", dir / "b");
    CHECK(next_of(watch, kind::removed) == path_change{kind::removed, "a"});
    CHECK(next_of(watch, kind::created) == path_change{kind::created, "b"});
    std::filesystem::permissions(dir / "b", std::filesystem::perms{0600});
    CHECK(next_of(watch, kind::attributes) == path_change{kind::attributes, "b"});
    std::filesystem::remove(dir / "b");
    CHECK(next_of(watch, kind::removed) == path_change{kind::removed, "b"});
  });
}

TEST_CASE("a fiber waits until a file grows, and learns that it is gone", "[io][watch_path]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto const path = dir.put("a", "1");
    auto watch = watch_path(path);
    auto waiter = weft::spawn([&] { return next_of(watch, kind::modified); });
    weft::this_fiber::yield();
    std::ofstream{path, std::ios::app} << "2";
    CHECK(waiter.get() == path_change{kind::modified, ""});
    std::filesystem::remove(path);
    CHECK(next_of(watch, kind::removed) == path_change{kind::removed, ""});
    CHECK_FALSE(watch.next());
    CHECK_FALSE(watch.next());
  });
}

TEST_CASE("many changes at once come one by one, and none is lost", "[io][watch_path]") {
  run_on(1, [] {
    scratch const dir;
    auto watch = watch_path(dir.path());
    constexpr int files = 100;
    for (int i = 0; i < files; ++i) std::filesystem::create_directory(dir / std::to_string(i));
    for (int i = 0; i < files; ++i) {
      CHECK(next_of(watch, kind::created) == path_change{kind::created, std::to_string(i)});
    }
    CHECK_FALSE(watch.has_more());
  });
}

TEST_CASE("a watch ends though the system could not keep that what was watched is gone", "[io][watch_path]") {
  auto const kept = events_kept();
  if (kept > 50'000) return;  // too many to make
  run_on(1, [&] {
    scratch const dir;
    std::filesystem::create_directory(dir / "d");
    auto watch = watch_path(dir / "d");
    change_in(dir / "d", kept + 1);
    std::filesystem::remove_all(dir / "d");
    bool lost = false;
    while (auto const change = weft::with_timeout(30s, [&] { return watch.next(); })) {
      lost = lost || change->what == kind::lost;
    }
    CHECK(lost);
  });
}

TEST_CASE("what is lost is no end", "[io][watch_path]") {
  auto const kept = events_kept();
  if (kept > 50'000) return;
  run_on(1, [&] {
    scratch const dir;
    auto watch = watch_path(dir.path());
    change_in(dir.path(), kept + 1);
    REQUIRE(next_of(watch, kind::lost));
    auto waiting = weft::spawn([&] { return watch.next(); });
    weft::sleep_for(1ms);
    dir.put("new", "");
    CHECK(waiting.get() == path_change{kind::created, "new"});
  });
}

TEST_CASE("a watch is cancelled, timed out, closed, and one case of a select", "[io][watch_path]") {
  run_on(some_workers(), [] {
    scratch const dir;
    io_faults faults;
    {
      auto watch = watch_path(dir.path());
      auto waiter = weft::spawn([&] { (void)watch.next(); });
      weft::this_fiber::yield();
      waiter.cancel();
      CHECK_THROWS_AS(waiter.get(), weft::cancelled);
      CHECK_THROWS_AS(weft::with_timeout(0s, [&] { (void)watch.next(); }), weft::timeout_error);
      std::filesystem::create_directory(dir / "a");  // not taken by those
      CHECK(weft::select(weft::on_readable(watch), weft::on_timeout(1min, [] {})) == 0);
      CHECK(watch.next() == path_change{kind::created, "a"});
      auto moved = std::move(watch);
      auto closed = weft::spawn([&] {
        std::error_code ec;
        CHECK_FALSE(moved.next(ec));
        return ec;
      });
      weft::this_fiber::yield();
      moved.close();
      CHECK(closed.get() == std::errc::bad_file_descriptor);
      CHECK_THROWS_AS(moved.next(), std::system_error);
      CHECK_THROWS_AS(watch.next(), std::system_error);
    }
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("what cannot be watched is told: missing, a path with a NUL, no more of them", "[io][watch_path]") {
  run_on(1, [] {
    scratch const dir;
    io_faults faults;
    std::error_code ec;
    CHECK_FALSE(watch_path(dir / "none", ec).is_open());
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK_FALSE(watch_path(std::string("a\0b", 3), ec).is_open());
    CHECK(ec == std::errc::invalid_argument);
    faults.fail(io_call::watch, std::errc::too_many_files_open);
    CHECK_THROWS_AS(watch_path(dir.path()), std::system_error);
    CHECK(faults.open_descriptors() == 0);
    weft::cancel_scope scope;
    scope.cancel();
    CHECK_FALSE(scope.run([&] { (void)watch_path(dir.path()); }));
  });
}
