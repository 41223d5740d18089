#pragma once
/// @file
/// What the fibers of a runtime are doing, and how much it has done: snapshots for people and for metrics.
///
/// A snapshot of the fibers takes a lock for as long as it looks at them, a fraction of a microsecond for each. Fibers
/// go on running meanwhile, but none can end. Each is described as it was at one moment, but not all at the same.

#include <weft/runtime/this_fiber.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0 {

/// What a fiber is doing.
enum class task_state : unsigned char {
  unstarted,  ///< queued for its first step: it has no stack yet
  queued,     ///< ready, and waiting for a worker
  running,
  parked,  ///< waiting for something, see `task_info::waits_for`
};

/// The state as a word.
[[nodiscard]] char const* to_string(task_state state) noexcept;

/// One fiber, as it was when looked at.
struct task_info {
  fiber_id id{};
  fiber_id parent{};  ///< the fiber that spawned it; none if a thread did
  std::string name{};
  task_state state = task_state::unstarted;
  std::string_view waits_for{};         ///< of a parked one: the reason that its `waiter` was given
  std::chrono::milliseconds waiting{};  ///< of a parked one: for how long. Up to 64 switches of its worker too long; 0
                                        ///< for a joiner whose worker runs the joined task in its place
  int worker = -1;                      ///< the one that it runs on, or ran on last; -1: none yet
  std::size_t stack_size = 0;           ///< bytes reserved, once it has started
  /// The fibers that wait for its end, sorted. Who waits for a whole group waits for each that has not ended.
  std::vector<fiber_id> awaited_by{};
  /// Where it was spawned, in debug mode: "file.cpp:12", or where the call returned to, as "function +0x12" or, where
  /// the program's dynamic symbols do not tell, "module +0x1234", as addr2line takes it. Empty otherwise.
  std::string spawned_at{};
};

/// Counts since the runtime was started, and what is there now. Each is exact, but not all of the same moment.
struct runtime_stats {
  std::uint64_t spawned = 0;
  std::uint64_t finished = 0;
  std::size_t live = 0;              ///< spawned and not finished
  std::size_t workers = 0;           ///< with those that have stood in for others that were in blocking(), or stuck
  std::size_t parked_workers = 0;    ///< of them, with nothing to do
  std::uint64_t steals = 0;          ///< times that a worker took fibers from another
  std::uint64_t polls = 0;           ///< runs of an event loop, with or without sleeping
  std::size_t injected = 0;          ///< fibers in the queue for all workers: from outside, and overflow
  std::vector<std::size_t> ready{};  ///< for each worker, fibers in its own queue; up to 16 that it will run next less
  std::size_t timers = 0;            ///< armed
  std::size_t offload_queued = 0;
  std::size_t offload_threads = 0;
  std::size_t stacks = 0;  ///< made so far, in use or not
};

/// How deep the stacks of those fibers got that have ended and were spawned under one name or, without a name, with one
/// type of callable.
struct stack_usage {
  std::string site{};             ///< the name, or the callable's type as the compiler writes it
  std::uint64_t fibers = 0;       ///< how many
  std::size_t deepest_bytes = 0;  ///< most that one of them used, to within a page
  std::size_t stack_size = 0;     ///< bytes reserved for the largest of their stacks
};

/// Every fiber of the caller's runtime that has not ended, sorted by id. Not a cancellation point.
/// @throws no_runtime  outside of a fiber; use `runtime::all_tasks` there
/// @throws std::bad_alloc
[[nodiscard]] std::vector<task_info> all_tasks();

/// Writes a line for each fiber of the caller's runtime, and a line that sums up. Fibers stand indented below the one
/// that waits for their end (the first of them, if several do), sorted by id.
/// @throws no_runtime  outside of a fiber; use `runtime::dump` there
void dump(std::ostream& to);

}  // namespace weft::inline v0
