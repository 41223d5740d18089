#pragma once
/// @file
/// A worker: one OS thread that runs fibers, with all that it needs within reach.

#include "door.hpp"
#include "injection_queue.hpp"
#include "ordered_queue.hpp"
#include "poller.hpp"
#include "record_pool.hpp"
#include "sanitizers.hpp"
#include "stack_pool.hpp"
#include "switch.hpp"
#include "timer_wheel.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/detail/next_slot.hpp>
#include <weft/runtime/detail/published.hpp>
#include <weft/runtime/detail/ring.hpp>
#include <weft/runtime/options.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

namespace weft::inline v0::detail {

/// 2.5 to 10 ms: a look at each neighbour costs a few cache lines.
inline constexpr std::uint64_t longest_unattended = 10'000'000;

class scheduler;
class worker;

/// Fields without a comment on their threads are touched by the worker's thread only.
class alignas(cache_line) worker {
public:
  static constexpr std::uint32_t ring_capacity = 2048;

  worker(scheduler& home, std::uint16_t index);
  worker(worker const&) = delete;

  // --- for the fiber that runs here ---

  /// Queues the calling fiber behind all that is ready and runs something else.
  static void yield(worker* w, fiber_record& self) noexcept;
  /// Runs something else until the calling fiber's open wait ends.
  static void park(worker* w, fiber_record& self, wait_key wait) noexcept;
  /// See detail::may_give_way().
  [[nodiscard]] bool may_give_way(fiber_record const& self) const noexcept;
  /// The same where that said no, with what can be put off put off: see slot_goes_on().
  static turn_to_give turn_after_all(worker* w) noexcept;
  static void give_way(worker* w, fiber_record& self) noexcept;
  /// Waits for the end of `child`. If that is the newest in this worker's queue, it runs at once, and the caller again
  /// as soon as it ends or waits; where it waits, it first calls open_aside_join().  @returns true
  /// @throws cancelled; std::system_error
  static bool join(worker* w, fiber_record& self, fiber_record& child, cancellation mode);
  /// Runs the new fiber `child` at once; the caller is next in line.
  static void run_eagerly(worker* w, fiber_record& self, fiber_record& child) noexcept;

  // --- for whoever runs on this worker's thread ---

  /// Queues a ready fiber here.
  void enqueue(fiber_record& fiber, placement where) noexcept;
  /// The same for one that has been spawned by the running fiber.
  void enqueue_new(fiber_record& fiber) noexcept;
  /// The same for one that the running fiber has woken.
  void enqueue_woken(fiber_record& fiber, placement where) noexcept;
  /// enqueue_woken() where that takes no more than to fill the slot.  @returns false, having done nothing, elsewhere
  [[nodiscard]] bool put_woken(fiber_record& fiber, placement where) noexcept;
  /// Ready fibers here. A hint.
  [[nodiscard]] std::size_t queued() const noexcept { return ring_.size() + ordered_.size(); }
  /// Whether a fiber waits for this worker's time. A hint.
  [[nodiscard]] bool others_ready() const noexcept {
    return queued() != 0 || slot_.waits() || !mailbox.empty() || !returning.empty();
  }
  /// The present, read anew.
  time_point now() noexcept;
  /// The last reading: no older than the last 64 switches, or a few microseconds.
  [[nodiscard]] time_point last_now() const noexcept { return now_; }  // any thread

  /// The same as scheduler::milliseconds().
  [[nodiscard]] std::uint32_t last_milliseconds() const noexcept { return now_in_ms_; }

  /// A number below `n`, for who must choose and should not always choose the same.
  [[nodiscard]] std::size_t draw(std::size_t n) noexcept;

  /// Changes with each fiber that is taken up. A hint for other threads.
  [[nodiscard]] std::uint32_t turns() const noexcept { return ticks_; }

  /// For a guest, before its first turn.
  void wait_for_turns() noexcept;
  /// For a guest, on the thread that calls: runs what is ready, but for not much longer than `limit`.
  /// @param first  a fiber that has been taken out of its parking, to be run before all that is ready, or null
  /// @returns whether more is ready
  bool take_turn(std::chrono::nanoseconds limit, fiber_record* first = nullptr) noexcept;
  /// For the fiber that runs: the turn ends when it waits, whatever is ready.
  void end_turn() noexcept { leave_at_ = time_point::min(); }
  /// The thread's own function.
  void run_loop() noexcept;

  /// The thread's, which is the running fiber's.
  [[nodiscard]] exception_state* exceptions() const noexcept { return exceptions_; }

  void bind_thread() noexcept;
  static void unbind_thread() noexcept;

  /// In a forked child, on the worker's thread: from here on there is no fiber and no place to queue one, so that what
  /// the forking fiber calls comes to look at fork_watch.
  void abandon() noexcept;

  published<fiber_record*> current{};  ///< the fiber that runs, or null in the worker's own context
  published<fiber_record*> away{};     ///< the fiber that is in blocking() here
  scheduler& home;
  std::uint16_t const index;
  sanitizer_thread identity{};
  record_cache records;
  stack_cache stacks;
  std::optional<stack_cache> body_stacks;  ///< of generators' bodies; made when first needed
  std::uint64_t ids_ahead = 0;             ///< of `spawned`, until that comes to the next multiple of 2^16
  // Fibers that began and ended here: written by this worker, read by all (see door).
  door::count spawned{0};
  door::count finished{0};
  published<std::uint64_t> steals{};  ///< that found something
  published<std::uint64_t> polls{};   ///< runs of a loop, its own or a neighbour's

  // --- for all workers ---
  timer_wheel timers;
  poller loop;
  injection_queue mailbox;    ///< fibers that only this worker may run
  injection_queue returning;  ///< behind the slot: prompt fibers, and joiners that others sent back; may be stolen
  std::atomic<bool> asleep{false};   ///< set by this worker before it looks for the last time
  std::atomic<bool> on_duty{false};  ///< of a stand-in; guarded by stand_ins, read by this worker
  std::thread thread;

  static void stack_main(transfer t);           ///< the base loop of every stack
  static void measured_stack_main(transfer t);  ///< the same with runtime_options::measure_stacks

  /// Whether it sleeps in its loop, or has looked into it of late. Any thread; a hint.
  [[nodiscard]] bool attends_loop() const noexcept;

private:
  friend class scheduler;

  /// What becomes of the context that was left, once its registers are saved.
  enum class after : unsigned char {
    nothing,
    requeue,
    requeue_here,
    park,
    into_slot,
    next_in_line,
    step_aside,
    cache_stack
  };

  static void yield_leasing(worker* w, fiber_record& self) noexcept;
  static void yield_slowly(worker* w, fiber_record& self, fiber_record* next) noexcept;
  static void park_for_ring(worker* w, fiber_record& self, wait_key wait) noexcept;
  static void park_leasing(worker* w, fiber_record& self, wait_key wait) noexcept;
  static void park_slowly(worker* w, fiber_record& self, wait_key wait, fiber_record* next) noexcept;
  static void suspend(worker* w, fiber_record* self, fiber_record* next, after then, after likely) noexcept;
  static void resume(worker* w, fiber_record& self, fiber_record& next, void* context, after then) noexcept;
  static void leave_for(void* to, stack_bounds bounds, worker* w, fiber_record& self, after likely) noexcept;
  void settle(void* from, after then) noexcept;
  void land(void* from, after likely) noexcept;
  void arrive(void* from) noexcept;
  void prefetch_following(std::size_t lines) const noexcept;
  bool place(fiber_record& fiber) noexcept;
  bool find_place(fiber_record& fiber) noexcept;
  bool find_other_place(fiber_record& fiber) noexcept;
  void* enter(fiber_record& fiber) noexcept;
  fiber_record* pick_next() noexcept;
  bool tick_in_sight(std::uint32_t ticks) const noexcept;
  fiber_record* pick_in_line() noexcept;
  bool slot_is_next() const noexcept;
  bool slot_goes_on() noexcept;
  fiber_record* pick_in_slot() noexcept;
  fiber_record* pick_slowly() noexcept;
  fiber_record* pick_outside_ring() noexcept;
  fiber_record* pick_in_order() noexcept;
  void tell_step(fiber_record const& fiber) const noexcept;
  fiber_record* tick() noexcept;
  fiber_record* take_from_others() noexcept;
  fiber_record* take_injected() noexcept;
  fiber_record* take_mail() noexcept;
  bool expire_timers(timer_wheel& of) noexcept;
  void poll() noexcept;
  void push(fiber_record& fiber) noexcept;
  bool goes_first(fiber_record& joiner) noexcept;
  fiber_record* take_joiners_task() noexcept;
  bool all_is_prompt() const noexcept;
  void enqueue_promptly(fiber_record& fiber) noexcept;
  fiber_record* take_slot() noexcept;
  void push_in_line(fiber_record& fiber) noexcept;
  void put_next(fiber_record& fiber) noexcept;
  void help_with_woken() noexcept;
  void call_help_now() noexcept;
  void begin_batch() noexcept;
  void overflow(fiber_record& fiber) noexcept;
  std::size_t give_away(std::uint32_t most) noexcept;
  fiber_record* after_end(fiber_record* joiner, fiber_record* starter) noexcept;
  fiber_record* take_back(fiber_record& starter) noexcept;
  fiber_record* look_around(fiber_record& joiner) noexcept;
  template <bool Measured>
  static worker* run_fiber(worker* w, fiber_record& fiber, fiber_record*& joiner) noexcept;
  template <bool Measured>
  static void base_loop(transfer t) noexcept;

  // The worker's own context.
  void dispatch(fiber_record& fiber) noexcept;
  [[nodiscard]] bool on_own_stack() const noexcept { return own_context_ == nullptr; }
  fiber_record* look_in_loop() noexcept;
  fiber_record* search() noexcept;
  fiber_record* steal_from(worker& victim, bool also_slot) noexcept;
  bool slot_waits() const noexcept;
  void look_after_neighbours() noexcept;
  void look_aside() noexcept;
  /// Whether this is a stand-in that is not needed. Only this worker makes itself one; who calls it to duty wakes it.
  [[nodiscard]] bool rests() const noexcept { return stands_in_ && !on_duty.load(std::memory_order_relaxed); }
  void step_down() noexcept;
  void hand_over() noexcept;
  void judge_last_steal() noexcept;
  bool work_in_sight() noexcept;
  fiber_record* sleep() noexcept;
  bool start_watching() noexcept;
  bool watcher_is_fresh() const noexcept;
  bool wants_watcher() const noexcept;
  void call_watcher() noexcept;
  time_point with_slack(time_point deadline) const noexcept;
  fiber_record* skip_time() noexcept;
  time_point time_to_look(std::chrono::nanoseconds interval) noexcept;
  bool all_rest() const noexcept;
  bool wake_who_waits_for_quiet() noexcept;
  fiber_record* end_deadlock() noexcept;
  void fail_unplaced() noexcept;

  static constexpr std::uint32_t ticks_between_looks = 64;
  static constexpr std::uint32_t glance_mask = 7;  // in between, every so many switches, the time is looked at
  static constexpr unsigned slot_turns = 61;

  // What a switch touches, but for the slot and the ring: one cache line. The first, and left_key_, are handed from the
  // context that is left to the one that goes on.
  alignas(cache_line) fiber_record* left_ = nullptr;
  stack* left_stack_ = nullptr;
  exception_state* exceptions_ = nullptr;                // this thread's
  wait_key left_key_{};                                  // of the fiber in left_, which waits
  published<std::uint32_t> ticks_{ticks_between_looks};  // until the next look; stays 1 where fibers must migrate
  unsigned slot_turns_ = 0;                              // how often in a row the slot went first
  std::uint32_t prompt_back_ = 0;         // the back of the ring, when all in it had been queued promptly
  published<std::uint32_t> now_in_ms_{};  // as now_
  after then_ = after::nothing;
  bool help_put_off_ = false;  // see enqueue_woken()

  std::uint64_t last_tick_ = 0;           // on the coarse clock
  std::uint64_t timers_seen_at_ = 0;      // by a tick, on the coarse clock
  std::uint64_t last_turn_ = 0;           // when others had a turn before a joiner, on the coarse clock
  published<std::uint64_t> polled_at_{};  // on the coarse clock
  bool loop_busy_ = false;                // the last look in the loop found something at once
  bool look_put_off_ = false;             // until we are on our own stack: see tick()
  bool mail_first_ = false;
  bool const migrates_;               // scheduling::forced_migration
  bool in_order_;                     // scheduling::fifo; changed by abandon() alone, as is the next
  bool steals_;                       // scheduling::work_stealing
  bool const asides_;                 // joiners may step aside
  void* own_context_ = nullptr;       // the loop's, while a fiber runs; else null
  fiber_record* unplaced_ = nullptr;  // a new fiber for which no stack could be had
  stack_bounds own_stack_{};
  void* own_fake_stack_ = nullptr;
  published<time_point> now_{};
  std::uint32_t random_;
  bool searching_ = false;
  bool about_to_run_ = false;          // just woken, and what is queued meanwhile is run next: one fiber needs no help
  time_point woken_at_{};              // by a timer, last
  bool in_batch_ = false;              // and begin_batch()
  std::uint64_t help_put_off_at_ = 0;  // on the coarse clock
  unsigned help_urgent_ = 0;           // how many of the next are not put off
  unsigned help_untimed_ = 0;          // how many of the next are put off without looking for how long
  bool watches_closely_ = false;       // a neighbour did not attend to its loop when last looked at
  std::uint64_t looked_aside_at_ = 0;  // on the coarse clock
  std::uint64_t looked_after_at_ = 0;  // likewise: at all neighbours
  int reluctance_ = 0;                 // rounds of a search before it steals
  std::uint32_t stolen_ = 0;           // in the last steal, until it has been judged
  std::uint64_t stolen_at_ = 0;        // on the coarse clock
  basic_next_slot<fiber_record*> slot_;   // next in line
  fiber_record const* joiner_ = nullptr;  // put there last as one; only compared: it may be gone
  std::uint64_t joiner_id_ = 0;           // its id
  std::uint64_t joiner_since_ = 0;        // on the coarse clock
  unsigned joiners_tasks_ = 0;            // that have run before it since
  ordered_queue ordered_;                 // in place of the ring and the slot, with scheduling::fifo
  basic_ring<fiber_record*, ring_capacity> ring_;
  std::vector<std::uint64_t> seen_progress_;  // of each neighbour, when it was last looked after
  bool const stands_in_;                      // see stand_ins.hpp
  time_point leave_at_ = never;               // of a guest: when its turn ends
  bool leaving_ = false;                      // its turn is over
  bool parked_ = false;                       // between two turns, with nothing ready
};

// The initial-exec model: one load, in a shared library too.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local worker* this_worker;

/// current_worker() without a call. Only for functions that are not inlined, and ask once, before anything that may
/// suspend: a compiler may take the address of what is a thread's to be the same afterwards.
[[gnu::always_inline]] inline worker* entry_worker() noexcept { return sanitized ? current_worker() : this_worker; }

}  // namespace weft::inline v0::detail
