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

namespace {

/// From now on `node` is to be claimed for `owner`, and woken.  @returns false if its fate has been decided
bool has_to_wait(channel_lock& lock, channel_node& node, waiter& owner) noexcept {
  channel_lock::section const held{lock, current_worker()};
  if (node.end != channel_node::fate::waits) return false;
  node.owner = &owner;
  return true;
}

/// @returns false if its fate had been decided
bool leave_undecided(channel_lock& lock, channel_line& line, channel_node& node) noexcept {
  channel_lock::section const held{lock, current_worker()};
  if (node.end != channel_node::fate::waits) return false;
  line.remove(node);
  return true;
}

}  // namespace

void wait_in_line(channel_lock& lock, channel_line& line, channel_node& node, char const* reason) {
  std::optional<waiter> self;
  try {
    self.emplace(reason);
  } catch (...) {
    if (leave_undecided(lock, line, node)) throw;
    return;  // as one whom a cancellation finds when it has just been served
  }
  if (!has_to_wait(lock, node, *self)) return;
  if (auto const cause = self->wait(); cause != wake_cause::notified) leave_channel(lock, line, node, *self, cause);
}

void wake_closed(channel_node* claimed) noexcept {
  while (claimed != nullptr) {
    channel_node* const node = claimed;
    claimed = node->next;  // the node is gone as soon as its waiter has been woken
    node->owner->wake();
  }
}

void throw_channel_closed() { throw channel_closed("weft::channel: a value is sent, and the channel is closed"); }

void throw_channel_timeout() { throw timeout_error("weft::channel: no value has come in time"); }

void check_channel_unused(bool waiting) noexcept {
  if (waiting) refuse("a channel is destroyed while somebody waits for it: close it, and join who uses it, before");
}

}  // namespace weft::inline v0::detail
