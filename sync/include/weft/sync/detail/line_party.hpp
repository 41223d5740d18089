#pragma once
/// @file
/// Who is to be served at a place in a line: a wait, or one who stands there without, having given way to the fiber
/// that runs next (see channel::send_giving_way).
///
/// Who serves owns the line's lock, claims, hands over, releases the lock, and then wakes, as the last that it does
/// with the place. To one who stands it only says so, in `answer`: that one is ready, and looks when it goes on. It
/// learns all from its place, and touches neither line nor lock once it has been served: both may be gone by then.
///
///     null --claim, by who serves--> decided; then its answer
///     null --wait_after_all, by the party--> a wait, to be claimed as any other
///     null --give_up, by the party--> decided, without an answer

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/detail/wait_ticket.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

/// @tparam Waiter   claimed and woken, as weft::waiter is
/// @tparam Atomics  see atomics.hpp
template <class Waiter, class Atomics = std_atomics>
class basic_line_party {
public:
  using ticket = basic_wait_ticket<Atomics>;
  enum class answer : unsigned char { none, served, closed, passed_over };

  // --- the party, before it stands in the line, whose lock publishes it ---

  void has_wait(Waiter& open) noexcept { wait_.store(&open, std::memory_order_relaxed); }
  /// @param own  tells whether it has been cancelled meanwhile; which counts for its waits, see may_give_way()
  void has_none(ticket const& own) noexcept { ticket_ = &own; }

  // --- who serves ---

  /// Under the line's lock, and out of the line.
  /// @returns false if it is not to be served: its wait has ended otherwise, or it has been cancelled
  [[nodiscard]] bool claim() noexcept {
    Waiter* wait = wait_.load(std::memory_order_acquire);  // pairs with wait_after_all()
    if (wait == nullptr) {
      // One that has been cancelled would throw if it waited. relaxed: decides for who cancelled before, and no more.
      bool const cancelled = ticket_->cancel_requested();
      // relaxed: the answer publishes what is handed over. acquire: as above.
      if (wait_.compare_exchange_strong(wait, decided(), std::memory_order_relaxed, std::memory_order_acquire)) {
        if (cancelled) tell(answer::passed_over);
        return !cancelled;
      }
    }
    return wait != decided() && wait->claim();
  }
  /// claim() of one who stands there without a wait, and has not been cancelled. To be called before it is taken out of
  /// the line.  @returns false, too, where it is not so simple; then nothing has been done
  [[nodiscard]] bool claim_simply() noexcept {
    Waiter* none = wait_.load(std::memory_order_relaxed);  // as in claim(): the exchange decides, the answer publishes
    if (none != nullptr || ticket_->cancel_requested()) [[unlikely]]
      return false;
    return wait_.compare_exchange_strong(none, decided(), std::memory_order_relaxed, std::memory_order_relaxed);
  }
  /// After claim_simply(), as wake() after claim().
  void wake_simply() noexcept { tell(answer::served); }
  /// After claim(), and after the lock. The place may be gone when this returns.
  /// @param why  for who has no wait: it has been served, or the line has been closed
  void wake(placement where, answer why = answer::served) noexcept {
    Waiter* const wait = wait_.load(std::memory_order_relaxed);  // as claim() saw it
    if (wait != decided()) return wait->wake(where);
    tell(why);
  }

  // --- the party that has no wait ---

  /// acquire: pairs with tell(): what was handed over is there.
  [[nodiscard]] answer look() const noexcept { return static_cast<answer>(answer_.load(std::memory_order_acquire)); }
  /// The wait is to be claimed from now on.  @returns false if the party's fate is decided: an answer comes
  [[nodiscard]] bool wait_after_all(Waiter& open) noexcept {
    Waiter* none = nullptr;
    // release: pairs with claim(), which calls it.
    return wait_.compare_exchange_strong(none, &open, std::memory_order_release, std::memory_order_relaxed);
  }
  /// Nobody is to serve it any more.  @returns false if the party's fate is decided: an answer comes
  [[nodiscard]] bool give_up() noexcept {
    Waiter* none = nullptr;
    // relaxed: nothing is published by it.
    return wait_.compare_exchange_strong(none, decided(), std::memory_order_relaxed, std::memory_order_relaxed);
  }
  /// Whoever has decided is in a section of a few instructions.
  [[nodiscard]] answer await_answer() const noexcept {
    for (unsigned turn = 0;; ++turn) {
      if (auto const a = look(); a != answer::none) return a;
      Atomics::pause(turn);
    }
  }

private:
  /// release: pairs with look().
  void tell(answer a) noexcept { answer_.store(static_cast<unsigned char>(a), std::memory_order_release); }
  /// In place of a wait: there is nothing left to claim.
  static Waiter* decided() noexcept { return reinterpret_cast<Waiter*>(std::uintptr_t{1}); }

  typename Atomics::template atomic<Waiter*> wait_{nullptr};
  ticket const* ticket_;                                        // of who has no wait
  typename Atomics::template atomic<unsigned char> answer_{0};  // an answer
};

}  // namespace weft::inline v0::detail
