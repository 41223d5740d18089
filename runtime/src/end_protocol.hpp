#pragma once
/// @file
/// How a task's fiber, its handle and those who wait for its end meet: on the wait_list in its record.
///
/// Two own the record, and each lets go once: the fiber by `ended`, when the result is in the record for good; the
/// handle by `detached`. Who comes second frees it. Of the two, one sees the other's flag: both are set in one word, by
/// a compare-and-swap from "nobody waits and no flag is set" or else under the list's lock.
///
///     no flag --finish()--> ended     freed by the handle, when it has been left: let_go() says so, or a join
///     no flag --let_go()--> detached  freed by the fiber: finish() says so
///
/// A result whose destruction may wait must go on the fiber if no handle is there to take it. So a fiber with such a
/// one asks by hold() before its last step, and holds the list's lock from then on: a handle that comes later finds the
/// task ended.
///
/// - Whoever enlist()s does so before `ended` and is told exactly once, by finish(), or takes itself out again.
/// - The fiber touches the word last when it leaves the lock. Who was told under that lock, and then frees the record,
///   calls wait_unlocked() first. All others learn of `ended` only when the lock has been left.

#include <cstdint>
#include <mutex>

namespace weft::inline v0::detail {

/// @tparam List  a basic_wait_list
template <class List>
struct end_protocol {
  static constexpr std::uintptr_t ended = List::flag_a;
  static constexpr std::uintptr_t detached = List::flag_b;

  /// The fiber is done, if nobody waits and a handle is there; the record may be gone from now on.
  /// @returns false, having done nothing, if finish() is called for
  [[nodiscard]] static bool try_finish(List& end) noexcept { return end.try_set_flags(0, ended); }

  /// The fiber is done. Passes everyone who is listed to `tell`, under the lock.
  /// @returns whether the fiber is the second, and is to free the record; otherwise it may be gone
  template <class Tell>
  [[nodiscard]] static bool finish(List& end, Tell&& tell) noexcept {
    typename List::section list{end};
    return finish_within(list, tell);
  }

  /// @returns false if the handle has let go: the record is the fiber's. Otherwise finish_held() is to follow
  [[nodiscard]] static bool hold(List& end) noexcept {
    end.hold();
    if ((end.flags() & detached) == 0) return true;
    typename List::section const given_back{end, std::adopt_lock};
    return false;
  }

  /// finish() after hold(). The record may be gone.
  template <class Tell>
  static void finish_held(List& end, Tell&& tell) noexcept {
    typename List::section list{end, std::adopt_lock};
    (void)finish_within(list, tell);
  }

  /// The handle lets go.
  /// @returns whether it is the second, and is to free the record; otherwise it may be gone
  [[nodiscard]] static bool let_go(List& end) noexcept {
    if (end.try_set_flags(0, detached)) return false;
    typename List::section list{end};
    if ((list.flags() & ended) != 0) return true;
    list.set_flags(list.flags() | detached);
    return false;
  }

  /// Lists `node`, by who keeps the record alive.  @returns false, having done nothing, if the task has ended
  template <class Node>
  [[nodiscard]] static bool enlist(List& end, Node& node) noexcept {
    typename List::section list{end};
    if ((list.flags() & ended) != 0) return false;
    list.push_back(node);
    return true;
  }

  /// Takes out `node`, if it is still in: its wait has ended in another way.
  template <class Node>
  static void withdraw(List& end, Node& node) noexcept {
    typename List::section list{end};
    list.remove(node);
  }

  [[nodiscard]] static bool has_ended(List const& end) noexcept { return (end.flags() & ended) != 0; }

private:
  template <class Tell>
  static bool finish_within(typename List::section& list, Tell&& tell) noexcept {
    bool const second = (list.flags() & detached) != 0;
    list.set_flags(list.flags() | ended);
    while (auto* const node = list.pop_front()) tell(*node);
    return second;
  }
};

}  // namespace weft::inline v0::detail
