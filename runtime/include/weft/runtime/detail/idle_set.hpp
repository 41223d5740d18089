#pragma once
/// @file
/// Which workers search for work and which are parked, so that a new piece of work wakes one only if one sleeps and
/// none searches already (after Go's `wakep` and Tokio's `Idle`).
///
/// No wake-up is lost: who adds work writes its queue and then reads `state_`; who parks writes `state_` and then reads
/// all queues. The first is hot and the second rare, so the second runs the barrier for both (thread_barrier). A
/// searcher that gives up counts as parked before it looks for the last time.

#include <weft/runtime/detail/atomics.hpp>

#include <array>
#include <cstdint>
#include <mutex>

namespace weft::inline v0::detail {

template <class Atomics = std_atomics, class Mutex = std::mutex>
class basic_idle_set {
  template <class T>
  using atomic = typename Atomics::template atomic<T>;
  using barrier = typename Atomics::barrier;

public:
  static constexpr std::uint32_t most_workers = 512;
  static constexpr std::uint32_t most_stand_ins = 128;  // besides, see stand_ins.hpp
  static constexpr std::uint32_t nobody = ~0U;

  /// Whether new work, already queued, is worth a wake(). Any thread.
  [[nodiscard]] bool wanted() noexcept {
    if (asymmetric_) [[likely]] {
      barrier::light();  // pairs with the heavy one in the caller of park()
      return wants(state_.load(relaxed));
    }
    // Without it: an exchange on the word itself. Of this one and that in park() one comes second, and sees the other.
    return wants(state_.fetch_add(0, acq_rel));
  }

  /// Chooses a parked worker to wake: it counts as searching from now on.  @returns nobody if none is needed
  [[nodiscard]] std::uint32_t pick() noexcept {
    std::lock_guard const lock{mutex_};
    if (!wants(state_.load(relaxed))) return nobody;
    auto const worker = parked_[parked_count_ - 1];
    --parked_count_;
    state_.fetch_add(one_searching - one_parked, acq_rel);
    return worker;
  }

  /// The calling worker is about to sleep. Afterwards it must run a heavy barrier and look at every queue once more.
  void park(std::uint32_t worker, bool was_searching) noexcept {
    std::lock_guard const lock{mutex_};
    parked_[parked_count_++] = worker;
    state_.fetch_add(one_parked - (was_searching ? one_searching : 0U), acq_rel);
  }

  /// The calling worker will not sleep, or not any longer.
  /// @returns false if pick() has chosen it meanwhile, so that it counts as searching; true: it counts as neither
  [[nodiscard]] bool unpark(std::uint32_t worker) noexcept {
    std::lock_guard const lock{mutex_};
    for (std::uint32_t i = parked_count_; i-- > 0;) {
      if (parked_[i] != worker) continue;
      parked_[i] = parked_[--parked_count_];
      state_.fetch_sub(one_parked, acq_rel);
      return true;
    }
    return false;
  }

  /// Whether all of `workers` sleep. What they did before is then visible to the caller.
  [[nodiscard]] bool all_parked(std::uint32_t workers) noexcept {
    std::lock_guard const lock{mutex_};  // pairs with park()
    return parked_count_ == workers;
  }

  /// The calling worker wants to search.  @returns false if enough do
  [[nodiscard]] bool search(std::uint32_t workers) noexcept {
    // A bound kept loosely: two that come at once may both be let in.
    if (2 * (state_.load(relaxed) / one_searching) >= workers) return false;
    state_.fetch_add(one_searching, acq_rel);
    return true;
  }

  /// The calling worker has found something.  @returns true if nobody searches now
  [[nodiscard]] bool found() noexcept { return state_.fetch_sub(one_searching, acq_rel) / one_searching == 1; }

  [[nodiscard]] std::uint32_t parked() const noexcept { return state_.load(relaxed) % one_searching; }
  [[nodiscard]] std::uint32_t searching() const noexcept { return state_.load(relaxed) / one_searching; }

private:
  static constexpr auto relaxed = std::memory_order_relaxed;  // the barriers order it, or the lock, or it is a hint
  static constexpr auto acq_rel = std::memory_order_acq_rel;  // pairs with wanted() where there is no heavy barrier
  static constexpr std::uint32_t one_parked = 1;
  static constexpr std::uint32_t one_searching = 1U << 16U;
  static constexpr bool wants(std::uint32_t state) noexcept {
    return state - 1U < one_searching - 1U;  // some are parked, and none searches
  }

  bool const asymmetric_ = barrier::asymmetric();
  atomic<std::uint32_t> state_{0};  // searching << 16 | parked
  Mutex mutex_;
  typename Atomics::template plain<std::uint32_t> parked_count_ = 0;  // guarded by mutex_, as is the list
  std::array<std::uint32_t, most_workers + most_stand_ins>
      parked_{};  // the last to park is the first to be woken: it is warm
};

using idle_set = basic_idle_set<>;

}  // namespace weft::inline v0::detail
