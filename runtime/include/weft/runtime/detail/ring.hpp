#pragma once
/// @file
/// A worker's queue of ready fibers: a bounded ring. The owner adds at the back and takes from the front, so that
/// fibers run in the order in which they became ready; it may take back the newest, which fork-join code wants. Thieves
/// take from the front. After Chase and Lev, "Dynamic circular work-stealing deque" (2005), with the orders of Lê, Pop,
/// Cohen and Zappa Nardelli (2013); bounded, with overflow left to the caller, as in Go and Tokio.
///
/// Indices only grow (and wrap as unsigned numbers do); slot = index mod capacity.
///
///     front of the ring                                                   back
///     | lease: the owner's, [lease.next, lease.end) | head ... tail: anyone's |
///
/// - `tail`: written by the owner. `head`: moved on by compare-and-swap, by owner and thieves. Who moves `head` past an
///   index owns the fiber in that slot.
/// - The lease spares the owner that compare-and-swap: with one it takes several fibers, at most one in sixteen of
///   those queued, sixteen at most. They are out of the thieves' reach, so a thief that sees an owner stuck takes the
///   rest of its lease by rescue(): it sets `revoked`, runs a heavy barrier, and then the owner has either announced
///   its next fiber where the thief sees it, or will see `revoked` and settle with the thief under the lock.
/// - A thief takes one fiber a compare-and-swap. Taking many at once would need the owner's retake() to use a
///   read-modify-write for each fiber, or an epoch in `head`; a steal is rare, a retake is each join of fork-join code.

#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/atomics.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>

namespace weft::inline v0::detail {

/// @tparam T          a pointer
/// @tparam Capacity   a power of two
/// @tparam LeaseShare a lease takes at most one in so many of those queued, or one
template <class T, std::uint32_t Capacity, class Atomics = std_atomics, class Mutex = std::mutex,
          std::uint32_t LeaseShare = 16>
class basic_ring {
  static_assert((Capacity & (Capacity - 1)) == 0);
  template <class U>
  using atomic = typename Atomics::template atomic<U>;
  template <class U>
  using plain = typename Atomics::template plain<U>;
  using barrier = typename Atomics::barrier;

public:
  static constexpr std::uint32_t most_leased = 16;

  /// Adds at the back. Owner only.  @returns false if the ring is full.
  [[nodiscard]] bool push(T item) noexcept {
    auto const tail = tail_.load(relaxed);  // ours
    if (tail - next_leased_ == Capacity && !make_room(tail)) [[unlikely]]
      return false;
    append(item, tail);
    return true;
  }

  /// The same, but gives up where push() would look for room. Owner only.
  [[nodiscard]] bool push_in_room(T item) noexcept {
    auto const tail = tail_.load(relaxed);  // ours
    if (tail - next_leased_ == Capacity) [[unlikely]]
      return false;
    append(item, tail);
    return true;
  }

  /// Takes the fiber at the front. Owner only.  @returns null if there is none.
  [[nodiscard]] T take() noexcept {
    while (has_leased() || lease()) {
      if (T const item = take_leased(); item != nullptr) [[likely]]
        return item;
      settle();
    }
    return nullptr;
  }

  /// Whether take_leased() may be called. Owner only.
  [[nodiscard]] bool has_leased() const noexcept { return next_leased_ != end_leased_; }

  /// Makes a new lease, where the last is used up. Owner only.  @returns false if nothing is queued
  [[nodiscard]] bool lease() noexcept {
    auto head = head_.load(acquire);  // as in make_room(), here and where the exchange fails
    for (;;) {
      auto const queued = static_cast<std::int32_t>(tail_.load(relaxed) - head);
      if (queued <= 0) {
        next_leased_ = end_leased_ = head;  // push() measures the room from here
        return false;
      }
      auto const n = std::clamp(static_cast<std::uint32_t>(queued) / LeaseShare, 1U, lease_limit_);
      // seq_cst: a thief's or this exchange wins each index; the order among them is that of head_ alone, but
      // retake() reads head_ in the one total order and must see it moved.
      if (head_.compare_exchange_weak(head, head + n, seq_cst, acquire)) {
        next_leased_ = head;
        end_leased_ = head + n;
        return true;
      }
    }
  }

  /// take() where the lease is not empty, and without a call.  @returns null where a rescue is to be settled first, by
  /// take(): nothing has happened then
  [[nodiscard, gnu::always_inline]] T take_leased() noexcept {
    auto const mine = next_leased_;
    auto const end = end_leased_;
    auto const next = mine + 1;
    T const item = slot(mine).load(relaxed);
    next_leased_ = next;
    // Announces which one is taken, then looks for a revocation; rescue() does the two the other way about, with a
    // heavy barrier between. release: publishes the slots of the lease to rescue().
    lease_.store(pack(next, end), release);
    barrier::light();
    if (!revoked_.load(relaxed)) [[likely]]
      return item;
    // The announcement may stand: settle() goes by what the rescue found, be it before or after; and no other comes
    // before that.
    next_leased_ = mine;
    return nullptr;
  }

  /// Puts what the last take() gave back to the front, before anything is added. Owner only.
  /// @returns false, having done nothing, if a rescue has come between, or what stays in a lease cannot be rescued
  [[nodiscard]] bool put_back(T item) noexcept {
    if (lease_limit_ == 1 || slot(next_leased_ - 1).load(relaxed) != item) return false;
    --next_leased_;
    // release: as in take_leased(). A rescue that has read the lease as it was leaves this item; one that reads it from
    // now on takes it, too. Either is noticed by the next take().
    lease_.store(pack(next_leased_, end_leased_), release);
    return true;
  }

  /// Takes the newest back if it is `item` and no thief has it. Owner only.
  [[nodiscard]] bool retake(T item) noexcept {
    auto const last = tail_.load(relaxed) - 1;  // ours
    auto head = head_.load(relaxed);
    if (static_cast<std::int32_t>(last - head) < 0 || slot(last).load(relaxed) != item) return false;
    // The owner hides the slot and then looks at head; a thief looks at head, then at tail. seq_cst on all four: one of
    // them sees the other. With less both could take the last fiber. (exchange, because a store followed by a load
    // needs the barrier that a read-modify-write brings along.)
    tail_.exchange(last, seq_cst);
    head = head_.load(seq_cst);
    if (static_cast<std::int32_t>(last - head) > 0) return true;  // at least one lies between us and any thief
    bool const won = head == last && head_.compare_exchange_strong(head, last + 1, seq_cst, relaxed);
    // The ring is empty now, whoever won; tail never falls behind head. release: as in push(), though there is nothing
    // to publish: a thief that goes by an old head fails at its exchange.
    tail_.store(last + 1, release);
    return won;
  }

  /// Takes the fiber at the front. Any thread.  @returns null if there is none, or another was quicker.
  [[nodiscard]] T steal() noexcept {
    auto head = head_.load(seq_cst);        // see retake()
    auto const tail = tail_.load(seq_cst);  // see retake(); as an acquire it pairs with push()
    if (static_cast<std::int32_t>(tail - head) <= 0) return nullptr;
    T const item = slot(head).load(relaxed);  // may be stale: then head has moved, and the exchange below fails
    return head_.compare_exchange_strong(head, head + 1, seq_cst, relaxed) ? item : nullptr;
  }

  /// Fibers that thieves may take. Any thread; a hint.
  [[nodiscard]] std::uint32_t size() const noexcept {
    // acquire: keeps the two loads in this order. Nothing that is queued is touched.
    auto const head = head_.load(acquire);
    auto const n = static_cast<std::int32_t>(tail_.load(acquire) - head);
    return n < 0 ? 0 : static_cast<std::uint32_t>(n);
  }

  /// All fibers, those leased included. Owner only.
  [[nodiscard]] std::uint32_t owned() const noexcept { return size() + (end_leased_ - next_leased_); }

  /// Where the next is added. It differs if anything has been added meanwhile, unless the newest has been taken back.
  /// Owner only.
  [[nodiscard]] std::uint32_t back() const noexcept { return tail_.load(relaxed); }

  /// What lies `ahead` places behind the last one taken; may be stale, or another's: for prefetching only. Owner only.
  [[nodiscard]] T peek(std::uint32_t ahead) const noexcept { return slot(next_leased_ + ahead).load(relaxed); }

  /// A number that differs if the owner has taken anything meanwhile; even when the lease is empty, odd when not. Any
  /// thread: two equal odd numbers at a distance tell of an owner that is stuck with fibers in its lease.
  [[nodiscard]] std::uint64_t progress() const noexcept {
    auto const lease = lease_.load(acquire);  // a hint: what it says is not acted upon before rescue()
    return (lease << 1U) | (lease_next(lease) != lease_end(lease) ? 1U : 0U);
  }

  /// Takes what is left of the owner's lease. Any other thread, and only where thread_barrier::asymmetric().
  /// @returns how many were passed to `sink`.
  template <class Sink>
  std::uint32_t rescue(Sink&& sink) {
    std::lock_guard const lock{rescue_mutex_};
    if (revoked_.load(relaxed)) return 0;  // the owner has yet to settle an earlier one
    revoked_.store(true, relaxed);         // the barrier orders it
    barrier::heavy();
    auto const lease = lease_.load(acquire);  // pairs with take(): makes the slots visible
    stolen_next_ = lease_next(lease);
    stolen_end_ = lease_end(lease);
    for (std::uint32_t i = stolen_next_; i != stolen_end_; ++i) sink(slot(i).load(relaxed));
    return stolen_end_ - stolen_next_;
  }

private:
  static constexpr auto relaxed =
      std::memory_order_relaxed;  // without a word of its own: tail_ and head_ publish slots
  static constexpr auto acquire = std::memory_order_acquire;
  static constexpr auto release = std::memory_order_release;
  static constexpr auto seq_cst = std::memory_order_seq_cst;

  static constexpr std::uint64_t pack(std::uint32_t next, std::uint32_t end) noexcept {
    return (static_cast<std::uint64_t>(next) << 32U) | end;
  }
  static constexpr std::uint32_t lease_next(std::uint64_t lease) noexcept {
    return static_cast<std::uint32_t>(lease >> 32U);
  }
  static constexpr std::uint32_t lease_end(std::uint64_t lease) noexcept { return static_cast<std::uint32_t>(lease); }

  atomic<T>& slot(std::uint32_t index) noexcept { return slots_[index & (Capacity - 1)]; }
  atomic<T> const& slot(std::uint32_t index) const noexcept { return slots_[index & (Capacity - 1)]; }

  void append(T item, std::uint32_t tail) noexcept {
    slot(tail).store(item, relaxed);
    // release: publishes the slot, and all that the owner did before, to the acquire in steal() and rescue().
    tail_.store(tail + 1, release);
  }

  // Thieves may have taken from the front since the last lease ended.
  [[gnu::noinline, gnu::cold]] bool make_room(std::uint32_t tail) noexcept {
    // acquire: pairs with the exchanges on head_: who moved it has read the slots that are written next.
    if (next_leased_ == end_leased_) next_leased_ = end_leased_ = head_.load(acquire);
    return tail - next_leased_ != Capacity;
  }

  /// take_leased() met a revocation: what the thief found in the lease is the thief's. That may begin with the one to
  /// be taken next, or behind it; where it found nothing, all is as it was.
  [[gnu::noinline, gnu::cold]] void settle() noexcept {
    std::lock_guard const lock{rescue_mutex_};
    if (stolen_next_ != stolen_end_) {
      end_leased_ = stolen_next_;
      lease_.store(pack(next_leased_, end_leased_), release);  // as in take_leased()
    }
    revoked_.store(false, relaxed);  // the lock orders it
  }

  // Without the barrier a lease could not be rescued, so nothing may be hidden in one.
  std::uint32_t const lease_limit_ = barrier::asymmetric() ? most_leased : 1U;
  // Owner's own: the lease as it uses it.
  std::uint32_t next_leased_ = 0;
  std::uint32_t end_leased_ = 0;
  atomic<std::uint64_t> lease_{0};  // owner writes; the same, for rescue()
  atomic<std::uint32_t> tail_{0};   // owner writes
  atomic<bool> revoked_{false};     // written under rescue_mutex_
  alignas(cache_line) atomic<std::uint32_t> head_{0};
  alignas(cache_line) Mutex rescue_mutex_;
  plain<std::uint32_t> stolen_next_ = 0;  // guarded by rescue_mutex_: what the last rescue took
  plain<std::uint32_t> stolen_end_ = 0;
  alignas(cache_line) std::array<atomic<T>, Capacity> slots_{};
};

}  // namespace weft::inline v0::detail
