#pragma once
/// @file
/// Runtimes for tests: with each number of workers, in the worst schedule if the environment asks for it, and with
/// nothing left over at the end.

#include "catch.hpp"
#include "one_byte_io.hpp"
#include "scale.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/testing.hpp>

#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::test {

/// Options for `workers` workers; in the worst schedule if the environment asks for it.
inline runtime_options on(std::size_t workers, runtime_options options = {}) {
  options.workers = workers;
  return migration_forced() ? testing::forced_migration(std::move(options)) : options;
}

/// Runs the rest of the test case once for each of several numbers of workers.
inline std::size_t some_workers() { return GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}); }

inline void expect_no_leaks(runtime const& rt) { CHECK(rt.live_fibers() == 0); }

/// Runs `f` in a runtime of its own, in which nothing may be left when it returns.
template <class F>
void run_with(runtime_options options, F&& f) {
  runtime rt{std::move(options)};
  rt.run(std::forward<F>(f));
  expect_no_leaks(rt);
}

template <class F>
void run_on(std::size_t workers, F&& f) {
  run_with(on(workers), std::forward<F>(f));
}

/// What `on_unhandled_exception` was given, as "task: what".
class unhandled_log {
public:
  [[nodiscard]] auto handler() {
    return [this](std::exception_ptr error, std::string_view task) {
      std::string what = "not a std::exception";
      try {
        std::rethrow_exception(error);
      } catch (std::exception const& e) {
        what = e.what();
      } catch (...) {
      }
      std::lock_guard const lock{mutex_};
      lines_.push_back(std::string(task) + ": " + what);
    };
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::lock_guard const lock{mutex_};
    return lines_;
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace weft::test
