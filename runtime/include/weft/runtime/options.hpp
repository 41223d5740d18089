#pragma once
/// @file
/// What can be chosen when a runtime is made, and when a fiber is spawned.

#include <weft/runtime/environment.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0 {

/// Which worker a ready fiber goes to.
enum class scheduling : unsigned char {
  work_stealing,     ///< the worker that made it ready; idle workers steal
  fifo,              ///< needs one worker: strictly in the order in which fibers became ready
  forced_migration,  ///< needs two workers: never the worker that the fiber left. For tests: it turns code that wrongly
                     ///< relies on its thread from rarely wrong into always wrong
};

/// A fiber that has kept its worker busy for long, without a wait.
struct slow_callback {
  fiber_id fiber{};                 ///< none, if the worker could not be asked
  std::string name{};               ///< of the fiber, at most 63 bytes of it
  std::size_t worker = 0;           ///< where
  std::chrono::nanoseconds busy{};  ///< so far
  /// Where the fiber is, innermost first: "function +offset", as far as the program's dynamic symbols tell (link with
  /// `-rdynamic` for more), else "module +offset", as addr2line takes it. Empty if the worker could not be asked.
  std::vector<std::string> stack{};
};

/// When stacks that lie idle give their memory back to the system. Each keeps one page, so that using it again is as
/// fast as ever; the others come back, as zeros, when they are touched. A worker has up to 64 idle stacks of each size
/// at hand, to which this does not apply.
struct stack_release {
  /// Bytes that those which have been idle for `after` may keep between them. The ones used last keep theirs.
  std::size_t keep = std::size_t{16} * 1024 * 1024;
  /// Looked at this often at most, and not at all while nothing has changed: memory goes back between one and two times
  /// as long after its last use. Zero or less: as soon as the monitor thread comes to it. `max()`: never.
  std::chrono::nanoseconds after = std::chrono::seconds{1};
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
  /// What becomes of the memory of stacks after a peak. A monitor thread sees to it; in virtual time and for a guest
  /// there is none, and only `runtime::release_stacks()` gives memory back.
  weft::stack_release stack_release{};
  /// Finds out how deep each fiber's stack gets, for `runtime::stack_usage()`. Costs some system calls for each fiber.
  bool measure_stacks = false;
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
  /// call whose caller was cancelled meanwhile, with the call's name. In debug mode the name is followed by the place
  /// where the task was spawned. Called on any thread, also by a worker between fibers: it must not wait. What it
  /// throws is ignored. Default: a line on stderr, which also tells the type of the task's callable.
  std::function<void(std::exception_ptr, std::string_view task)> on_unhandled_exception{};
  /// A worker that has been with one fiber for longer is reported, once. A monitor thread looks for it while any worker
  /// is awake, and asks the worker's thread by SIGURG where it is, unless the program handles that signal itself. Zero
  /// or less: nothing is reported. In virtual time nothing is either.
  std::chrono::nanoseconds slow_callback_duration = std::chrono::seconds{1};
  /// Receives that report, on the monitor thread; what it throws is ignored. Default: some lines on stderr.
  std::function<void(slow_callback const&)> on_slow_callback{};
  /// Workers more, at most 64, that take the place of others which are stuck in a fiber for 2 ms or more while nobody
  /// is idle: they steal its queue and serve its timers and descriptors. Made when first needed; only for
  /// `scheduling::work_stealing`.
  std::size_t spare_workers = 0;
  /// The runtime has no threads for fibers: it is a guest in a loop that the program has already (of a GUI, a game),
  /// which calls `runtime::poll_once()` when `runtime::wake_fd()` becomes readable. `workers` must be 0 or 1.
  bool guest = false;
  /// See `scheduling`.
  scheduling order = scheduling::work_stealing;
  /// Clock and choice, for tests that must replay; makes `order` fifo. Default: the real ones.
  std::shared_ptr<environment> world{};
  /// Called with each worker's index on its thread, outside of any fiber, before it runs the first; the constructor
  /// waits for all. What it throws leaves the constructor, or start(), and nothing is left behind; what it throws for
  /// a spare worker, or one that stands in for another in blocking(), goes to `on_unhandled_exception`.
  std::function<void(std::size_t worker)> on_worker_start{};
  /// The same at the thread's end, for each worker whose `on_worker_start` has returned. What it throws goes to
  /// `on_unhandled_exception`.
  std::function<void(std::size_t worker)> on_worker_stop{};
  /// CPUs to which workers are pinned, in turn: worker i to the one at i modulo their number. With `workers` 0 there is
  /// one worker for each. Threads that weft makes for other purposes are not pinned. Empty: none is.
  std::vector<int> affinity{};
  /// weft::run() turns the first SIGINT into a cancellation of what it runs, with reason user, if the signal's
  /// disposition is the default; a second one ends the process. Where several threads are in weft::run(), the first
  /// signal cancels what each of them runs, and the disposition comes back with the end of the last. One that begins
  /// after the signal, while others still end, is not told of it and leaves the next to the default; so does one that
  /// finds 64 others. Guests do not, and runtimes by themselves leave signals alone.
  bool handle_sigint = true;
  /// Receives the report of the fibers that remain, and of the offloaded calls that run, when shutdown() has reached
  /// its limit, and every five seconds while shutdown() without limit or the destructor waits for them. A line for each
  /// of the first hundred. On the thread, or fiber, that shuts down; what it throws is ignored. Default: stderr.
  std::function<void(std::string_view report)> on_shutdown_report{};
  /// Receives the report of a deadlock, with `debug` only; see there. On any thread or fiber. It must not wait; what
  /// it throws is ignored. Default: stderr.
  std::function<void(std::string_view report)> on_deadlock{};
  /// What costs time, for development. Deadlocks are reported: fibers and threads that wait for each other, by mutexes
  /// and joins, without a time limit, with their names and stacks; and a runtime in which all fibers have waited for
  /// about `slow_callback_duration` while no timer, descriptor or offloaded call is left to wake one of them (not for a
  /// guest). In the second case only another thread could. If the process has none but such as sleep in weft for good
  /// themselves, all fibers are cancelled, and run() throws `deadlock`; otherwise it is only reported, for nobody can
  /// know what other threads will do. Besides: the checks of `no_suspend_scope`; and each fiber's record says where it
  /// was spawned, for dumps and reports: by `spawn_options::where`, or else by the address to which the spawn returned,
  /// in the function that spawned (or in the one into which the compiler has put that).
  bool debug = false;
};

/// When a spawned fiber takes its first step.
enum class start : unsigned char {
  queued,  ///< after the fibers that are ready now
  eager,   ///< at once, on the caller's worker; the caller is next in line when the new fiber first waits
};

/// A place in the program's text.
struct source_place {
  char const* file = nullptr;  ///< a literal; null: not known
  unsigned line = 0;

  /// Where it is called; as a default argument or member initialiser, where that is used.
  [[nodiscard]] static constexpr source_place here(char const* file = __builtin_FILE(),
                                                   unsigned line = __builtin_LINE()) noexcept {
    return {file, line};
  }
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
  /// Where the fiber was spawned, as dumps and reports tell it in debug mode: by itself, where the options were made.
  source_place where = source_place::here();
};

}  // namespace weft::inline v0
