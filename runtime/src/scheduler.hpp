#pragma once
/// @file
/// A running runtime: its workers and what they share.

#include "door.hpp"
#include "fork_guard.hpp"
#include "injection_queue.hpp"
#include "job_pool.hpp"
#include "left_jobs.hpp"
#include "monitor.hpp"
#include "overflow_report.hpp"
#include "prepared_errors.hpp"
#include "record_pool.hpp"
#include "stack_gauge.hpp"
#include "stack_pool.hpp"
#include "stand_ins.hpp"
#include "worker.hpp"
#include "worker_list.hpp"

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/detail/idle_set.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/options.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <sched.h>
#include <string>
#include <vector>

namespace weft::inline v0::detail {

class scheduler {
public:
  /// Starts the workers.
  /// @throws std::system_error, std::bad_alloc, and what on_worker_start throws; nothing is left behind
  explicit scheduler(runtime_options const& options);
  scheduler(scheduler const&) = delete;
  /// All fibers must have ended.
  ~scheduler();

  /// Queues a ready fiber of this scheduler. Any thread that is not one of its workers.
  void make_runnable_from_outside(fiber_record& fiber) noexcept;
  /// New work lies in some queue: wakes a worker if one sleeps and none searches.
  void wake_one() noexcept {
    if (idle.wanted()) [[unlikely]]
      wake_picked();
  }
  /// The same, once idle.wanted() has said so.
  void wake_picked() noexcept;
  /// Of the loops whose workers sleep in them, or have looked into them of late, the one that watches most. The
  /// worker's own is always among them, and goes before its equals.
  [[nodiscard]] poller& crowded_loop(worker& of) const noexcept;
  /// No more fibers from outside or inside.
  void stop_admission() noexcept {
    entrance.close();
    ends_.fetch_or(ends_announced, std::memory_order_relaxed);  // drain() looks again every so often
  }
  /// A worker's thread begins, and ends.  @returns false if it must not run
  [[nodiscard]] bool begin_thread(std::size_t worker) noexcept;
  void end_thread(std::size_t worker) noexcept;
  /// In a forked child: see worker::abandon().
  void abandon() noexcept {
    entrance.close();
    ends_.fetch_or(ends_announced, std::memory_order_relaxed);
  }
  /// Cancels every live fiber, again and again, until none is left or `deadline` has passed; reports those that remain
  /// then or, if it never does, every so often.
  /// @returns whether none is left
  bool drain(time_point deadline);
  [[nodiscard]] std::size_t live_fibers() const noexcept;
  /// Calls `f` for each offloaded call that runs in the runtime's own pools, and for each that its fibers have left
  /// behind in others: what drain() may be waiting for. Under the pools' locks: `f` must be short, and offload nothing.
  void for_each_running_job(std::function<void(running_job const&)> const& f) const;
  /// Cancels every live fiber but `spared` with reason shutdown, in the order of their records' addresses.
  void cancel_all(fiber_record const* spared = nullptr) noexcept;
  /// Tasks that live, or have ended while a handle still refers to them. Exact when nothing runs.
  [[nodiscard]] std::int64_t records_out() const noexcept;

  /// Waits until no visitor is inside: what they brought is queued.
  void await_visitors() const noexcept;
  /// For the worker of a closed world: tells the environment who waits for what. See environment::stuck().
  void report_stuck(bool hopeless) noexcept;
  /// `t` on the runtime's own coarse clock, which starts with it and wraps after 49 days.
  [[nodiscard]] std::uint32_t milliseconds(time_point t) const noexcept {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(t - began).count());
  }
  /// A fiber that counts as finished, and no longer as alive, is about to be given up by its worker. Returns when no
  /// for_each_live() is looking at it.
  void note_end() noexcept {
    thread_barrier::light();  // pairs with the heavy one in for_each_live()
    // acquire: pairs with the end of for_each_live(): what it read is read.
    if (ends_.load(std::memory_order_acquire) != 0) [[unlikely]]
      note_end_slowly();
  }

  /// For an end that was noted before it was counted.
  void announce_end() noexcept {
    // relaxed: drain() looks again every so often.
    if ((ends_.load(std::memory_order_relaxed) & ends_announced) != 0) [[unlikely]]
      drained_.notify_all();
  }

  /// Calls `f` for each live fiber. None of those ends, and no record of those is freed, before this returns. Fibers
  /// whose ends are under way, or that are just being spawned, may be missing.
  ///
  /// An end clears the record's `live` and then looks at `ends_`; this sets a bit there and then looks at `live`. The
  /// first is hot and the second rare, so the second runs the barrier for both: either the end waits for `walking_`, or
  /// the fiber is not looked at. Where the kernel has no such barrier, each end takes the slow path, in which both are
  /// read-modify-writes of `ends_`: of two, one comes second.
  template <class F>
  void for_each_live(F&& f) {
    std::lock_guard const lock{walking_};
    ends_.fetch_or(ends_wait, std::memory_order_acq_rel);
    thread_barrier::heavy();
    struct undo {
      std::atomic<unsigned>& ends;
      // release: pairs with note_end(): our reads come before what the end does to the record.
      ~undo() { ends.fetch_and(~ends_wait, std::memory_order_release); }
    } const when_done{ends_};
    records->for_each_live(f);
  }

  /// On the monitor's thread, when no worker has been awake for a while: if all fibers wait, and nothing in the runtime
  /// will wake them, says so; and if nothing else can, either, cancels them.
  void look_for_deadlock() noexcept;
  /// For who ran a fiber and waited for it.  @throws deadlock  if look_for_deadlock() has cancelled all
  void throw_if_deadlocked();

  /// See weft::all_tasks().
  [[nodiscard]] std::vector<task_info> all_tasks();
  [[nodiscard]] runtime_stats stats();

  /// Of a guest: the calling thread is its worker for about `limit`.  @returns whether more is ready
  /// @throws error  on a fiber, and while another thread does the same
  bool drive(std::chrono::nanoseconds limit);
  /// The same on a thread.  @returns false, having done nothing, while another thread does it
  [[nodiscard]] bool try_drive(std::chrono::nanoseconds limit, bool& more) noexcept;
  /// Of a guest: from now on it counts as driven, and no thread but the one that has said so may take_turn(); or no
  /// longer. The first relaxed: nobody has driven it but this thread; the second as in try_drive().
  void keep_driver() noexcept { driven_.store(true, std::memory_order_relaxed); }
  void release_driver() noexcept { driven_.store(false, std::memory_order_release); }
  /// Of a guest, on a thread that is inside as a visitor: drives it until `fiber` has ended, `deadline` has passed, or
  /// another thread drives.  @returns false, having done nothing, if one does
  [[nodiscard]] bool drive_until_ended(fiber_record const& fiber, time_point deadline) noexcept;
  /// Starts the thread of a new worker.  @throws std::system_error
  void start_thread(worker& w);

  fork_watch const forks;
  runtime_options const options;
  overflow_report const faults;
  cpu_set_t const cpus;  ///< of the thread that made the runtime
  std::uint8_t const default_stack_class;
  prepared_errors const never_run;
  environment* const world;  ///< null: the real one
  time_point const began;
  record_pool_owner records;
  stack_pool stacks;
  stack_gauge gauge;  ///< with options.measure_stacks
  idle_set idle;
  injection_queue injected;
  left_jobs left;     ///< before the pools, whose threads may be done with their last job of it only as they end
  job_pool offload;   ///< for calls that compute
  job_pool blocking;  ///< for calls that block
  worker_list workers;
  wait_list until_quiet;  ///< who waits until nothing is ready; with one worker
  stand_ins away;
  monitor watch;
  door entrance;
  // Both publish nothing; the exchange on the first makes sure that one watches at a time.
  std::atomic<bool> neighbours_watched{false};      ///< a worker sleeps with a limit, to look after busy ones
  std::atomic<std::uint64_t> watcher_called{0};     ///< when one was last woken for that, on the coarse clock
  std::atomic<std::uint32_t> sleepers_who_look{0};  ///< who watch, or wake up in time to watch in another's place
  /// The next block of 2^16 ids to hand out; no two fibers of a process share one. relaxed: only the number counts.
  inline static std::atomic<std::uint64_t> next_ids{1};
  /// The runtime's own: a block of which no fiber has one. What may outlive the runtime knows it by that.
  std::uint64_t const own_id = next_ids.fetch_add(1, std::memory_order_relaxed);

  /// Tells `on_shutdown_report` which fibers remain.
  void report_remaining() noexcept;

private:
  void note_end_slowly() noexcept;
  [[nodiscard]] bool rests_for_good() const noexcept;
  void await_threads();
  [[nodiscard]] bool has_start_step() const noexcept { return options.on_worker_start || !options.affinity.empty(); }

  /// The fibers' counters of all workers, as `entrance` reads them.
  [[nodiscard]] auto all_counters() const noexcept {
    return [this](auto const& visit) {
      for (auto const& w : workers) visit(w->spawned, w->finished);
    };
  }

  // What note_end() has to see to, away from what threads outside write. Bits:
  static constexpr unsigned ends_announced = 1;  // stop_admission() sets it: drain() waits for ends
  static constexpr unsigned ends_wait = 2;       // for_each_live() sets and clears it, under walking_
  static constexpr unsigned ends_careful = 4;    // from the beginning, where there is no heavy barrier
  alignas(cache_line) std::atomic<unsigned> ends_{thread_barrier::asymmetric() ? 0 : ends_careful};
  std::mutex walking_;  // held by for_each_live(), and taken for a moment by each end meanwhile
  // How far the workers' threads have come, where there is something to do before they run.
  std::mutex start_mutex_;  // guards the next three
  std::condition_variable has_begun_;
  std::size_t begun_ = 0;
  std::exception_ptr start_failure_;
  std::mutex drain_mutex_;
  std::condition_variable drained_;
  std::atomic<bool> driven_{false};  // a thread is in drive()
  std::mutex deadlock_mutex_;        // guards the next
  std::string deadlock_;             // the report, until somebody has thrown it
};

}  // namespace weft::inline v0::detail
