#pragma once
/// @file
/// A list of waiters with a lock and two flags, in one word. It is the whole state of an event, and of a task's end.
///
/// Layout: pointer to the oldest node (nodes are linked in a circle, so its `prev` is the newest) | bit 2, 1: flags,
/// owned by the user of the list, changed under the lock or, where nobody holds it, by one compare-and-swap | bit 0:
/// lock.

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace weft::inline v0::detail {

/// A waiter's place in one list; a select has several. Lives on the waiting side's stack.
struct alignas(8) wait_node {
  explicit wait_node(waiter& w) noexcept : owner(&w) {}
  explicit wait_node(std::nullptr_t) noexcept {}
  waiter* owner = nullptr;
  wait_node* next = nullptr;  ///< guarded by the list's lock, as is prev; null: in no list
  wait_node* prev = nullptr;
  bool chosen = false;  ///< claim() has claimed the wait by this node: for who has several, and must know which
};

/// @tparam Node     linked by `next` and `prev`; those of whom claim() and set_flags_and_wake() are asked have an
/// `owner`
/// @tparam Atomics  see atomics.hpp
template <class Node = wait_node, class Atomics = std_atomics>
class basic_wait_list {
  using link = decltype(Node::next);

public:
  static constexpr std::uintptr_t flag_a = 2;
  static constexpr std::uintptr_t flag_b = 4;

  /// Fetches the oldest node, if there is one, which need not be there any more. relaxed: nothing is read.
  void prefetch_front() const noexcept {
    __builtin_prefetch(reinterpret_cast<void const*>(word_.load(std::memory_order_relaxed) & ~(flag_mask | lock_bit)),
                       1);
  }

  /// acquire: pairs with try_set_flags() and ~section(): what came before the flag is visible to who sees it.
  [[nodiscard]] std::uintptr_t flags() const noexcept { return word_.load(std::memory_order_acquire) & flag_mask; }

  /// Sets flags without the lock if nobody waits.
  /// @returns false, having done nothing, if somebody waits, holds the lock, or the flags are not `expected`.
  [[nodiscard]] bool try_set_flags(std::uintptr_t expected, std::uintptr_t desired) noexcept {
    // release: publishes what came before to flags() and lock(). acquire: pairs with ~section() and an earlier
    // try_set_flags(): what those did who set, or cleared, the flags that are expected. relaxed where it fails: the
    // caller then takes the lock.
    return word_.compare_exchange_strong(expected, desired, std::memory_order_acq_rel, std::memory_order_relaxed);
  }

  /// The whole state as it was at one moment. Only what try_replace_flags() finds unchanged counts.
  class view {
  public:
    [[nodiscard]] std::uintptr_t flags() const noexcept { return word_ & flag_mask; }
    [[nodiscard]] bool empty() const noexcept { return (word_ & ~(flag_mask | lock_bit)) == 0; }
    /// Nobody waits, nobody holds the list's lock, and these are the flags.
    [[nodiscard]] bool is_only(std::uintptr_t flags) const noexcept { return word_ == flags; }
    /// Somebody holds the list's lock: the rest says nothing.
    [[nodiscard]] bool busy() const noexcept { return (word_ & lock_bit) != 0; }

  private:
    friend class basic_wait_list;
    explicit view(std::uintptr_t word) noexcept : word_(word) {}
    std::uintptr_t word_;
  };
  /// relaxed: try_replace_flags() decides.
  [[nodiscard]] view look() const noexcept { return view{word_.load(std::memory_order_relaxed)}; }

  /// Replaces the flags without the lock, whoever waits.
  /// @param seen  not busy
  /// @returns false, having done nothing, if the state is not as `seen` any more
  [[nodiscard]] bool try_replace_flags(view seen, std::uintptr_t flags) noexcept {
    // Orders as in try_set_flags(). Who waits is not looked at, so that a list that has changed and is the same again
    // does no harm.
    return word_.compare_exchange_strong(seen.word_, (seen.word_ & ~flag_mask) | flags, std::memory_order_acq_rel,
                                         std::memory_order_relaxed);
  }

  /// Holds the lock. Nothing that may suspend or allocate may happen meanwhile.
  class section {
  public:
    explicit section(basic_wait_list& list) noexcept : list_(list), word_(list.lock()) {}
    /// The lock has been taken by hold(). relaxed: nobody else changes the word meanwhile.
    section(basic_wait_list& list, std::adopt_lock_t) noexcept
        : list_(list), word_(list.word_.load(std::memory_order_relaxed) & ~lock_bit) {}
    section(section const&) = delete;
    ~section() {
      // release: publishes the nodes and flags to the next lock() and to flags().
      list_.word_.store(word_, std::memory_order_release);
    }

    [[nodiscard]] std::uintptr_t flags() const noexcept { return word_ & flag_mask; }
    void set_flags(std::uintptr_t flags) noexcept { word_ = (word_ & ~flag_mask) | flags; }
    [[nodiscard]] bool empty() const noexcept { return head() == nullptr; }

    void push_back(Node& node) noexcept {
      Node* const first = head();
      if (first == nullptr) {
        node.next = node.prev = &node;
        set_head(&node);
        return;
      }
      node.next = first;
      node.prev = first->prev;
      node.prev->next = &node;
      first->prev = &node;
    }

    void push_front(Node& node) noexcept {
      push_back(node);
      set_head(&node);  // they are linked in a circle
    }

    /// Takes `node` out if it is in.
    void remove(Node& node) noexcept {
      if (node.next == nullptr) return;
      if (head() == &node) set_head(node.next == &node ? nullptr : node.next);
      unlink(node);
    }

    /// The oldest, or null; it stays in.
    [[nodiscard]] Node* front() const noexcept { return head(); }

    /// @returns the oldest, or null.
    Node* pop_front() noexcept {
      Node* const first = head();
      if (first != nullptr) remove(*first);
      return first;
    }

    /// Calls `f` for each, oldest first.
    template <class F>
    void for_each(F&& f) const {
      Node* const first = head();
      for (Node* node = first; node != nullptr; node = node->next == first ? nullptr : node->next) f(*node);
    }

    /// Takes out the oldest whose waits can still be claimed, at most `most`, and appends them by `next` to `last`.
    /// They are to be woken when the lock has been released.  @returns the new last one
    [[nodiscard]] link* claim(std::size_t most, link* last) noexcept {
      while (most > 0) {
        Node* const node = pop_front();
        if (node == nullptr) break;
        if (!claim(*node)) continue;
        *last = node;
        last = &node->next;
        --most;
      }
      return last;
    }

  private:
    friend class basic_wait_list;

    [[nodiscard]] static bool claim(Node& node) noexcept {
      if (!node.owner->claim()) return false;
      if constexpr (requires { node.chosen; }) node.chosen = true;
      return true;
    }
    /// Out of its circle.
    static void unlink(Node& node) noexcept {
      node.next->prev = node.prev;
      node.prev->next = node.next;
      node.next = node.prev = nullptr;
    }
    /// Claims the oldest that can be claimed, which stays in front, and takes out those before it.
    [[nodiscard]] Node* claim_front() noexcept {
      Node* node = head();
      while (node != nullptr && !claim(*node)) {
        (void)pop_front();
        node = head();
      }
      return node;
    }

    Node* head() const noexcept { return reinterpret_cast<Node*>(word_ & ~(flag_mask | lock_bit)); }
    void set_head(Node* node) noexcept { word_ = (word_ & flag_mask) | reinterpret_cast<std::uintptr_t>(node); }

    basic_wait_list& list_;
    std::uintptr_t word_;  // what the list's word will be, less the lock bit
  };

  /// Takes the lock for a section that is opened later, by the same thread.
  void hold() noexcept { (void)lock(); }

  /// Sets the flags and wakes everyone who waits at that moment. The list may die when all have gone on, so one that
  /// has been claimed is always held back until the others have been, too.
  [[gnu::noinline]] void set_flags_and_wake(std::uintptr_t flags) noexcept;

  /// Waits until nobody holds the lock. Who was notified by someone who then releases the lock, and may now free the
  /// list, calls this first; it is a load where, as nearly always, the other is out already.
  void wait_unlocked() const noexcept {
    // acquire: pairs with ~section(), so that what is freed has been left.
    if ((word_.load(std::memory_order_acquire) & lock_bit) != 0) [[unlikely]]
      wait_unlocked_slowly();
  }

private:
  static constexpr std::uintptr_t lock_bit = 1;
  static constexpr std::uintptr_t flag_mask = flag_a | flag_b;

  std::uintptr_t lock() noexcept {
    auto seen = word_.load(std::memory_order_relaxed);  // the exchange decides
    // acquire: pairs with ~section() and try_set_flags().
    if ((seen & lock_bit) == 0 &&
        word_.compare_exchange_strong(seen, seen | lock_bit, std::memory_order_acquire, std::memory_order_relaxed)) {
      return seen;
    }
    return lock_slowly();
  }
  [[gnu::noinline]] std::uintptr_t lock_slowly() noexcept;
  [[gnu::noinline]] void wait_unlocked_slowly() const noexcept;

  typename Atomics::template atomic<std::uintptr_t> word_{0};
};

using wait_list = basic_wait_list<>;

template <class Node, class Atomics>
std::uintptr_t basic_wait_list<Node, Atomics>::lock_slowly() noexcept {
  for (unsigned turn = 0;; ++turn) {
    auto seen = word_.load(std::memory_order_relaxed);  // the exchange decides
    // acquire: as in lock().
    if ((seen & lock_bit) == 0 &&
        word_.compare_exchange_weak(seen, seen | lock_bit, std::memory_order_acquire, std::memory_order_relaxed)) {
      return seen;
    }
    Atomics::back_off(turn);
  }
}

template <class Node, class Atomics>
void basic_wait_list<Node, Atomics>::set_flags_and_wake(std::uintptr_t flags) noexcept {
  // Few at a time: what claiming brought into the cache is still there for waking. Who waits now forms a circle of its
  // own meanwhile, in which the last that has been claimed stays: it cannot leave, as all others can, under the lock.
  constexpr std::size_t at_once = 32;
  Node* newest = nullptr;
  bool first_batch = true;
  std::size_t total = 0;
  for (bool more = true; more;) {
    link claimed = nullptr;
    link* last = &claimed;
    auto const take_out = [&last](Node& node) {
      section::unlink(node);
      *last = &node;
      last = &node.next;
    };
    {
      section list{*this};
      if (std::exchange(first_batch, false)) {
        list.set_flags(flags);
        newest = list.claim_front();
        if (newest == nullptr) return;
        list.set_head(nullptr);
        ++total;
      }
      for (std::size_t n = 0; n < at_once && more;) {
        Node* const node = newest->next;
        more = node != newest;
        if (!more) break;
        __builtin_prefetch(static_cast<void const*>(node->next), 1);  // comes while this one is being claimed
        if (!section::claim(*node)) {
          section::unlink(*node);
          continue;
        }
        take_out(*newest);
        newest = node;
        ++n;
      }
      if (!more) take_out(*newest);
      *last = nullptr;
    }
    total += claimed != nullptr && claimed->next != nullptr;
    while (claimed != nullptr) {
      Node* const node = claimed;
      claimed = node->next;  // the node is gone as soon as its waiter has been woken
      node->owner->wake(total == 1 && !more ? placement::next : placement::back);
    }
  }
}

template <class Node, class Atomics>
void basic_wait_list<Node, Atomics>::wait_unlocked_slowly() const noexcept {
  // acquire: as in wait_unlocked().
  for (unsigned turn = 0; (word_.load(std::memory_order_acquire) & lock_bit) != 0; ++turn) Atomics::pause(turn);
}

}  // namespace weft::inline v0::detail
