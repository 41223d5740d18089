#pragma once
/// @file
/// Memory and system calls that fail, at each place where they can: for every public entry point the n-th call fails,
/// once or from then on, for n = 1, 2, ... until the entry point needs no n-th. Each time only a documented error may
/// come out, nothing may be left behind, and the next call must work.
///
/// An entry point is a line of a table: what it may throw, and a call. What the call needs is made before inject().

#include "faults.hpp"

#include "support/catch.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace weft::test::injection {

// What an entry point may throw.
inline constexpr unsigned nothing = 0;
inline constexpr unsigned bad_alloc = 1;
inline constexpr unsigned system_error = 2;
inline constexpr unsigned no_stack = 4;

/// One run of one entry point.
class stage {
public:
  /// @param n  which call fails; 0: none
  stage(faults::kind which, std::uint64_t n, bool on_and_on, unsigned may_throw)
      : which_(which), n_(n), on_and_on_(on_and_on), may_throw_(may_throw) {}

  /// Calls `f`, and has it fail.
  template <class F>
  void inject(F&& f) {
    if (n_ == 0) return f();
    faults::arm(which_, n_, on_and_on_);
    try {
      f();
      struck_ = faults::disarm();
    } catch (std::bad_alloc const&) {
      judge(bad_alloc, "std::bad_alloc");
    } catch (std::system_error const& e) {
      judge(system_error, e.what());
    } catch (weft::stack_unavailable const& e) {
      judge(no_stack, e.what());
    } catch (std::exception const& e) {
      judge(0, e.what());
    } catch (...) {
      judge(0, "not a std::exception");
    }
  }

  [[nodiscard]] std::uint64_t struck() const noexcept { return struck_; }
  [[nodiscard]] std::string const& undocumented() const noexcept { return undocumented_; }

private:
  void judge(unsigned thrown, char const* what) {
    struck_ = faults::disarm();
    if ((may_throw_ & thrown) == 0 || struck_ == 0) undocumented_ = what;
  }

  faults::kind which_;
  std::uint64_t n_;
  bool on_and_on_;
  unsigned may_throw_;
  std::uint64_t struck_ = 0;
  std::string undocumented_;
};

struct entry_point {
  char const* name;
  unsigned may_throw;
  std::function<void(stage&)> call;
};

inline weft::runtime_options small(std::size_t workers = 1) {
  weft::runtime_options options{.workers = workers, .name = "a runtime with a name that is too long to fit in place"};
  options.offload_threads = 2;
  options.on_unhandled_exception = [](std::exception_ptr const&, std::string_view) {};
  return options;
}

inline constexpr char const* long_name = "a name that is too long to fit in place";
inline constexpr unsigned spawn_errors = bad_alloc | no_stack;
inline constexpr unsigned start_errors = bad_alloc | system_error;

inline std::size_t entries_of(char const* directory) {
  std::size_t count = 0;
  for (auto const& e : std::filesystem::directory_iterator{directory}) count += e.path().empty() ? 0U : 1U;
  return count;
}

struct holdings {
  std::int64_t blocks;
  std::size_t descriptors;
  friend bool operator==(holdings const&, holdings const&) = default;
};

/// When no thread is left but this one and the watchdog's, which ends the wait if some stays. (One that has been joined
/// is still in /proc for a moment.)
inline holdings what_is_held() {
  while (entries_of("/proc/self/task") != 2) std::this_thread::yield();
  auto const descriptors = entries_of("/proc/self/fd");
  return {faults::blocks_in_use(), descriptors};
}

inline bool nothing_left_since(holdings const& before) {
  auto const now = what_is_held();
  if (now == before) return true;
  std::fprintf(stderr, "blocks %lld -> %lld, descriptors %zu -> %zu\n", static_cast<long long>(before.blocks),
               static_cast<long long>(now.blocks), before.descriptors, now.descriptors);
  return false;
}

struct totals {
  std::size_t entry_points = 0;
  std::size_t runs = 0;
  std::size_t failures = 0;
};

inline void call(entry_point const& e, bool on_fiber, stage& s) {
  stage again{faults::kind::memory, 0, false, nothing};
  if (!on_fiber) {
    e.call(s);
    return e.call(again);
  }
  weft::runtime rt{small()};
  rt.run([&] {
    e.call(s);
    e.call(again);
  });
  weft::testing::expect_no_leaks(rt);
}

inline void exhaust(entry_point const& e, bool on_fiber, faults::kind which, bool on_and_on, watchdog& dog,
                    totals& total) {
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(e.name, n, on_and_on, which == faults::kind::memory);
    auto const before = what_is_held();
    std::uint64_t struck = 0;
    std::string undocumented;
    {
      stage s{which, n, on_and_on, e.may_throw};
      REQUIRE_NOTHROW(call(e, on_fiber, s));
      struck = s.struck();
      undocumented = s.undocumented();
    }
    CHECK(undocumented == "");
    undocumented = {};
    REQUIRE(nothing_left_since(before));
    dog.feed();
    ++total.runs;
    total.failures += struck;
    if (struck == 0) return;
    REQUIRE(n < 1000);
  }
}

inline totals exhaust(std::vector<entry_point> const& table, bool on_fiber) {
  totals total;
  watchdog dog{"failure injection", std::chrono::seconds{60}};
  for (auto const& e : table) {
    for (int i = 0; i < 3; ++i) {  // what libraries make once, and keep
      stage none{faults::kind::memory, 0, false, nothing};
      call(e, on_fiber, none);
    }
    ++total.entry_points;
    for (auto const which : {faults::kind::memory, faults::kind::system}) {
      for (bool const on_and_on : {false, true}) exhaust(e, on_fiber, which, on_and_on, dog, total);
    }
  }
  std::printf("failure injection: %zu entry points, %zu runs, %zu failures\n", total.entry_points, total.runs,
              total.failures);
  return total;
}

}  // namespace weft::test::injection
