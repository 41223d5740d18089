#pragma once
/// @file
/// For tests of programs that use weft: schedules that repeat, time that does not have to pass, and the worst case.
///
/// Assertions of test frameworks, such as Catch2's or GoogleTest's, are made for one thread at a time. In a runtime
/// with one worker (simulation, fifo(), in_virtual_time()) they may be used in fibers as well as in the test itself: as
/// long as the test's thread waits in run(), fibers alone go on, one at a time, and what they did comes before what
/// follows run(). An assertion that throws takes its fiber's exception's way: through get() or run() to the test.

#include <weft/runtime/environment.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/options.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/simulation.hpp>

#include <chrono>
#include <memory>

namespace weft::inline v0::testing {

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
  [[nodiscard]] bool calls_in_place() const noexcept override { return true; }

private:
  time_point now_{std::chrono::hours{1}};
};

/// One worker, fibers strictly in the order in which they became ready, real time.
[[nodiscard]] inline runtime_options fifo(runtime_options options = {}) {
  options.workers = 1;
  options.order = scheduling::fifo;
  return options;
}

/// fifo() in virtual time: sleeps take none, and their order and length are exact. Offloaded calls run on their
/// caller's fiber, in no time but what they spend().
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

/// The present as the calling fiber's runtime sees it: virtual, where time is. On other threads that of `clock`.
[[nodiscard]] time_point now() noexcept;

/// Stands for work that takes so long: it computes, or calls what blocks. In virtual time that time passes: on a fiber,
/// while no other fiber runs; in an offloaded call, while only its caller waits. Elsewhere the thread sleeps.
/// Negative counts as 0.
/// Not a cancellation point. An offloaded call's stop token is stopped while the call spends, if its caller is
/// cancelled. Any thread.
void spend(std::chrono::nanoseconds duration);

/// Waits until every other fiber of the caller's runtime has come to rest: it waits or has ended, and none is ready. No
/// virtual time passes. If several wait for this, they go on one by one, the next when all others rest again.
/// A cancellation point.
/// @throws error  if the runtime has more than one worker; no_runtime outside of a fiber
void run_until_blocked();

/// Something is left over that a test says must not be. `what()` says what.
class leak : public error {
public:
  using error::error;
};

/// Throws unless nothing is left in `rt`: no fiber lives, and no handle refers to a task, ended or not. Call it from
/// outside, when the work is done. A handle may still be on its way to its end on a worker: that is waited for. A
/// runtime that is stopped holds nothing.
/// @throws leak; error  on one of the runtime's own fibers
void expect_no_leaks(runtime const& rt);

/// The same from a fiber, for its own runtime, which has one worker: no fiber but the caller lives, and no handle is
/// out but the caller's. In a simulation, at the end of `f`, it so tells what would be cancelled.
/// @throws leak; error  if the runtime has more than one worker; no_runtime outside of a fiber
void expect_no_leaks();

}  // namespace weft::inline v0::testing
