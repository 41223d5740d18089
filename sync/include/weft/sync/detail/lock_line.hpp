#pragma once
/// @file
/// The state of a mutex, in one word: whether it is locked, and who stands in line for it.
///
/// Two flags beside the line. `locked`: somebody holds the lock, or has been handed it and is about to go on. `called`:
/// one of the line has been woken to try again, and is out of it; as long as it is on its way no other is called.
///
///     free, nobody in line     lock: locked                    unlock: free
///     locked, some in line     lock: stand in line             unlock: call the first, free for whoever comes first;
///                                                              or, if it is impatient, hand the lock over to it
///     called                   lock: take it, if it is free    unlock: free, for one is on its way
///
/// So each unlock with a line leaves one on its way, or an owner; and who was called either takes the lock, or finds it
/// held by one whose unlock will see the line. While one is on its way nobody else's age is looked at: that would cost
/// each unlock of a mutex that is fought for a lock and a look at the clock. (Normal and starving mode of Go's
/// `sync.Mutex`, src/sync/mutex.go; but an impatient waiter is handed the lock, and no mode outlives that.)

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/waiter.hpp>

namespace weft::inline v0::detail {

/// A place in a mutex's line. Lives on the waiting side's stack.
struct alignas(8) lock_node {
  lock_node(waiter& w, time_point from) noexcept : owner(&w), since(from) {}
  waiter* owner;
  lock_node* next = nullptr;  ///< as in wait_node
  lock_node* prev = nullptr;
  time_point since;   ///< when its waiter began to wait
  bool owns = false;  ///< see basic_lock_line
};

/// @tparam Node     as basic_wait_list's, with a bool `owns`: whether the lock was handed over. Written under the
///                  line's lock and before the wake, read by its waiter after it
/// @tparam Atomics  see atomics.hpp
template <class Node, class Atomics = std_atomics>
class basic_lock_line {
  using list = basic_wait_list<Node, Atomics>;
  using section = typename list::section;

public:
  /// Takes the lock if it is free and nobody waits for it, nor is on the way.
  /// @param calm  nobody is known to fight for it. Otherwise it looks first, because an exchange that fails takes the
  ///   line from who holds the lock; a look has to wait for the exchange before it, of the same word, and is 4 to 9 %
  ///   of an uncontended lock and unlock.
  [[nodiscard]] bool try_lock_unawaited(bool calm) noexcept {
    return (calm || list_.look().is_only(0)) && list_.try_set_flags(0, locked);
  }
  /// Frees the lock if nobody waits for it, nor is on the way. `calm` as above.
  [[nodiscard]] bool try_unlock_unawaited(bool calm) noexcept {
    return (calm || list_.look().is_only(locked)) && list_.try_set_flags(locked, 0);
  }

  /// Takes the lock if it is free, whoever waits for it. May miss it while another changes the line.
  [[nodiscard]] bool try_lock() noexcept {
    auto const seen = list_.look();
    return !seen.busy() && (seen.flags() & locked) == 0 && list_.try_replace_flags(seen, seen.flags() | locked);
  }

  /// The same, by who has been called: it is then no longer on its way.
  [[nodiscard]] bool try_lock_as_called() noexcept {
    auto const seen = list_.look();
    return !seen.busy() && (seen.flags() & locked) == 0 && list_.try_replace_flags(seen, locked);
  }

  /// Frees the lock if there is nobody to call. May miss that while another changes the line.
  [[nodiscard]] bool try_unlock() noexcept {
    auto const seen = list_.look();
    bool const nobody_to_call = seen.empty() || (seen.flags() & called) != 0;
    return !seen.busy() && (seen.flags() & locked) != 0 && nobody_to_call &&
           list_.try_replace_flags(seen, seen.flags() & ~locked);
  }

  /// Free, and nobody waits for it, nor is on the way.
  [[nodiscard]] bool is_idle() const noexcept { return list_.look().is_only(0); }
  [[nodiscard]] bool is_locked() const noexcept { return (list_.flags() & locked) != 0; }

  /// try_lock() that misses nothing.
  [[nodiscard]] bool take() noexcept {
    if (is_locked()) return false;
    section line{list_};
    return take(line);
  }

  /// Takes the lock, or stands in line for it: first, for who has been called before, or last.
  /// @returns whether the lock was taken
  [[nodiscard]] bool take_or_stand(Node& node, bool first) noexcept {
    section line{list_};
    if (take(line)) return true;
    first ? line.push_front(node) : line.push_back(node);
    return false;
  }

  /// By who has been called.  @returns whether it has the lock; if not, it is to stand in line again, first
  [[nodiscard]] bool take_as_called() noexcept {
    section line{list_};
    line.set_flags(line.flags() & ~called);
    return take(line);  // if another was faster, its unlock() sees the line
  }

  /// By one whose wait has ended otherwise.
  void leave(Node& node) noexcept {
    section line{list_};
    line.remove(node);
  }

  enum class freed : unsigned char { yes, wakes, was_free };

  /// Frees the lock; where some stand in line, and none has been called, calls the first whose wait can be claimed.
  /// @param impatient  whether a node is to be handed the lock
  /// @param next       with freed::wakes: whose waiter is to be woken. The mutex may be gone by then
  template <class Impatient>
  [[nodiscard]] freed unlock(Impatient&& impatient, Node*& next) noexcept {
    section line{list_};
    if ((line.flags() & locked) == 0) return freed::was_free;
    auto const unlocked = line.flags() & ~locked;
    if ((unlocked & called) == 0) {
      do {
        next = line.pop_front();
      } while (next != nullptr && !next->owner->claim());
    }
    if (next == nullptr) {
      line.set_flags(unlocked);
      return freed::yes;
    }
    bool const hands_over = impatient(*next);
    next->owns = hands_over;
    line.set_flags(hands_over ? locked : called);
    return freed::wakes;
  }

private:
  static constexpr auto locked = list::flag_a;
  static constexpr auto called = list::flag_b;

  static bool take(section& line) noexcept {
    if ((line.flags() & locked) != 0) return false;
    line.set_flags(line.flags() | locked);
    return true;
  }

  list list_;
};

using lock_line = basic_lock_line<lock_node>;

}  // namespace weft::inline v0::detail
