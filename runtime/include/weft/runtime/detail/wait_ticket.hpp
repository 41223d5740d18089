#pragma once
/// @file
/// The one word on which wake, time-out and cancellation race for a wait.
///
/// States of one wait, and who moves it:
///
///     (idle) --begin, by the party itself--> open --claim, by one winner--> claimed --wake, by the winner--> woken
///
/// `parked` is added by whoever runs after the party's registers are saved; it may come before or after any of the
/// later steps. Whoever comes second of `parked` and `woken` makes the party runnable again: so it is never run before
/// its registers are saved, and never forgotten. `cancel` and its reason are sticky, and belong to the party, not to
/// one wait: a cancellation that finds no open wait strikes at the next begin().

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/error.hpp>

#include <cstdint>
#include <optional>

namespace weft::inline v0 {

/// How a wait ended.
enum class wake_cause : std::uint8_t { notified, timed_out, cancelled };

namespace detail {

/// @tparam Atomics  see atomics.hpp
template <class Atomics = std_atomics>
class basic_wait_ticket {
public:
  /// What became of an attempt to end a wait.
  enum class outcome : std::uint8_t {
    lost,     ///< no wait is open, or another has claimed it
    won,      ///< ended; the party is still running and sees it when it tries to park
    runnable  ///< ended; the party is parked, and the caller must make it runnable
  };

  /// Opens a wait. Called by the party alone, when no wait of its is open.
  /// @returns false, opening nothing, if the wait is cancellable and a cancellation has been asked for.
  [[nodiscard]] bool begin(bool cancellable) noexcept {
    auto seen = word_.load(relaxed);
    do {
      if (cancellable && (seen & cancel_bit) != 0) return false;
      // A read-modify-write, because a cancellation may arrive at the same time, and must not be overwritten.
      // relaxed: it publishes nothing, for who claims has found the party through a list whose lock orders that, and
      // who cancels looks at nothing but this word. It reads nothing either: who is refused learns the reason from
      // reason(), which acquires.
    } while (!word_.compare_exchange_weak(seen, (seen & sticky) | open_bit | (cancellable ? cancellable_bit : 0U),
                                          relaxed, relaxed));
    return true;
  }

  /// Takes the right to end the wait; the winner must call wake() afterwards. Between the two it may hand something
  /// over: the party does not go on before wake().
  [[nodiscard]] bool claim() noexcept { return close(claimed_bit) != outcome::lost; }

  /// Second half of claim().
  /// @returns true if the caller must make the party runnable.
  [[nodiscard]] bool wake(wake_cause cause) noexcept {
    // release: publishes what the winner handed over to woken()/cause(). acquire: pairs with park(), so that the saved
    // registers are visible to whom the caller makes the party runnable for.
    return (word_.fetch_or(woken_bit | encode(cause), acq_rel) & parked_bit) != 0;
  }

  /// claim() and wake() at once, for who has nothing to hand over.
  [[nodiscard]] outcome notify(wake_cause cause) noexcept { return close(claimed_bit | woken_bit | encode(cause)); }

  /// After the party's registers are saved: says that it may be made runnable.
  /// @returns false if the wait has ended already: then the caller must make the party runnable.
  [[nodiscard]] bool park() noexcept {
    // release: publishes the saved registers to wake(). acquire: pairs with wake(), for the caller that runs the party.
    return (word_.fetch_or(parked_bit, acq_rel) & woken_bit) == 0;
  }

  /// True once the winner has woken the party.  acquire: pairs with wake() and notify().
  [[nodiscard]] bool woken() const noexcept { return (word_.load(acquire) & woken_bit) != 0; }

  /// Whether the party is parked in a wait that nobody has ended.  relaxed: for snapshots, a hint.
  [[nodiscard]] bool parked() const noexcept {
    return (word_.load(relaxed) & (open_bit | parked_bit | woken_bit)) == (open_bit | parked_bit);
  }

  /// How the last wait ended.  acquire: pairs with wake() and notify().
  [[nodiscard]] wake_cause cause() const noexcept {
    return static_cast<wake_cause>((word_.load(acquire) >> cause_shift) & 3U);
  }

  /// Sets the sticky flag, and ends an open cancellable wait. Only the first reason counts.
  [[nodiscard]] outcome request_cancel(cancel_reason reason) noexcept {
    auto seen = word_.load(relaxed);
    for (;;) {
      if ((seen & cancel_bit) != 0) return outcome::lost;
      auto next = seen | cancel_bit | (static_cast<std::uint32_t>(reason) << reason_shift);
      bool const ends = (seen & (open_bit | cancellable_bit | claimed_bit)) == (open_bit | cancellable_bit);
      if (ends) next |= claimed_bit | woken_bit | encode(wake_cause::cancelled);
      // release: publishes what the canceller did before to reason(), start() and cause(). acquire: pairs with park().
      if (!word_.compare_exchange_weak(seen, next, acq_rel, relaxed)) continue;
      if (!ends) return outcome::lost;
      return (seen & parked_bit) != 0 ? outcome::runnable : outcome::won;
    }
  }

  /// relaxed: a hint between waits. Whoever acts on it asks for the reason(), which acquires.
  [[nodiscard]] bool cancel_requested() const noexcept { return (word_.load(relaxed) & cancel_bit) != 0; }

  /// The reason given, once cancel_requested().  acquire: pairs with request_cancel().
  [[nodiscard]] cancel_reason reason() const noexcept {
    return static_cast<cancel_reason>((word_.load(acquire) >> reason_shift) & 7U);
  }

  /// Publishes all that the caller did so far to start(): the edge between who spawns a fiber and its first step.
  void publish() noexcept { word_.store(0, std::memory_order_release); }

  /// The first look of a fiber at its own ticket.  acquire: pairs with publish() and request_cancel().
  /// @returns false if it was cancelled before it started.
  [[nodiscard]] bool start() const noexcept { return (word_.load(acquire) & cancel_bit) == 0; }

  /// The word itself, for an OS thread that sleeps on it.
  [[nodiscard]] auto& word() noexcept { return word_; }
  static constexpr std::uint32_t woken_bit = 1U << 8;

private:
  static constexpr auto relaxed =
      std::memory_order_relaxed;  // without a word of its own: the exchange after it decides
  static constexpr auto acquire = std::memory_order_acquire;
  static constexpr auto acq_rel = std::memory_order_acq_rel;

  //  10..9 cause | 8 woken | 7 claimed | 6 parked | 5 cancellable | 4 open | 3..1 reason | 0 cancel
  static constexpr std::uint32_t cancel_bit = 1U << 0;       // request_cancel() sets it; nobody clears it
  static constexpr unsigned reason_shift = 1;                // set together with cancel
  static constexpr std::uint32_t open_bit = 1U << 4;         // begin() sets it, and clears all to its left
  static constexpr std::uint32_t cancellable_bit = 1U << 5;  // only beside open
  static constexpr std::uint32_t parked_bit = 1U << 6;       // park(), once a wait
  static constexpr std::uint32_t claimed_bit = 1U << 7;      // the one winner
  static constexpr unsigned cause_shift = 9;                 // set together with woken
  static constexpr std::uint32_t sticky = open_bit - 1U;

  static constexpr std::uint32_t encode(wake_cause cause) noexcept {
    return static_cast<std::uint32_t>(cause) << cause_shift;
  }

  outcome close(std::uint32_t bits) noexcept {
    auto seen = word_.load(relaxed);
    do {
      if ((seen & (open_bit | claimed_bit)) != open_bit) return outcome::lost;
      // release: publishes what the winner did before to the party; acquire: pairs with park(), as in wake().
    } while (!word_.compare_exchange_weak(seen, seen | bits, acq_rel, relaxed));
    return (seen & parked_bit) != 0 ? outcome::runnable : outcome::won;
  }

  typename Atomics::template atomic<std::uint32_t> word_{0};
};

using wait_ticket = basic_wait_ticket<>;

}  // namespace detail
}  // namespace weft::inline v0
