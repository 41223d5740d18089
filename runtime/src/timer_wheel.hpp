#pragma once
/// @file
/// Timers of one worker: a hierarchical wheel (Varghese and Lauck, 1987; levels chosen by the highest digit in which a
/// deadline differs from the present, as in Tokio). Arming and cancelling are O(1) and allocate nothing; a timer moves
/// down at most once a level.
///
/// A tick is 2^14 ns (16.4 us); six levels of 256 slots reach 2^62 ns, past which a deadline is clamped: 146 years. The
/// first two levels reach 1.07 s: most timers of a service move down once, and each move is a cache miss.
/// Ticks only sort timers into slots. Each keeps its exact deadline: none fires early, and a slot's earliest deadline
/// is what the worker sleeps until, so no wake-up is spent on moving timers down.
///
/// Invariants: all members are guarded by the lock; a timer at level l agrees with `now_tick_` in all digits above l;
/// so every timer of a lower level is due before any of a higher one, and within a level slots are due in order.

#include "spin_lock.hpp"

#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/timer_node.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace weft::inline v0::detail {

class timer_wheel {
public:
  timer_wheel() noexcept;
  timer_wheel(timer_wheel const&) = delete;

  /// Arms `node`. Owner only, so that it need not be woken to look at a new first deadline.
  void arm(timer_node& node, time_point deadline) noexcept;

  /// Takes `node` out if it is in. When this returns, the wheel no longer refers to it. Any thread.
  void cancel(timer_node& node) noexcept;

  /// Takes out every timer due at `now`, in order of their ticks, and hands it to `fire` under the lock.
  /// At most `most` in one call.  @returns true if more may be due.
  template <class Fire>
  bool expire(time_point now, std::size_t most, Fire&& fire) {
    if (!due(now)) return false;
    std::lock_guard const lock{lock_};
    while (timer_node* node = pop_due(now)) {
      fire(*node);
      if (--most == 0) break;
    }
    refresh_next();
    return due(now);
  }

  /// No timer is due before this. Any thread.
  [[nodiscard]] time_point next() const noexcept {
    // relaxed: written under the lock, and each time with regard to all timers that are in. So the owner, which alone
    // arms, never reads one that is later than a timer of its own; to others it is a hint.
    return time_point{std::chrono::nanoseconds{next_.load(std::memory_order_relaxed)}};
  }
  /// Timers in the wheel. Any thread.
  [[nodiscard]] std::size_t armed() noexcept {
    std::lock_guard const lock{lock_};
    return armed_;
  }
  [[nodiscard]] bool due(time_point now) const noexcept { return next() <= now; }

private:
  static constexpr unsigned tick_bits = 14;
  static constexpr unsigned digit_bits = 8;
  static constexpr unsigned slots = 1U << digit_bits;
  static constexpr unsigned levels = 6;
  static constexpr std::uint64_t last_tick = (1ULL << (digit_bits * levels)) - 1;

  enum class end : unsigned char { front, back };

  struct slot_list {
    timer_node* head = nullptr;
    timer_node* tail = nullptr;
    std::int64_t earliest = never.time_since_epoch().count();  // not later than any in the list
    std::array<timer_node*, 4> last{};                         // that were linked, the latest first; may be gone
    end grew_at = end::back;                                   // most of it, or all: where the first was linked
  };

  static std::uint64_t tick_of(time_point t) noexcept;
  slot_list& list_of(timer_node const& node) noexcept { return lists_[node.slot]; }
  void link(timer_node& node, end at) noexcept;
  void unlink(timer_node& node) noexcept;
  timer_node* pop_due(time_point now) noexcept;
  unsigned first_slot() const noexcept;
  void cascade(unsigned slot, std::uint64_t now_tick) noexcept;
  void refresh_next() noexcept;

  spin_lock lock_;
  // Not later than the earliest deadline. Written under the lock, by the owner or a neighbour; read without.
  std::atomic<std::int64_t> next_{never.time_since_epoch().count()};
  std::uint64_t now_tick_ = 0;
  std::size_t armed_ = 0;
  std::array<std::uint64_t, std::size_t{levels} * slots / 64> occupied_{};  // a bit for each slot that is not empty
  std::array<slot_list, std::size_t{levels} * slots> lists_{};
};

}  // namespace weft::inline v0::detail
