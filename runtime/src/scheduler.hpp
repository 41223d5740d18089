#pragma once
/// @file
/// A running runtime: its workers and what they share.

#include "injection_queue.hpp"
#include "offload_pool.hpp"
#include "record_pool.hpp"
#include "stack_pool.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/idle_set.hpp>
#include <weft/runtime/options.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace weft::detail {

class scheduler {
public:
  /// Starts the workers.  @throws std::system_error, std::bad_alloc; nothing is left behind
  explicit scheduler(runtime_options const& options);
  scheduler(scheduler const&) = delete;
  /// All fibers must have ended.
  ~scheduler();

  /// A caller from outside comes in; drain() waits for its leave().  @returns false, having left, if it must not
  [[nodiscard]] bool enter() noexcept {
    // seq_cst, as in drain(): it closes the door and then counts who is inside; who comes counts itself and then looks
    // at the door. One sees the other.
    visitors_.fetch_add(1, std::memory_order_seq_cst);
    if (!stopping.load(std::memory_order_seq_cst)) return true;
    leave();
    return false;
  }
  void leave() noexcept { visitors_.fetch_sub(1, std::memory_order_release); }  // pairs with drain()

  /// Queues a ready fiber from any thread.
  void make_runnable(fiber_record& fiber, placement where) noexcept;
  /// New work lies in some queue: wakes a worker if one sleeps and none searches.
  void wake_one() noexcept {
    if (idle.wanted()) [[unlikely]]
      wake_picked();
  }
  /// No more fibers from outside or inside.
  void stop_admission() noexcept { stopping.store(true); }
  /// Cancels every live fiber, again and again, until none is left or `deadline` has passed.
  /// @returns whether none is left
  bool drain(time_point deadline);
  [[nodiscard]] std::size_t live_fibers() const noexcept;
  /// Cancels every live fiber but `spared` with reason shutdown, in the order of their records' addresses.
  void cancel_all(fiber_record const* spared = nullptr) noexcept;
  /// Tasks that live, or have ended while a handle still refers to them. Exact when nothing runs.
  [[nodiscard]] std::int64_t records_out() const noexcept;

  /// Waits until nobody is between enter() and leave(), or in make_runnable(): what they brought is queued.
  void await_visitors() const noexcept;
  /// For the worker of a closed world: tells the environment who waits for what. See environment::stuck().
  void report_stuck(bool hopeless) noexcept;
  /// `t` on the runtime's own coarse clock, which starts with it and wraps after 49 days.
  [[nodiscard]] std::uint32_t milliseconds(time_point t) const noexcept {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(t - began).count());
  }
  /// A fiber has ended. Any thread of a worker.
  void note_end() noexcept {
    if (stopping.load(std::memory_order_relaxed)) [[unlikely]]
      drained_.notify_all();
  }

  runtime_options const options;
  std::uint8_t const default_stack_class;
  environment* const world;  ///< null: the real one
  time_point const began;
  record_pool_owner records;
  stack_pool stacks;
  idle_set idle;
  injection_queue injected;
  offload_pool offload;
  std::vector<std::unique_ptr<worker>> workers;
  wait_list until_quiet;  ///< who waits until nothing is ready; with one worker
  std::atomic<bool> stopping{false};
  std::atomic<bool> quit{false};                 ///< the workers' threads end
  std::atomic<bool> neighbours_watched{false};   ///< a worker sleeps with a limit, to look after busy ones
  std::atomic<std::uint64_t> watcher_called{0};  ///< when one was last woken for that, on the coarse clock
  std::atomic<std::uint64_t> spawned_outside{0};
  /// The next block of 2^16 ids to hand out; no two fibers of a process share one.
  inline static std::atomic<std::uint64_t> next_ids{1};

private:
  void wake_picked() noexcept;
  void start_threads();

  // Threads that are not workers, inside make_runnable(), where the fiber may have run and the runtime been drained
  // before they are out again; or between enter() and leave().
  std::atomic<int> visitors_{0};
  std::mutex drain_mutex_;
  std::condition_variable drained_;
};

}  // namespace weft::detail
