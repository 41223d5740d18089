#pragma once
/// @file
/// The place of the fiber that a worker runs next: out of the queue's order, so that who is woken goes on while what it
/// was given is in the cache. The owner puts and takes, by plain loads and stores; a thief, which is rare, and comes
/// only when the owner has been busy with something else for long, takes by revocation, as from the lease of a ring:
///
///     owner  slot = null; light barrier; revoked? then settle with the thief under the lock, else the fiber is taken
///     thief  revoked = true; heavy barrier; what is in the slot now is the thief's
///
/// Between the two barriers either the thief finds the slot empty, or the owner finds the revocation. The owner alone
/// empties the slot: what a thief has taken stays there until the owner's next take() or replace() learns of it (but
/// for the moment in which a take_simply() finds the revocation). Without such a barrier each takes by an exchange.

#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/atomics.hpp>

#include <atomic>
#include <mutex>
#include <utility>

namespace weft::inline v0::detail {

/// @tparam T  a pointer
template <class T, class Atomics = std_atomics, class Mutex = std::mutex>
class basic_next_slot {
  using barrier = typename Atomics::barrier;

public:
  /// What is in it, or was, if a thief has it by now; null: nothing. Owner only.  relaxed: the owner alone puts.
  [[nodiscard]] T look() const noexcept { return slot_.load(std::memory_order_relaxed); }
  /// Whether there is something to steal. Any thread; a hint.
  [[nodiscard]] bool waits() const noexcept {
    return slot_.load(std::memory_order_relaxed) != nullptr && !revoked_.load(std::memory_order_relaxed);
  }

  /// Fills the slot where look() is null. Owner only.
  /// release: publishes the fiber to steal().
  void put(T item) noexcept { slot_.store(item, std::memory_order_release); }

  /// Fills the slot.  @returns what was in it, or null. Owner only.
  [[nodiscard]] T replace(T item) noexcept {
    T const before = take();
    put(item);
    return before;
  }

  /// Empties the slot.  @returns what was in it, or null. Owner only.
  [[nodiscard]] T take() noexcept {
    T const item = look();
    if (item == nullptr) return nullptr;
    // relaxed: the owner put it there itself.
    if (!asymmetric_) [[unlikely]]
      return slot_.exchange(nullptr, std::memory_order_relaxed);
    slot_.store(nullptr, std::memory_order_relaxed);  // the barrier orders it
    barrier::light();                                 // pairs with the heavy one in steal()
    if (revoked_.load(std::memory_order_relaxed)) [[unlikely]]
      return settle(item);
    return item;
  }

  /// take(), but without a call, for who must be without a frame.
  /// @returns null, too, where it is not so simple; then the slot is as it was
  [[nodiscard]] [[gnu::always_inline]] T take_simply() noexcept {
    T const item = look();
    if (!asymmetric_ || item == nullptr) [[unlikely]]
      return nullptr;
    slot_.store(nullptr, std::memory_order_relaxed);  // as in take()
    barrier::light();
    if (revoked_.load(std::memory_order_relaxed)) [[unlikely]] {
      // The thief finds it there or not; take() settles with it. release: as put().
      slot_.store(item, std::memory_order_release);
      return nullptr;
    }
    return item;
  }

  /// Empties the slot. Any other thread.  @returns what was in it, or null
  [[nodiscard]] T steal() noexcept {
    // acquire: pairs with put(), here and below.
    if (!asymmetric_) return slot_.exchange(nullptr, std::memory_order_acquire);
    std::lock_guard const lock{mutex_};
    if (revoked_.load(std::memory_order_relaxed)) return nullptr;  // the owner has yet to learn of an earlier one
    revoked_.store(true, std::memory_order_relaxed);               // the barrier orders it
    barrier::heavy();
    stolen_ = slot_.load(std::memory_order_acquire);
    if (stolen_ == nullptr) revoked_.store(false, std::memory_order_relaxed);  // there is nothing to learn
    return stolen_;
  }

private:
  /// take() met a revocation.
  [[gnu::noinline, gnu::cold]] T settle(T item) noexcept {
    std::lock_guard const lock{mutex_};
    revoked_.store(false, std::memory_order_relaxed);  // the lock orders it
    return stolen_ == item ? nullptr : item;
  }

  bool const asymmetric_ = barrier::asymmetric();
  typename Atomics::template atomic<T> slot_{nullptr};      // owner writes
  typename Atomics::template atomic<bool> revoked_{false};  // written under the lock
  alignas(cache_line) Mutex mutex_;
  typename Atomics::template plain<T> stolen_ = nullptr;  // guarded by the lock
};

}  // namespace weft::inline v0::detail
