#include "stand_ins.hpp"

#include "scheduler.hpp"
#include "worker.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>

namespace weft::inline v0::detail {

stand_ins::stand_ins(scheduler& home, std::size_t most) : home_(home), most_(most) { resting_.reserve(most); }

void stand_ins::begin_interval() noexcept {
  auto const present = coarse_now();
  auto const passed = present - began_;
  if (passed <= interval) return;
  // Each change begins a new interval if it is due. So if more than two have passed, nothing has changed in the last.
  kept_ = passed > 2 * interval ? needed_.get() : peak_;
  peak_ = needed_;
  began_ = present;
}

void stand_ins::note_needed(std::size_t needed) noexcept {
  begin_interval();
  needed_ = needed;
  peak_ = std::max(peak_, needed);
  if (needed > kept_) kept_ = needed;
}

bool stand_ins::call() noexcept {
  std::lock_guard const lock{mutex_};
  if (needed_ < on_duty_) {  // one that does not rest yet
    note_needed(needed_ + 1);
    return true;
  }
  if (resting_.empty()) {
    if (made_ == most_) return false;
    try {
      auto made = std::make_unique<worker>(home_, static_cast<std::uint16_t>(home_.workers.size()));
      made->on_duty.store(true, std::memory_order_relaxed);  // its thread is yet to start
      home_.start_thread(*made);
      home_.workers.add(std::move(made));
    } catch (...) {
      return false;  // no memory, descriptor or thread is to be had
    }
    ++made_;
  } else {
    worker& called = *resting_.back();
    resting_.pop_back();
    called.on_duty.store(true, std::memory_order_relaxed);  // published by the wake-up
    called.loop.wake();
  }
  note_needed(needed_ + 1);
  on_duty_ = on_duty_ + 1;
  return true;
}

void stand_ins::dismiss() noexcept {
  std::lock_guard const lock{mutex_};
  note_needed(needed_ - 1);
}

bool stand_ins::relieve(worker& w) noexcept {
  std::lock_guard const lock{mutex_};
  if (!w.on_duty.load(std::memory_order_relaxed)) return true;
  begin_interval();
  if (on_duty_ <= kept_) return false;
  on_duty_ = on_duty_ - 1;
  w.on_duty.store(false, std::memory_order_relaxed);  // guarded by the lock
  resting_.push_back(&w);
  return true;
}

}  // namespace weft::inline v0::detail
