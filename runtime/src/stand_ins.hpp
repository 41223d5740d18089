#pragma once
/// @file
/// Stand-ins: workers that take the place of others which are away in a call that blocks, so that as many as the
/// runtime was made with go on running fibers. Each is an ordinary worker, made when first needed. While on duty it
/// steals, polls and sleeps as the others do; otherwise it rests: it takes nothing from others, and only goes on with
/// the fibers, timers and descriptors that it has.

#include <weft/runtime/detail/published.hpp>

#include <cstddef>
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
  /// For a stand-in that has nothing to do.  @returns whether it rests from now on
  [[nodiscard]] bool relieve(worker& w) noexcept;
  /// How many are on duty. A hint.
  [[nodiscard]] std::size_t on_duty() const noexcept { return on_duty_; }
  /// For a new stand-in's thread, which may start before it is in the list.
  void wait_until_added() const noexcept { std::lock_guard const lock{mutex_}; }

private:
  scheduler& home_;
  std::size_t const most_;
  mutable std::mutex mutex_;  // guards all below, and the adding of workers
  std::size_t needed_ = 0;
  published<std::size_t> on_duty_{};
  std::size_t made_ = 0;
  std::vector<worker*> resting_;  // the last to rest is the first to be called: it is warm
};

}  // namespace weft::inline v0::detail
