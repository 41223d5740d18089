#pragma once
/// @file
/// Stand-ins: workers that take the place of others which are away in a call that blocks, so that as many as the
/// runtime was made with go on running fibers. Each is an ordinary worker, made when first needed. While on duty it
/// steals, polls and sleeps as the others do. Once it is not needed any longer it leaves what it has queued to others
/// and rests: it takes nothing from them, and only goes on with what its own timers and descriptors wake, and with
/// fibers that are pinned to it.

#include "coarse_clock.hpp"

#include <weft/runtime/detail/published.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace weft::inline v0::detail {

class scheduler;
class worker;

class stand_ins {
public:
  /// @param most  that there may ever be
  stand_ins(scheduler& home, std::size_t most);
  stand_ins(stand_ins const&) = delete;

  /// A worker is away: another goes on duty.  @returns false if there is none, and none can be made. Any thread.
  [[nodiscard]] bool call() noexcept;
  /// It is back, after call() returned true. Any thread.
  void dismiss() noexcept;
  /// Whether relieve() is worth a call. A hint.
  [[nodiscard]] bool too_many() const noexcept {
    return on_duty_ > kept_ || (on_duty_ > needed_ && coarse_now() - began_ > interval);
  }
  /// Whether one that is on duty should soon look at that again. A hint.
  [[nodiscard]] bool surplus() const noexcept { return on_duty_ > needed_; }
  /// For a stand-in, on its thread, that holds no place in the set of idle workers.
  /// @returns whether it rests from now on
  [[nodiscard]] bool relieve(worker& w) noexcept;
  /// One that rests is about to sleep, or has slept.
  void note_asleep() noexcept { asleep_.fetch_add(1, std::memory_order_release); }  // pairs with asleep()
  void note_awake() noexcept { asleep_.fetch_sub(1, std::memory_order_relaxed); }   // nothing is published
  /// How many rest and sleep. What they did before is then visible to the caller.
  [[nodiscard]] std::size_t asleep() const noexcept { return asleep_.load(std::memory_order_acquire); }
  /// How many workers are away. A hint.
  [[nodiscard]] std::size_t needed() const noexcept { return needed_; }
  /// How many are on duty. A hint.
  [[nodiscard]] std::size_t on_duty() const noexcept { return on_duty_; }
  /// For a new stand-in's thread, which may start before it is in the list.
  void wait_until_added() const noexcept { std::lock_guard const lock{mutex_}; }

private:
  /// What is needed varies, and to call one that rests costs a wake-up: as many stay as were needed at once lately,
  /// that is in this interval and in the one before.
  static constexpr std::uint64_t interval = 4'000'000;  // on the coarse clock: 1 to 4 ms, at 1 to 4 GHz
  void note_needed(std::size_t needed) noexcept;
  void begin_interval() noexcept;

  scheduler& home_;
  std::size_t const most_;
  mutable std::mutex mutex_;  // guards all below, and the adding of workers
  published<std::size_t> needed_{};
  published<std::size_t> on_duty_{};
  published<std::size_t> kept_{};
  published<std::uint64_t> began_{};  // this interval, on the coarse clock
  std::size_t peak_ = 0;              // of `needed_`, in this interval
  std::size_t made_ = 0;
  std::vector<worker*> resting_;  // the last to rest is the first to be called: it is warm
  std::atomic<std::size_t> asleep_{0};
};

}  // namespace weft::inline v0::detail
