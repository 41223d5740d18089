#pragma once
/// @file
/// The monitor: a thread that looks every so often whether a worker has been with one fiber for long. It reports that
/// once, and may call a stand-in. It also lets idle stacks give their memory back. While all workers sleep it sleeps
/// too, as soon as no stack is left to look at.

#include "stack_probe.hpp"

#include <weft/runtime/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace weft::inline v0::detail {

class scheduler;
class worker;
struct fiber_record;

class monitor {
public:
  /// @param slow  how long is long; zero: nothing is reported
  /// @param spares  how many stand-ins may be on duty for workers that are stuck
  /// @param releases  it sees to idle stacks, as the runtime's options say
  monitor(scheduler& home, std::chrono::nanoseconds slow, std::size_t spares, bool releases);
  monitor(monitor const&) = delete;
  ~monitor() { stop(); }

  /// When the first workers are there.  @throws std::system_error  if there is no thread
  void start();
  void stop() noexcept;

  /// A worker has woken up. Its thread, after it has cleared `asleep` and run a light barrier.
  void note_awake() noexcept {
    // relaxed: pairs through the barriers with the heavy one in rest().
    if (resting_.load(std::memory_order_relaxed)) [[unlikely]]
      end_rest();
  }
  /// On a worker's thread, first thing.
  void admit() const noexcept {
    if (probe_) stack_probe::admit();
  }

private:
  /// What a worker was doing when it was last looked at.
  struct view {
    fiber_record* fiber = nullptr;  // only compared
    std::uint32_t turns = 0;
    time_point since{};
    bool reported = false;
    bool stood_in_for = false;
  };

  void run() noexcept;
  void rest(std::unique_lock<std::mutex>& lock) noexcept;
  void watch_rest() noexcept;
  void release_stacks(time_point now) noexcept;
  void end_rest() noexcept;
  [[nodiscard]] bool all_asleep() const noexcept;
  void look(time_point now) noexcept;
  void look_at(worker const& w, view& seen, time_point now) noexcept;
  void report(worker const& w, std::chrono::nanoseconds busy) noexcept;

  scheduler& home_;
  std::chrono::nanoseconds const slow_;
  std::size_t const spares_;
  std::chrono::nanoseconds const release_interval_;  // zero: stacks are left alone
  std::chrono::nanoseconds const interval_;
  std::optional<stack_probe> probe_;
  std::atomic<bool> resting_{false};  // written by the monitor
  std::mutex mutex_;                  // guards the two below
  bool stopping_ = false;
  bool called_ = false;
  std::condition_variable wake_;
  std::thread thread_;
  std::vector<view> views_;          // the monitor's
  std::size_t standing_in_ = 0;      // the monitor's
  time_point next_release_ = never;  // the monitor's
  unsigned rounds_at_rest_ = 0;      // the monitor's, as is the next
  std::uint64_t sleeps_ = 0;         // of all workers so far, when it last looked
};

}  // namespace weft::inline v0::detail
