#pragma once
/// @file
/// OS threads for calls that compute or block, behind a bounded queue: what is behind offload(), offload_blocking() and
/// every offload_pool.
///
/// A thread that has no next job looks for one for a moment before it sleeps, and a caller whose worker has nothing
/// else to do looks for the end of its job before it parks, if it can expect that end soon: if a thread is just
/// looking. Where calls follow each other quickly, neither side then sleeps and wakes the other. Both stop trying for a
/// while when it was in vain: with calls that come rarely or take long, or on a machine that is busy, nothing is gained
/// by it.
///
/// A thread runs a job, or is *coming* for one (just started, just woken, or spinning a moment after its last), or
/// *sleeps*. One is called for a job only if fewer are coming than jobs are queued: the newest sleeper, so that the
/// others of an elastic pool stay idle long enough to end; and without a sleeper a new thread, up to the limit.
///
/// Who passes on an end: the thread first takes the ended job out of its own place, under the lock, so that nobody
/// finds it there any more, and then tells the caller, which may free it.

#include "spin_credit.hpp"

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/offload_job.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace weft::inline v0::detail {

/// The job that the calling thread of a pool runs, or null. Not for fibers: they change their threads.
[[nodiscard]] offload_job* job_of_this_thread() noexcept;

/// A job that runs, as others see it. The names are valid while the callback that gets this runs.
struct running_job {
  std::string_view pool;
  std::string_view name;         ///< given with offload_options; may be empty
  std::string_view caller_name;  ///< of the calling fiber; may be empty
  fiber_id caller;               ///< none: a thread
  std::chrono::nanoseconds age;  ///< since it started, to a few milliseconds
  bool left;                     ///< its caller no longer waits for it
};

[[nodiscard]] running_job describe(offload_job const& job) noexcept;
/// For a report: one line.
[[nodiscard]] std::string to_string(running_job const& job);

/// Of a job that has run, and whose caller has been cancelled: passes on what it threw, unless that is a `cancelled`.
void report_failure(offload_job const& job) noexcept;

struct job_pool_options {
  std::string name;
  std::string thread_name;  ///< an index is added
  std::size_t threads;
  std::size_t queue;
  time_point::duration idle_time = time_point::duration::max();  ///< max: threads stay
  bool of_runtime = false;  ///< its callers are fibers of one runtime, which is drained before the pool goes
};

class job_pool {
public:
  /// Threads start with the first jobs.
  explicit job_pool(job_pool_options options);
  job_pool(job_pool const&) = delete;
  /// All jobs must have ended.
  ~job_pool();

  // --- for pass_job() ---

  /// Queues `job`, waiting for room; a cancellation point.
  /// @throws std::system_error  if there is no thread and none can be had
  void submit(offload_job& job);
  /// Takes `job` out again.  @returns false if it has been started
  [[nodiscard]] bool withdraw(offload_job& job) noexcept;
  /// A caller comes in; not for a runtime's pools.  @returns false if it must not, and then leave() is due all the same
  [[nodiscard]] bool enter() noexcept;
  /// A caller that came in, or a job that it left, is done with the pool, which may then be gone.
  void leave() noexcept;
  /// Whether a thread is looking for a job just now, and would start one at once. A hint.
  [[nodiscard]] bool is_looking() const noexcept { return spinning_.load(std::memory_order_relaxed); }
  /// Whether callers should look for the end of their jobs before they park.
  spin_credit callers_spin;

  // --- for owners ---

  /// Lets nobody in, and waits until all are out, or until `deadline`; then ends the threads.
  /// @returns false, with the threads still there, at the deadline
  /// @throws cancelled  with cancellation::heeded
  bool close(time_point deadline, cancellation mode);
  /// After close(), before the pool goes: waits for those who came too late, and are only being told so.
  void await_refused() const noexcept;
  /// Calls `f` for each job that runs. Under the pool's lock: `f` must be short, and not call the pool.
  void for_each_running(std::function<void(running_job const&)> const& f) const;
  /// Says on stderr what the pool waits for.
  void report(char const* doing) const noexcept;
  [[nodiscard]] std::string const& name() const noexcept { return options_.name; }
  [[nodiscard]] bool of_runtime() const noexcept { return options_.of_runtime; }
  [[nodiscard]] std::size_t threads() const noexcept;
  [[nodiscard]] std::size_t running() const noexcept;
  [[nodiscard]] std::size_t sleeping() const noexcept;
  [[nodiscard]] std::size_t queued() const noexcept { return queued_.load(std::memory_order_relaxed); }
  /// Whether the calling thread runs a job of this pool, or one for which such a job waits.
  [[nodiscard]] bool is_mine() const noexcept;

private:
  struct member {
    std::thread thread;          // guarded by the pool's lock, as is `job`
    offload_job* job = nullptr;  // that it runs
  };
  struct sleeper {
    waiter* wait;
    sleeper* next = nullptr;  // the next older
    sleeper* prev = nullptr;
    bool linked = true;
  };
  struct waiting_for_room {
    wait_node node;
    offload_job* job;
  };

  void serve(std::list<member>::iterator me) noexcept;
  [[nodiscard]] bool sleep(std::list<member>::iterator me, std::unique_lock<std::mutex>& lock) noexcept;
  [[nodiscard]] offload_job* take(member& me) noexcept;
  [[nodiscard]] static bool tell_end(offload_job& job) noexcept;
  void clear_up(offload_job& job) noexcept;
  void spin() const noexcept;
  void submit_slowly(offload_job& job);
  [[nodiscard]] bool try_append(offload_job& job, waiter*& called);
  void append(offload_job& job) noexcept;
  [[nodiscard]] waiter* admit() noexcept;
  [[nodiscard]] waiter* call_sleeper() noexcept;
  [[nodiscard]] waiter* call_another() noexcept;
  void start_thread();
  void unlink(sleeper& s) noexcept;
  void end_threads() noexcept;

  job_pool_options const options_;
  mutable std::mutex mutex_;  // guards all below, up to `room_`
  std::list<member> members_;
  std::list<member> ended_;      // threads that have said good-bye, and are to be joined
  sleeper* sleepers_ = nullptr;  // the newest
  offload_job* head_ = nullptr;
  offload_job* tail_ = nullptr;
  std::size_t sleeping_ = 0;
  std::size_t coming_ = 0;
  std::size_t running_ = 0;
  bool quit_ = false;
  std::atomic<bool> spinning_{false};  // a thread does, one at most, counted in coming_; written under the lock
  spin_credit threads_spin_;
  std::atomic<std::size_t> queued_{0};  // written under the lock; read by who spins, as a hint
  wait_list room_;                      // callers that wait for room; its own lock, taken under the pool's

  // Callers inside, times four, and two bits: no more come in; and the last of those that were let in has left, or is
  // just announcing it by `drained_`'s flag. Those that come later are told so, and are counted meanwhile.
  static constexpr std::uint64_t closed = 1;
  static constexpr std::uint64_t drained = 2;
  static constexpr std::uint64_t user = 4;
  std::atomic<std::uint64_t> users_{0};
  wait_list drained_;
};

}  // namespace weft::inline v0::detail
