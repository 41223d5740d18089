#pragma once
/// @file
/// A lock for sections of a few instructions. A worker that keeps taking it while no other does is given it on bias: it
/// then only announces that it is inside, which needs no read-modify-write. Any other takes the bias back first.
///
///     holder  inside = true; light barrier; unlocked, and still the holder? then go on; else inside = false, and lock
///     other   lock; heavy barrier; wait until `inside` is false; who unlocks is not the holder
///
/// Between the two barriers one sees the other: either the holder finds that it has been deprived, or the other finds
/// it inside and waits. What the holder did in its sections is published by the last store to `inside`; what others did
/// before, it saw when it took the lock for the last time. Who the holder is changes only under the lock, and only that
/// party makes itself the holder.
///
/// Each grant has an `inside` of its own, for one who was the holder may still announce itself, and take that back,
/// long after. So the grants are few; which also keeps a lock that goes to and fro from paying for each: to take a bias
/// back costs as much as hundreds of sections with it save, and after each time it takes more to be given it again.
/// Only sections of which the user says so are counted for that, because to count costs some, too: of the others
/// nothing is known but that they take a bias back.
///
/// After Russell and Detlefs, "Eliminating synchronization-related atomic operations with biased locking and bulk
/// rebiasing" (2006); the barrier as in detail/atomics.hpp.

#include <weft/runtime/detail/atomics.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

/// @tparam CountBits  the bias is given for the n-th time when 2^(n * CountBits) sections have been counted in a row
template <class Atomics = std_atomics, unsigned CountBits = 4>
class basic_biased_lock {
  using barrier = typename Atomics::barrier;
  template <class T>
  using atomic = typename Atomics::template atomic<T>;
  template <class T>
  using plain = typename Atomics::template plain<T>;

public:
  /// Who takes it: a worker, or null for all others. Two threads that run at the same time are never the same one.
  /// Its address is a multiple of 64.
  using party = void const*;

  /// Where who has entered by bias says so; null for who has not.
  using entry = atomic<bool>*;
  /// Enters where the party holds the lock on bias, which costs no more than to find out; until leave(). Nothing that
  /// may suspend or allocate may happen meanwhile.
  [[nodiscard]] [[gnu::always_inline]] entry enter(party who) noexcept {
    // acquire, here and of `inside`: pairs with release() and leave() in another fiber of the same worker. Their thread
    // orders the two already, but a race detector that tells fibers apart goes by this.
    auto const word = word_.load(std::memory_order_acquire);
    // Nobody in particular is null, which never holds it.
    if ((word & ~grant_mask) != (address(who) | holds)) return nullptr;
    auto& inside = inside_[word & grant_mask];
    (void)inside.load(std::memory_order_acquire);
    inside.store(true, std::memory_order_relaxed);  // the barrier orders it
    barrier::light();                               // pairs with the heavy one in deprive()
    // relaxed: only this party makes itself the holder, so nothing is to be learned from another.
    if (word_.load(std::memory_order_relaxed) == word) [[likely]]
      return &inside;
    leave(&inside);
    return nullptr;
  }
  /// release: pairs with deprive(). Afterwards the lock may be gone.
  [[gnu::always_inline]] static void leave(entry inside) noexcept { inside->store(false, std::memory_order_release); }

  /// Holds the lock. Nothing that may suspend or allocate may happen meanwhile.
  class section {
  public:
    section(basic_biased_lock& lock, party who) noexcept : lock_(lock), inside_(lock.enter(who)) {
      if (inside_ == nullptr) word_ = lock.acquire();
    }
    section(section const&) = delete;
    // Inline, or the compiler calls it where an exception is thrown, and keeps the section in memory for that. As
    // below.
    [[gnu::always_inline]] ~section() { inside_ != nullptr ? leave(inside_) : lock_.release(word_); }

    /// Whether the flag is set.
    [[nodiscard]] bool flagged() const noexcept { return (word_ & flag) != 0; }
    /// Counts for the party's bias.
    void count(party who) noexcept {
      if (inside_ == nullptr) lock_.count(who, word_);
    }

  private:
    basic_biased_lock& lock_;
    std::uintptr_t word_ = 0;  // what the lock's word will be when the section ends; by bias: nothing
    entry const inside_;
  };

  /// The same for nobody in particular, and for who has just seen that it does not hold the lock on bias.
  class plain_section {
  public:
    explicit plain_section(basic_biased_lock& lock) noexcept : lock_(lock), word_(lock.acquire()) {}
    plain_section(plain_section const&) = delete;
    [[gnu::always_inline]] ~plain_section() { lock_.release(word_); }
    [[nodiscard]] bool flagged() const noexcept { return (word_ & flag) != 0; }

  private:
    friend class basic_biased_lock;
    basic_biased_lock& lock_;
    std::uintptr_t word_;
  };

  /// The same for who has entered by bias: an `entry` that is not null.
  class bias_section {
  public:
    explicit bias_section(entry inside) noexcept : inside_(inside) {}
    bias_section(bias_section const&) = delete;
    [[gnu::always_inline]] ~bias_section() { leave(inside_); }
    /// A lock with the flag is given to nobody.
    [[nodiscard]] static constexpr bool flagged() noexcept { return false; }

  private:
    entry const inside_;
  };

  /// Whether somebody holds it on bias. A hint.
  [[nodiscard]] bool biased() const noexcept { return (word_.load(std::memory_order_relaxed) & holds) != 0; }

  /// A flag of the user's.  acquire: pairs with release(): what came before is visible to who sees it.
  [[nodiscard]] bool flagged() const noexcept { return (word_.load(std::memory_order_acquire) & flag) != 0; }
  /// Sets the flag for good, and calls `f` under the lock.
  template <class F>
  void set_flag(F&& f) noexcept {
    plain_section held{*this};  // by bias the word could not be written; nor is it given away with the flag
    held.word_ |= flag;
    f();
  }

private:
  // The word: the address of who counted last | bit 4: it is held, but by bias | bit 3: whether that one holds it on
  // bias | bit 2: the flag | bits 1, 0: which grant.
  static constexpr std::uintptr_t grant_mask = 3;
  static constexpr std::uintptr_t flag = 4;
  static constexpr std::uintptr_t holds = 8;
  static constexpr std::uintptr_t locked = 16;
  static constexpr std::uint8_t most_grants = 3;

  static std::uintptr_t address(party who) noexcept { return reinterpret_cast<std::uintptr_t>(who); }

  /// @returns the word, which is the caller's now
  [[nodiscard]] std::uintptr_t acquire() noexcept {
    auto seen = word_.load(std::memory_order_relaxed);  // the exchange decides
    // acquire: pairs with release().
    if ((seen & (locked | holds)) == 0 &&
        word_.compare_exchange_strong(seen, seen | locked, std::memory_order_acquire, std::memory_order_relaxed)) {
      return seen;
    }
    return acquire_slowly();
  }
  [[gnu::noinline]] std::uintptr_t acquire_slowly() noexcept {
    for (unsigned turn = 0;; ++turn) {
      auto seen = word_.load(std::memory_order_relaxed);  // the exchange decides
      // acquire: as in acquire().
      if ((seen & locked) == 0 &&
          word_.compare_exchange_weak(seen, seen | locked, std::memory_order_acquire, std::memory_order_relaxed)) {
        return (seen & holds) == 0 ? seen : deprive(seen);
      }
      Atomics::back_off(turn);
    }
  }
  /// release: publishes the section to the next acquire().
  void release(std::uintptr_t word) noexcept { word_.store(word, std::memory_order_release); }

  /// The word is locked, which tells the holder.  @returns the word without one
  [[gnu::cold]] std::uintptr_t deprive(std::uintptr_t word) noexcept {
    barrier::heavy();
    auto& inside = inside_[word & grant_mask];
    // acquire: pairs with leave().
    for (unsigned turn = 0; inside.load(std::memory_order_acquire); ++turn) Atomics::pause(turn);
    return 0;
  }

  void count(party who, std::uintptr_t& word) noexcept {
    if (grants_ == most_grants || who == nullptr || (word & flag) != 0) return;
    if (word != address(who)) {
      word = address(who);
      in_a_row_ = 0;
    }
    if (++in_a_row_ >> (grants_ + 1U) * CountBits == 0) return;
    in_a_row_ = 0;
    if (!barrier::asymmetric()) return;
    word |= grants_ | holds;
    grants_ = static_cast<std::uint8_t>(grants_ + 1U);
  }

  atomic<std::uintptr_t> word_{0};
  // Guarded by the word: how often who counted last has done so since another did, and how often bias has been given.
  plain<std::uint32_t> in_a_row_ = 0;
  plain<std::uint8_t> grants_ = 0;
  std::array<atomic<bool>, most_grants> inside_{};  // for each grant, written by its holder
};

/// What an operation begins with that need not wait: it is a cancellation point all the same, and the calling worker
/// enters, if it holds `lock` on bias. One function, for the worker has to be asked for out of line.
/// @throws cancelled
[[nodiscard]] basic_biased_lock<>::entry check_cancelled_and_enter(basic_biased_lock<>& lock);

}  // namespace weft::inline v0::detail
