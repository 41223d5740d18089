#pragma once
/// @file
/// The one word on which wake, time-out and cancellation race for a wait.
///
/// The waits of a party are told apart as even and odd ones: of two bits of the word one is set, which says what the
/// last wait was that ended. That is enough, because nobody keeps the key of a wait that ended two waits ago: the party
/// leaves all lists that lead to it before it waits again. So to open a wait costs nothing. A key has all those bits of
/// the word that would keep its party from parking, so that one `and` tells whether there are any. Where the party is
/// parked, to end its wait is one step:
///
///     open --claim, by one winner--> claimed --wake, by the winner--> ended
///     open --notify, or a claim of a party that is parked-----------> ended
///
/// `parked` is added by whoever runs after the party's registers are saved, while the wait is open or claimed. Who ends
/// the wait of a party that is parked makes it runnable again; who would park one whose wait has ended does it instead.
/// So it is never run before its registers are saved, and never forgotten. `cancel` and its reason are sticky, and
/// belong to the party, not to one wait: a cancellation that does not find the party parked in a wait which it may end
/// strikes when it is about to be parked, or at the next wait.
///
/// That is the cancellation of the party's own scope. Of scopes inside it (see scope_node.hpp) the word knows nothing
/// but that there is something to look at, for only the party knows which of them count for its wait. Who changes one
/// writes it there first and then calls poke(), which takes a parked party out of its parking without ending the wait.
/// The party looks, and either ends its wait itself, by notify(), as one of those who race for it, or parks again. Of
/// the two bits for that, anyone sets `poked`, and the party clears it before it looks; `look` is the party's own: it
/// says that each wait must look, because there is a deadline, a shield, or something that a poke has brought.

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/error.hpp>

#include <cstdint>
#include <optional>

namespace weft::inline v0 {

/// How a wait ended.
enum class wake_cause : std::uint8_t { notified, timed_out, cancelled };

namespace detail {

/// Which of its party's waits one is, and what else may end it.
struct wait_key {
  std::uint32_t bits = 0;
  /// False: no wait.
  [[nodiscard]] explicit operator bool() const noexcept { return bits != 0; }
};

/// @tparam Atomics  see atomics.hpp
template <class Atomics = std_atomics>
class basic_wait_ticket {
public:
  /// What became of an attempt to end a wait.
  enum class outcome : std::uint8_t {
    lost,     ///< the wait has ended, or another has claimed it
    won,      ///< ended; the party is still running and sees it when it tries to park
    runnable  ///< ended; the party is parked, and the caller must make it runnable
  };

  /// Opens a wait. Called by the party alone, when it has left all that led to its last one.
  /// @returns no key, opening nothing, if the wait is cancellable and there is something to look at first
  [[nodiscard]] wait_key begin(bool cancellable) noexcept {
    return cancellable ? open(by_cancel | by_poke, cancel_bit | poked_bit | look_bit) : open(0, 0);
  }

  /// The same for a party that has looked: its wait heeds pokes, and the cancellation of its own scope if `own_too`.
  /// @returns no key, opening nothing, if it has to look again
  [[nodiscard]] wait_key begin_attentive(bool own_too) noexcept {
    return own_too ? open(by_cancel | by_poke, cancel_bit | poked_bit) : open(by_poke, poked_bit);
  }

  /// The same wait, which the cancellation of the party's own scope is not to end.
  [[nodiscard]] static constexpr wait_key shielded(wait_key wait) noexcept { return {wait.bits & ~by_cancel}; }

  /// Takes the right to end the wait; the winner must call wake() afterwards, unless it is the party itself, which then
  /// need not wait. Between the two it may hand something over: the party does not go on before wake().
  [[nodiscard]] bool claim(wait_key wait) noexcept {
    auto seen = word_.load(relaxed);
    do {
      if (!is_open(seen, wait)) return false;
      // As in notify(). The wait has not ended: what is handed over is published by wake().
    } while (!word_.compare_exchange_weak(seen, seen | claimed_bit, acq_rel, relaxed));
    return true;
  }

  /// As claim(), but where the party is parked, the wait has ended with it: for the party does not go on before the
  /// winner makes it runnable, and may be handed something until then. That saves the second step.
  /// @returns `won`: claimed, and wake() must follow; `runnable`: ended, and the caller must make the party runnable
  [[nodiscard]] outcome claim_or_end(wait_key wait, wake_cause cause) noexcept {
    auto seen = word_.load(relaxed);
    std::uint32_t next = 0;
    do {
      if (!is_open(seen, wait)) return outcome::lost;
      next = (seen & parked_bit) != 0 ? ended(seen, cause) : seen | claimed_bit;
      // As in notify(). What is handed over later is published by the queue through which the party is made runnable.
    } while (!word_.compare_exchange_weak(seen, next, acq_rel, relaxed));
    return (seen & parked_bit) != 0 ? outcome::runnable : outcome::won;
  }

  /// Second half of claim().
  /// @returns true if the caller must make the party runnable.
  [[nodiscard]] bool wake(wake_cause cause) noexcept {
    auto seen = word_.load(relaxed);
    // release: publishes what the winner handed over to has_ended()/cause(). acquire: pairs with park(), so that the
    // saved registers are visible to whom the caller makes the party runnable for.
    while (!word_.compare_exchange_weak(seen, ended(seen, cause), acq_rel, relaxed)) {
    }
    return (seen & parked_bit) != 0;
  }

  /// claim() and wake() at once, for who has nothing to hand over.
  [[nodiscard]] outcome notify(wait_key wait, wake_cause cause) noexcept {
    auto seen = word_.load(relaxed);
    do {
      if (!is_open(seen, wait)) return outcome::lost;
      // release: publishes what the winner did before to the party; acquire: pairs with park(), as in wake().
    } while (!word_.compare_exchange_weak(seen, ended(seen, cause), acq_rel, relaxed));
    return (seen & parked_bit) != 0 ? outcome::runnable : outcome::won;
  }

  /// The same, whichever wait it is that the party is parked in.  @returns `runnable`, or `lost` where it is not parked
  [[nodiscard]] outcome notify_parked(wake_cause cause) noexcept {
    auto seen = word_.load(relaxed);
    do {
      if ((seen & (parked_bit | claimed_bit)) != parked_bit) return outcome::lost;
      // As in notify().
    } while (!word_.compare_exchange_weak(seen, ended(seen, cause), acq_rel, relaxed));
    return outcome::runnable;
  }

  /// After the party's registers are saved: says that it may be made runnable. Once it has been said, the ticket may be
  /// gone.
  /// @returns false if the wait has ended already, or the party is to look: then the caller must make it runnable
  [[nodiscard]] bool park(wait_key wait) noexcept {
    auto seen = word_.load(acquire);  // pairs with wake() and poke(), for the caller that runs the party
    do {
      if (goes_on(seen, wait)) [[unlikely]]
        return false;
      // release: publishes the saved registers to wake(). acquire: as above.
    } while (!word_.compare_exchange_weak(seen, seen | parked_bit | (wait.bits & mode), acq_rel, acquire));
    return true;
  }

  /// Something that the party may have to look at has changed, and whoever changed it has written that before. Any
  /// thread.
  /// @returns true if the caller must make the party runnable: its wait is still open, and it is to look
  [[nodiscard]] bool poke() noexcept {
    auto seen = word_.load(relaxed);
    for (;;) {
      bool const unparks = (seen & (heeds_bit | claimed_bit | parked_bit)) == (heeds_bit | parked_bit);
      // release: publishes what was written before to heed_poke(). acquire: pairs with park().
      auto const next = (seen | poked_bit) & ~(unparks ? parked_bit | mode | causes : 0U);
      if (word_.compare_exchange_weak(seen, next, acq_rel, relaxed)) {
        return unparks;
      }
    }
  }

  /// The party is about to look.  @param goes_on  each wait must look from now on
  void heed_poke(bool goes_on) noexcept {
    // acquire: pairs with poke(). Cleared before the look: a poke that comes after brings another.
    (void)word_.fetch_and(~poked_bit, acquire);
    if (goes_on) set_look();
  }
  /// The party alone. relaxed, as all of `look`: it is the party's, and shares the word only to be read with it.
  void set_look() noexcept { (void)word_.fetch_or(look_bit, relaxed); }
  void clear_look() noexcept { (void)word_.fetch_and(~look_bit, relaxed); }
  [[nodiscard]] bool looks() const noexcept { return (word_.load(relaxed) & look_bit) != 0; }
  [[nodiscard]] bool poked() const noexcept { return (word_.load(relaxed) & poked_bit) != 0; }

  /// Whether the party must look before it waits. relaxed: a hint between waits, and who follows it acquires.
  [[nodiscard]] bool must_look() const noexcept {
    return (word_.load(relaxed) & (cancel_bit | poked_bit | look_bit)) != 0;
  }

  /// Whether there is no need to park: the wait has ended, or the party is to look first.
  /// acquire: pairs with wake() and notify().
  [[nodiscard]] bool goes_on(wait_key wait) const noexcept { return goes_on(word_.load(acquire), wait); }

  /// Whether the wait has ended, or been claimed, or the party has been called to look; it may be parked still.
  /// relaxed: a hint
  [[nodiscard]] bool ends(wait_key wait) const noexcept {
    auto const seen = word_.load(relaxed);
    return (seen & claimed_bit) != 0 || goes_on(seen, wait);
  }

  /// acquire: pairs with wake() and notify().
  [[nodiscard]] bool has_ended(wait_key wait) const noexcept { return has_ended(word_.load(acquire), wait); }

  /// Whether the party is parked in a wait that nobody has ended.  relaxed: for snapshots, a hint.
  [[nodiscard]] bool parked() const noexcept { return (word_.load(relaxed) & parked_bit) != 0; }

  /// How the last wait that has ended did; when the party has been called to look, `notified`.
  /// acquire: pairs with wake() and notify().
  [[nodiscard]] wake_cause cause() const noexcept { return cause(word_.load(acquire)); }

  /// Sets the sticky flag, and ends the cancellable wait of a party that is parked. Only the first reason counts.
  /// @returns `runnable` or `lost`
  [[nodiscard]] outcome request_cancel(cancel_reason reason) noexcept {
    auto seen = word_.load(relaxed);
    for (;;) {
      if ((seen & cancel_bit) != 0) return outcome::lost;
      auto next = seen | cancel_bit | (static_cast<std::uint32_t>(reason) << reason_shift);
      bool const ends = (seen & (parked_bit | cancellable_bit | claimed_bit)) == (parked_bit | cancellable_bit);
      if (ends) next = ended(next, wake_cause::cancelled);
      // release: publishes what the canceller did before to reason(), start() and cause(). acquire: pairs with park().
      if (!word_.compare_exchange_weak(seen, next, acq_rel, relaxed)) continue;
      return ends ? outcome::runnable : outcome::lost;
    }
  }

  /// relaxed: a hint between waits. Whoever acts on it asks for the reason(), which acquires.
  [[nodiscard]] bool cancel_requested() const noexcept { return (word_.load(relaxed) & cancel_bit) != 0; }

  /// From now on who cancels finds relays(), and has something to tell.  @returns whether it has been cancelled already
  [[nodiscard]] bool set_relayed() noexcept {
    // Of this and request_cancel(), which change one word, one sees the other. acquire: pairs with that.
    return (word_.fetch_or(relayed_bit, acquire) & cancel_bit) != 0;
  }
  /// relaxed: asked after request_cancel(); what is told lies behind a lock.
  [[nodiscard]] bool relays() const noexcept { return (word_.load(relaxed) & relayed_bit) != 0; }

  /// The reason given, once cancel_requested().  acquire: pairs with request_cancel().
  [[nodiscard]] cancel_reason reason() const noexcept {
    return static_cast<cancel_reason>((word_.load(acquire) >> reason_shift) & 7U);
  }

  /// Publishes all that the caller did so far to start(): the edge between who spawns a fiber and its first step.
  void publish() noexcept { word_.store(even_bit, std::memory_order_release); }

  /// The first look of a fiber at its own ticket.  acquire: pairs with publish() and request_cancel().
  /// @returns false if it was cancelled, or refused, before it started.
  [[nodiscard]] bool start() const noexcept { return (word_.load(acquire) & (cancel_bit | refused_bit)) == 0; }

  /// The fiber is not to start, though nobody has cancelled it. By who is about to run it for the first time.
  void refuse() noexcept { word_.fetch_or(refused_bit, relaxed); }
  [[nodiscard]] bool refused() const noexcept { return (word_.load(relaxed) & refused_bit) != 0; }

  /// The word itself, for an OS thread that sleeps on it.
  [[nodiscard]] auto& word() noexcept { return word_; }
  [[nodiscard]] static constexpr bool has_ended(std::uint32_t seen, wait_key wait) noexcept {
    return (seen & wait.bits & parity) != 0;
  }
  [[nodiscard]] static constexpr wake_cause cause(std::uint32_t seen) noexcept {
    return static_cast<wake_cause>((seen >> cause_shift) & 3U);
  }

private:
  static constexpr auto relaxed =
      std::memory_order_relaxed;  // without a word of its own: the exchange after it decides
  static constexpr auto acquire = std::memory_order_acquire;
  static constexpr auto acq_rel = std::memory_order_acq_rel;

  // 15 refused | 14..13 cause | 12 odd | 11 claimed | 10 parked | 9 heeds | 8 cancellable | 7 even |
  //                                                  6 relayed | 5 look | 4 poked | 3..1 reason | 0 cancel
  static constexpr std::uint32_t cancel_bit = 1U << 0;   // request_cancel() sets it; nobody clears it
  static constexpr unsigned reason_shift = 1;            // set together with cancel
  static constexpr std::uint32_t poked_bit = 1U << 4;    // poke() sets it; heed_poke() clears it
  static constexpr std::uint32_t look_bit = 1U << 5;     // the party sets and clears it
  static constexpr std::uint32_t relayed_bit = 1U << 6;  // set_relayed() sets it; nobody clears it
  static constexpr std::uint32_t even_bit = 1U << 7;     // this or odd: which was the last wait to end
  static constexpr std::uint32_t odd_bit = 1U << 12;
  static constexpr std::uint32_t parity = even_bit | odd_bit;
  static constexpr std::uint32_t cancellable_bit = 1U
                                                   << 8;  // beside parked: the own scope's cancellation ends the wait
  static constexpr std::uint32_t heeds_bit = 1U << 9;     // beside parked: a poke interrupts it
  static constexpr std::uint32_t parked_bit = 1U << 10;   // park(); poke() and the end of the wait take it back
  static constexpr std::uint32_t claimed_bit = 1U << 11;  // the one winner's, until it ends the wait
  static constexpr unsigned cause_shift = 13;             // set with the end; poke() clears it
  static constexpr std::uint32_t causes = 3U << cause_shift;
  static constexpr std::uint32_t refused_bit = 1U << 15;  // refuse() sets it
  static constexpr std::uint32_t mode = cancellable_bit | heeds_bit;
  // In a key: the bits of the word that it heeds, and those that it adds to the word when its party is parked.
  static constexpr std::uint32_t by_cancel = cancellable_bit | cancel_bit;
  static constexpr std::uint32_t by_poke = heeds_bit | poked_bit;

  static constexpr bool is_open(std::uint32_t seen, wait_key wait) noexcept {
    return (seen & wait.bits & (parity | claimed_bit)) == 0;
  }
  static constexpr bool goes_on(std::uint32_t seen, wait_key wait) noexcept {
    auto const met = seen & wait.bits & ~mode;
    if (met == 0) [[likely]]
      return false;
    return (met & parity) != 0 || (met & claimed_bit) == 0;  // who has claimed it will end it
  }
  static constexpr std::uint32_t ended(std::uint32_t seen, wake_cause cause) noexcept {
    constexpr auto of_a_wait = mode | parked_bit | claimed_bit | causes;
    return ((seen ^ parity) & ~of_a_wait) | (static_cast<std::uint32_t>(cause) << cause_shift);
  }

  wait_key open(std::uint32_t bits, std::uint32_t refused_by) noexcept {
    // relaxed: who ended the last wait has been seen by has_ended(). Who is refused learns why from reason() or by
    // heed_poke(), which acquire.
    auto const seen = word_.load(relaxed);
    if ((seen & (refused_by | claimed_bit)) != 0) [[unlikely]] {
      if ((seen & refused_by) != 0) return {};
      // The party claimed its last wait itself, so as not to wait, and nobody knows of it any more.
      (void)word_.fetch_and(~claimed_bit, relaxed);
    }
    return {(~seen & parity) | bits | claimed_bit};
  }

  typename Atomics::template atomic<std::uint32_t> word_{even_bit};
};

using wait_ticket = basic_wait_ticket<>;

}  // namespace detail
}  // namespace weft::inline v0
