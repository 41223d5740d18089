#include <weft/sync/channel.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <optional>

namespace weft::inline v0::detail {

bool channel_only_tries(time_point deadline) noexcept { return only_tries(deadline); }

void leave_channel(channel_lock& lock, channel_line& line, channel_node& node, waiter const& self, wake_cause cause) {
  {
    channel_lock::section const held{lock, current_worker()};
    line.remove(node);
  }
  self.rethrow(cause);
}

bool wait_in_line(channel_lock& lock, channel_line& line, channel_node& node, char const* reason) {
  using answer = decltype(node.party)::answer;
  if (auto const told = node.party.look(); told != answer::none) return told != answer::passed_over;
  std::optional<waiter> self;
  try {
    self.emplace(reason);
  } catch (...) {
    if (node.party.give_up()) {
      {
        channel_lock::section const held{lock, current_worker()};
        line.remove(node);
      }
      throw;
    }
    if (node.party.await_answer() == answer::passed_over) throw;
    return true;  // as one whom a cancellation finds when it has just been served
  }
  if (!node.party.wait_after_all(*self)) return node.party.await_answer() != answer::passed_over;
  if (auto const cause = self->wait(); cause != wake_cause::notified) leave_channel(lock, line, node, *self, cause);
  return true;
}

void wake_closed(channel_node* claimed) noexcept {
  while (claimed != nullptr) {
    channel_node* const node = claimed;
    claimed = node->next;  // the node is gone as soon as its waiter has been woken
    node->party.wake(placement::back, decltype(node->party)::answer::closed);
  }
}

void throw_channel_closed() { throw channel_closed("weft::channel: a value is sent, and the channel is closed"); }

void throw_channel_timeout() { throw timeout_error("weft::channel: no value has come in time"); }

void check_channel_unused(bool waiting) noexcept {
  if (waiting) refuse("a channel is destroyed while somebody waits for it: close it, and join who uses it, before");
}

}  // namespace weft::inline v0::detail
