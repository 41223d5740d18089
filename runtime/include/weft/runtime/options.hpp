#pragma once
/// @file
/// What can be chosen when a runtime is made, and when a fiber is spawned.

#include <weft/runtime/environment.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace weft {

/// Which worker a ready fiber goes to.
enum class scheduling : unsigned char {
  work_stealing,     ///< the worker that made it ready; idle workers steal
  fifo,              ///< needs one worker: strictly in the order in which fibers became ready
  forced_migration,  ///< needs two workers: never the worker that the fiber left. For tests: it turns code that wrongly
                     ///< relies on its thread from rarely wrong into always wrong
};

/// Choices for a whole runtime. The defaults suit a service.
struct runtime_options {
  /// OS threads that run fibers, at most 512. 0: as many CPUs as this process may use, by affinity and cgroup.
  std::size_t workers = 0;
  /// Names the threads, as far as the system allows.
  std::string name = "weft";
  /// Address space for each fiber's stack in bytes, at least 16 KiB; rounded up to a power of two. Memory is used page
  /// by page, as the fiber's calls reach it.
  std::size_t stack_size = std::size_t{256} * 1024;
  /// Inaccessible bytes below each stack, rounded up to pages and at most a quarter of the stack; touching them ends
  /// the process instead of corrupting a neighbour. 0: none.
  std::size_t guard = std::size_t{64} * 1024;
  /// Threads of the pool behind offload(). 0: one for each CPU that this process may use.
  std::size_t offload_threads = 0;
  /// Calls that may queue for that pool before offload() parks its caller. At least 1.
  std::size_t offload_queue = 1024;
  /// Most threads of the pool behind offload_blocking(), 1 to 4096. They start when none is idle, and end after ten
  /// seconds without a call; at the limit callers wait.
  std::size_t blocking_threads_max = 512;
  /// Receives each exception that a task ended with and nobody collected, and the task's name; and that of an offloaded
  /// call that its caller has left, with the call's name. Called on any thread;
  /// what it throws is ignored. Default: a line on stderr.
  std::function<void(std::exception_ptr, std::string_view task)> on_unhandled_exception{};
  /// See `scheduling`.
  scheduling order = scheduling::work_stealing;
  /// Clock and choice, for tests that must replay; makes `order` fifo. Default: the real ones.
  std::shared_ptr<environment> world{};
};

/// When a spawned fiber takes its first step.
enum class start : unsigned char {
  queued,  ///< after the fibers that are ready now
  eager,   ///< at once, on the caller's worker; the caller is next in line when the new fiber first waits
};

/// Choices for one fiber.
struct spawn_options {
  /// Shown in reports and dumps; copied.
  std::string_view name{};
  /// Bytes; 0: the runtime's. At least 16 KiB, at most 1 GiB; rounded up to a power of two.
  std::size_t stack_size = 0;
  weft::start start = weft::start::queued;
  /// No handle is kept: the returned task is empty, and a failure goes to `on_unhandled_exception`.
  bool detached = false;
};

}  // namespace weft
