#pragma once
/// @file
/// The way into a runtime, and how it is closed for good: nobody new comes in, then nobody is inside, then the workers
/// are sent home.
///
///     open --close()--> closed --empty()--> empty --vacated()--> nobody touches it --dismiss()--> workers end
///
/// Inside are fibers and visitors. A fiber counts from before it is queued until its callable is gone; only who is
/// inside makes fibers. (An on_done callback, which comes later, is none: it has to enter.) Visitors are threads that
/// are no workers of this runtime: those that enter() to make fibers, and those that queue a fiber that has been
/// waiting (beside_fiber()).
///
/// - A fiber that lives keeps the runtime from being empty, and so whoever touches the runtime on its behalf. A thread
///   that queues it loses that protection at once, for the fiber may run and end; so it counts as a visitor until it is
///   out again. empty() may have missed it; vacated(), read later, does not.
/// - Fibers are counted by one counter of beginnings and one of ends for each worker, each written by that worker
/// alone,
///   and one of beginnings for all visitors. Ends are read first. Who sees a fiber's end sees its beginning, and those
///   of the fibers that it made; so if the sums are equal, the two sets are, and nothing is left that makes more.

#include <weft/runtime/detail/atomics.hpp>

#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

/// @tparam Atomics  see atomics.hpp
template <class Atomics = std_atomics>
class basic_door {
public:
  using count = typename Atomics::template atomic<std::uint64_t>;

  /// A visitor comes in, and is to leave().  @returns false, having left, if the door is closed
  [[nodiscard]] bool enter() noexcept {
    // seq_cst, as in close() and empty(): who comes counts itself and then looks at the door; who shuts down closes the
    // door and then counts who is inside. With less, both may read old values: the visitor is in, and not seen.
    visitors_.fetch_add(1, std::memory_order_seq_cst);
    if (!closed_.load(std::memory_order_seq_cst)) return true;
    leave();
    return false;
  }

  /// A visitor comes in while a fiber that it is about to queue keeps the runtime alive, open or closed.
  void enter_beside_fiber() noexcept {
    // relaxed: who ends the runtime has seen the end of the fiber, which comes after its being queued, and that after
    // this.
    visitors_.fetch_add(1, std::memory_order_relaxed);
  }

  /// release: pairs with empty() and vacated(): what the visitor did is done, and what it began is counted.
  void leave() noexcept { visitors_.fetch_sub(1, std::memory_order_release); }

  /// Nobody enters any more.  seq_cst: see enter().
  void close() noexcept { closed_.store(true, std::memory_order_seq_cst); }

  /// relaxed: a hint for who is inside, to make no more fibers. Whoever must not miss it enters.
  [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

  /// A visitor that has entered begins a fiber, before it queues it.  relaxed: its leave() publishes the number.
  void note_begin() noexcept { begun_outside_.fetch_add(1, std::memory_order_relaxed); }

  /// One more beginning or end on the worker whose counter it is: on that worker only.  @returns how many before
  static std::uint64_t add_one(count& own) noexcept {
    auto const before = own.load(std::memory_order_relaxed);  // nobody else writes it
    // release: pairs with live(): the end of a fiber publishes what it began.
    own.store(before + 1, std::memory_order_release);
    return before;
  }

  /// Fibers that live. One that begins or ends meanwhile may count as alive or not; none that lived all the time is
  /// missed. Any thread.
  /// @param for_each_worker  called with a callable, to which it passes each worker's counters: (begun, ended)
  template <class ForEachWorker>
  [[nodiscard]] std::uint64_t live(ForEachWorker const& for_each_worker) const {
    std::uint64_t ended = 0;
    std::uint64_t begun = 0;
    // acquire: pairs with add_one(): all beginnings that came before an end that is read here are seen below.
    for_each_worker([&ended](count const&, count const& ends) { ended += ends.load(std::memory_order_acquire); });
    // relaxed: the loads above order them, or that of the visitors in empty().
    begun += begun_outside_.load(std::memory_order_relaxed);
    for_each_worker([&begun](count const& begins, count const&) { begun += begins.load(std::memory_order_relaxed); });
    return begun - ended;
  }

  /// After close(): whether no fiber is left, and no visitor that entered. Once true it stays so.
  template <class ForEachWorker>
  [[nodiscard]] bool empty(ForEachWorker const& for_each_worker) const {
    // Visitors first: what one of them began counts before it leaves.  seq_cst: see enter(); as an acquire it pairs
    // with leave().
    return visitors_.load(std::memory_order_seq_cst) == 0 && live(for_each_worker) == 0;
  }

  /// After empty(): whether the last visitor is out, and touches nothing any more.
  /// acquire: pairs with leave(): its last step comes before what is taken down next.
  [[nodiscard]] bool vacated() const noexcept { return visitors_.load(std::memory_order_acquire) == 0; }

  /// The workers are to end, as soon as they have been woken.  release: pairs with dismissed().
  void dismiss() noexcept { dismissed_.store(true, std::memory_order_release); }
  /// acquire: pairs with dismiss().
  [[nodiscard]] bool dismissed() const noexcept { return dismissed_.load(std::memory_order_acquire); }

private:
  typename Atomics::template atomic<bool> closed_{false};
  typename Atomics::template atomic<bool> dismissed_{false};
  typename Atomics::template atomic<int> visitors_{0};
  count begun_outside_{0};
};

using door = basic_door<>;

}  // namespace weft::inline v0::detail
