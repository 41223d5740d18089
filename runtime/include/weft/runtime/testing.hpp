#pragma once
/// @file
/// For tests of programs that use weft: schedules that repeat, time that does not have to pass, and the worst case.

#include <weft/runtime/environment.hpp>
#include <weft/runtime/options.hpp>

#include <memory>

namespace weft::testing {

/// Time that stands still while any fiber can run, and then jumps to the next deadline.
class virtual_time final : public environment {
public:
  [[nodiscard]] time_point now() noexcept override { return now_; }
  [[nodiscard]] std::size_t choose(std::size_t) noexcept override { return 0; }
  [[nodiscard]] bool skip_to(time_point deadline) noexcept override {
    if (deadline == never) return false;
    if (deadline > now_) now_ = deadline;
    return true;
  }

private:
  time_point now_{std::chrono::hours{1}};
};

/// One worker, fibers strictly in the order in which they became ready, real time.
[[nodiscard]] inline runtime_options fifo(runtime_options options = {}) {
  options.workers = 1;
  options.order = scheduling::fifo;
  return options;
}

/// fifo() in virtual time: sleeps take none, and their order and length are exact.
[[nodiscard]] inline runtime_options in_virtual_time(runtime_options options = {}) {
  options.world = std::make_shared<virtual_time>();
  return fifo(std::move(options));
}

/// No fiber ever goes on on the worker that it left, unless pinned.
[[nodiscard]] inline runtime_options forced_migration(runtime_options options = {}) {
  if (options.workers < 2) options.workers = 2;
  options.order = scheduling::forced_migration;
  return options;
}

}  // namespace weft::testing
