#pragma once
/// @file
/// How the primitives wait: in line in a `wait_list`, whose lock guards their whole state.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/waiter.hpp>

#include <chrono>

namespace weft::inline v0::detail {

/// The present as the caller's runtime sees it.
[[nodiscard]] inline time_point present() noexcept { return deadline_after(std::chrono::nanoseconds{0}); }

/// Whether `deadline` is such that the call is only to try.
[[nodiscard]] inline bool only_tries(time_point deadline) noexcept {
  return deadline != never && deadline <= present();
}

/// Waits in line until somebody takes the node out, claims the wait and wakes it: what was asked for is then ours.
/// @param take  called under the lock, before queueing: whether there is no need to wait after all
/// @returns false if `deadline` passed first.  @throws cancelled, and then the node is out again
template <class Node, class Take>
bool wait_in_line(wait_list& list, Node& node, waiter& self, time_point deadline, Take&& take) {
  {
    wait_list::section line{list};
    if (take(line)) return true;
    line.push_back(node);
  }
  auto const cause = self.wait(deadline);
  if (cause == wake_cause::notified) return true;
  {
    wait_list::section line{list};
    line.remove(node);
  }
  self.rethrow(cause);
  return false;
}

/// Takes the first out whose wait can be claimed.  @returns it, to be woken when the lock has been released, or null
inline wait_node* claim_first(wait_list::section& line) noexcept {
  wait_node* first = nullptr;
  (void)line.claim(1, &first);
  return first;
}

/// Wakes those who have been claimed. What they waited for may go with any of them; the list of them does not.
inline void wake_all(wait_node* claimed) noexcept {
  while (claimed != nullptr) {
    wait_node* const node = claimed;
    claimed = node->next;  // the node is gone as soon as its waiter has been woken
    node->owner->wake();
  }
}

}  // namespace weft::inline v0::detail
