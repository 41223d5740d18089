#pragma once
/// @file
/// Stacks for fibers: carved from large slabs, guarded, coloured, and reused last in, first out.
///
///     slab: | guard | stack 0 ... top | guard | stack 1 ... top | ...
///
/// - Sizes are powers of two from 16 KiB to 1 GiB (a "class" each). Address space is reserved, memory is not: a stack
///   costs the pages that were touched. Huge pages are kept off, or each would cost 2 MiB.
/// - Guards are installed by `madvise(MADV_GUARD_INSTALL)` where the kernel has it (Linux 6.13): it does not split the
///   mapping. Otherwise by `mprotect`, each costing a mapping, as far as `vm.max_map_count` allows.
/// - Stacks lie an odd number of pages apart, so that their tops spread over all sets of the TLB. Tops are staggered by
/// cache lines ("coloured"), or the hot ends of many stacks would share a few cache sets. The
///   stack's own description lies at the top, on the page that a fiber touches anyway.
/// - Idle stacks give their memory back but for the page of their description, where their context is suspended: see
///   release_idle(), idle_stacks.hpp and weft::stack_release.
/// - A stack that was used has a context suspended in its base loop (see worker.cpp), so that reusing it is one jump.

#include "idle_stacks.hpp"
#include "shared_list.hpp"
#include "stack.hpp"
#include "switch.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace weft::inline v0::detail {

/// How the page below a stack is made inaccessible.
enum class guard_kind : unsigned char { advice, protection, none };

/// New stacks, side by side, of which nothing has been touched.
struct stack_range {
  std::byte* at = nullptr;
  std::byte* end = nullptr;
  std::size_t stride = 0;
  std::size_t offset = 0;  // from `at` to the lowest byte of the stack there
  std::size_t number = 0;  // of that stack, for its colour
};

/// The stacks of one runtime that no worker holds. Thread-safe.
class stack_pool {
public:
  static constexpr std::size_t smallest = std::size_t{16} * 1024;
  static constexpr std::size_t largest = std::size_t{1} << 30U;
  static constexpr unsigned classes = 17;

  /// @param entry  where a stack's context starts
  stack_pool(std::size_t guard_bytes, entry_point entry) noexcept;
  stack_pool(stack_pool const&) = delete;
  ~stack_pool();

  /// The class for stacks of at least `bytes`.  @throws std::invalid_argument when out of range
  [[nodiscard]] static std::uint8_t class_of(std::size_t bytes);
  [[nodiscard]] static std::size_t size_of(std::uint8_t size_class) noexcept { return smallest << size_class; }

  /// A list of at most `most` used stacks.  @returns null if there is none
  [[nodiscard]] stack* take(std::uint8_t size_class, std::size_t most) noexcept;
  /// Address space for a few new stacks, guarded; empty if none is to be had. It stays the pool's.
  [[nodiscard]] stack_range make(std::uint8_t size_class) noexcept;
  /// Takes back what is left of a range; it is what make() gives next.
  void take_back(stack_range const& rest, std::uint8_t size_class) noexcept;
  /// A list of the next stacks of a range that is not empty, one or several: writes the description of each at its top,
  /// and makes the context that starts there.
  [[nodiscard]] stack* describe(stack_range& range, std::uint8_t size_class) const noexcept;
  /// Takes back a list.
  void give(stack* first, stack* last) noexcept;

  /// Of the stacks that have lain here since the last call, the coldest give back what is more than `keep_bytes`
  /// between all that lie here for so long. Large stacks come first.  @returns bytes given back
  std::size_t release_idle(std::size_t keep_bytes) noexcept;
  /// All that lie here give back what they can.  @returns bytes given back
  std::size_t release_all() noexcept;
  /// Whether release_idle() may find more to do though nobody uses a stack meanwhile.
  [[nodiscard]] bool has_used() const noexcept;

  [[nodiscard]] guard_kind guard() const noexcept { return guard_; }
  /// Inaccessible bytes below each stack of the class.
  [[nodiscard]] std::size_t guard_bytes_of(std::uint8_t size_class) const noexcept;
  /// Stacks made so far, in use or not.
  [[nodiscard]] std::size_t made() const noexcept;

private:
  struct slab {
    std::byte* memory;
    std::size_t bytes;
  };
  /// Address space of a class that is reserved, and not yet handed out from `at`.
  struct reserve {
    std::byte* at = nullptr;
    std::byte* end = nullptr;
    std::size_t slabs = 0;
  };

  [[nodiscard]] stack* describe_one(stack_range& range, std::uint8_t size_class) const noexcept;
  bool grow(reserve& from, std::size_t stride) noexcept;
  std::size_t install_guards(stack_range const& range, std::size_t guard_bytes) const noexcept;
  std::size_t stride_of(std::uint8_t size_class) const noexcept;
  void count_pages(std::uint8_t size_class, std::size_t count) noexcept;
  std::size_t release_kept(std::size_t keep_bytes) noexcept;

  std::size_t const guard_bytes_;
  entry_point const entry_;
  guard_kind guard_;
  // In idle_ and released_ together, for take() to pass both by; for a moment too few, or less than none.
  std::array<std::atomic<std::size_t>, classes> lying_{};
  std::array<idle_stacks, classes> idle_{};
  std::array<basic_shared_list<stack>, classes> released_{};
  std::mutex releasing_;      // held by who releases
  mutable std::mutex mutex_;  // guards all below
  std::array<reserve, classes> reserves_{};
  std::array<std::vector<stack_range>, classes> returned_;  // guarded, and not empty
  std::vector<slab> slabs_;
  std::size_t made_ = 0;
};

/// A worker's own few stacks: no lock. Touched by its worker only.
class stack_cache {
public:
  explicit stack_cache(stack_pool& pool) noexcept : pool_(pool) {}
  stack_cache(stack_cache const&) = delete;
  ~stack_cache() { flush(); }

  [[nodiscard]] stack* take(std::uint8_t size_class) noexcept {
    auto& list = lists_[size_class];
    if (list.head == nullptr) [[unlikely]] {
      refill(list, size_class);
      if (list.head == nullptr) return nullptr;
    }
    stack* const s = list.head;
    list.head = s->next;
    --list.count;
    s->inner = nullptr;  // where `next` was
    return s;
  }

  void give(stack* s) noexcept {
    auto& list = lists_[s->size_class];
    s->next = list.head;
    list.head = s;
    if (++list.count > 2 * batch) [[unlikely]]
      spill(list);
  }

  /// Returns all to the pool.
  void flush() noexcept;

private:
  static constexpr std::size_t batch = 32;
  struct free_list {
    stack* head = nullptr;
    std::size_t count = 0;
  };
  void refill(free_list& list, std::uint8_t size_class) noexcept;
  void spill(free_list& from) noexcept;

  stack_pool& pool_;
  std::array<free_list, stack_pool::classes> lists_{};
  std::array<stack_range, stack_pool::classes> ranges_{};
};

}  // namespace weft::inline v0::detail
