#pragma once
/// @file
/// A running runtime: its workers and what they share.

#include "door.hpp"
#include "injection_queue.hpp"
#include "monitor.hpp"
#include "offload_pool.hpp"
#include "overflow_report.hpp"
#include "record_pool.hpp"
#include "stack_pool.hpp"
#include "stand_ins.hpp"
#include "worker.hpp"
#include "worker_list.hpp"

#include <weft/runtime/detail/idle_set.hpp>
#include <weft/runtime/options.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace weft::detail {

class scheduler {
public:
  /// Starts the workers.  @throws std::system_error, std::bad_alloc; nothing is left behind
  explicit scheduler(runtime_options const& options);
  scheduler(scheduler const&) = delete;
  /// All fibers must have ended.
  ~scheduler();

  /// Queues a ready fiber from any thread.
  void make_runnable(fiber_record& fiber, placement where) noexcept;
  /// New work lies in some queue: wakes a worker if one sleeps and none searches.
  void wake_one() noexcept {
    if (idle.wanted()) [[unlikely]]
      wake_picked();
  }
  /// No more fibers from outside or inside.
  void stop_admission() noexcept { entrance.close(); }
  /// Cancels every live fiber, again and again, until none is left or `deadline` has passed.
  /// @returns whether none is left
  bool drain(time_point deadline);
  [[nodiscard]] std::size_t live_fibers() const noexcept;
  /// `t` on the runtime's own coarse clock, which starts with it and wraps after 49 days.
  [[nodiscard]] std::uint32_t milliseconds(time_point t) const noexcept {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(t - began).count());
  }
  /// A fiber has ended. Any thread of a worker.
  void note_end() noexcept {
    if (entrance.closed()) [[unlikely]]
      drained_.notify_all();
  }

  /// Of a guest: the calling thread is its worker for about `limit`.  @returns whether more is ready
  /// @throws error  on a fiber, and while another thread does the same
  bool drive(std::chrono::nanoseconds limit);
  /// Of a guest, on a thread: drives it until `fiber` has ended, `deadline` has passed, or another thread drives.
  void drive_until_ended(fiber_record const& fiber, time_point deadline);
  /// Starts the thread of a new worker.  @throws std::system_error
  void start_thread(worker& w);

  runtime_options const options;
  overflow_report const faults;
  std::uint8_t const default_stack_class;
  environment* const world;  ///< null: the real one
  time_point const began;
  record_pool* const records;
  stack_pool stacks;
  idle_set idle;
  injection_queue injected;
  offload_pool offload;
  worker_list workers;
  stand_ins away;
  monitor watch;
  door entrance;
  // Both publish nothing; the exchange on the first makes sure that one watches at a time.
  std::atomic<bool> neighbours_watched{false};   ///< a worker sleeps with a limit, to look after busy ones
  std::atomic<std::uint64_t> watcher_called{0};  ///< when one was last woken for that, on the coarse clock
  /// The next block of 2^16 ids to hand out; no two fibers of a process share one. relaxed: only the number counts.
  inline static std::atomic<std::uint64_t> next_ids{1};

private:
  void wake_picked() noexcept;

  /// The fibers' counters of all workers, as `entrance` reads them.
  [[nodiscard]] auto all_counters() const noexcept {
    return [this](auto const& visit) {
      for (auto const& w : workers) visit(w->spawned, w->finished);
    };
  }

  std::mutex drain_mutex_;
  std::condition_variable drained_;
  std::atomic<bool> driven_{false};  // a thread is in drive()
};

}  // namespace weft::detail
