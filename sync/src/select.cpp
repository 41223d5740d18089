#include <weft/sync/select.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <weft/runtime/detail/draw.hpp>
#include <weft/runtime/detail/end_watch.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace weft::inline v0::detail {

// ---------------------------------------------------------------------------------------------------------------------
// Cases
// ---------------------------------------------------------------------------------------------------------------------

bool channel_case::try_now() {
  if (lock_ == nullptr) return false;
  wake_afterwards<waiter> then;
  channel_lock::section const held{*lock_, current_worker()};
  return attempt(held, then);
}

void channel_case::queue(waiter& w) noexcept {
  if (node_.next != nullptr) refuse(used_twice);
  node_.party.has_wait(w);
  node_.place = place();
  node_.end = channel_node::fate::waits;
  line_->push_back(node_);
}

bool channel_case::withdraw() noexcept {
  if (lock_ == nullptr) return false;
  // Looked at before the lock is touched: whoever chose this case may have freed the channel. By now the wait is over,
  // and what its winner wrote into the node it wrote before the wake; nobody else writes it any more.
  if (node_.end != channel_node::fate::waits) return true;
  channel_lock::section const held{*lock_, current_worker()};
  line_->remove(node_);
  return false;
}

namespace {

/// Takes `node` out if it is still in.  @returns whether its list has claimed the wait, and may be gone
bool withdraw_node(wait_list& list, wait_node& node) noexcept {
  if (node.chosen) {      // before the lock is touched: see channel_case::withdraw()
    node.next = nullptr;  // who was chosen is linked to those that were chosen with it
    return true;
  }
  wait_list::section held{list};
  held.remove(node);
  return false;
}

}  // namespace

bool event_wait::enroll(waiter& w) noexcept {
  wait_list::section held{event_->list_};
  expect_unused(node_);
  node_ = wait_node{w};
  if (held.flags() == event::set_flag) return w.claim();
  held.push_back(node_);
  return false;
}

bool event_wait::withdraw() noexcept { return withdraw_node(event_->list_, node_); }

bool semaphore_wait::enroll(waiter& w) noexcept {
  wait_list::section held{semaphore_->list_};
  expect_unused(node_);
  node_ = wait_node{w};
  if (semaphore_->count_ != 0 && held.empty()) {
    if (!w.claim()) return false;
    --semaphore_->count_;
    return true;
  }
  held.push_back(node_);
  return false;
}

bool semaphore_wait::withdraw() noexcept { return withdraw_node(semaphore_->list_, node_); }

bool end_wait::try_now() const {
  if (record_ == current_fiber()) {
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "weft::on_done: a task waits for itself");
  }
  return (record_->end.flags() & fiber_record::ended) != 0;
}

bool end_wait::enroll(waiter& w) noexcept {
  expect_unused(node_);  // without the lock, which the task's end holds while it takes it out: by then its wait is over
  node_.waiting = &w;
  node_.chosen = false;
  return !enlist_for_end(*record_, node_) && w.claim();
}

/// Under the lock in any case: told() wakes us while it is held, and the task may go as soon as we go on.
bool end_wait::withdraw() noexcept {
  withdraw_from_end(*record_, node_);
  return node_.chosen;
}

bool end_wait::drive_guest(time_point until) noexcept { return drive_guest_of(*record_, until) != guest_turn::none; }

bool end_wait::node::told() noexcept {
  if (waiting->claim()) {
    chosen = true;
    waiting->wake(placement::joiner);
  }
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// The engine
// ---------------------------------------------------------------------------------------------------------------------

namespace {

using entry = select_entry*;

/// Moves a random one of those from `next` on to `next`.
entry draw_case(std::span<entry> order, std::size_t next) noexcept {
  auto const left = order.size() - next;
  if (left > 1) std::swap(order[next], order[next + draw(left)]);
  return order[next];
}

/// Tries each by itself.  @returns the one that has committed, or null
entry try_each(std::span<entry> order) {
  for (std::size_t i = 0; i < order.size(); ++i) {
    entry const e = draw_case(order, i);
    if (e->try_now()) return e;
  }
  return nullptr;
}

/// What is chosen by time, or in place of all others.
struct fallback {
  entry which = nullptr;
  time_point at = never;  // for `otherwise` this is past
};

fallback find_fallback(std::span<entry const> cases) noexcept {
  fallback found;
  for (entry const e : cases) {
    if (e->is_otherwise()) return {e, time_point::min()};
    if (auto const at = e->deadline(); at < found.at) found = {e, at};
  }
  return found;
}

/// Holds the locks of all channels, each once.
class all_locks {
public:
  explicit all_locks(std::span<channel_case*> by_address) : channels_(by_address) {
    std::sort(channels_.begin(), channels_.end(), [](auto* a, auto* b) {
      return a->lock() != b->lock() ? std::less<>{}(a->lock(), b->lock()) : a->position() < b->position();
    });
    for (std::size_t i = 0; i < channels_.size(); ++i) {
      if (i == 0 || channels_[i]->lock() != channels_[i - 1]->lock()) channels_[i]->hold();
    }
  }
  all_locks(all_locks const&) = delete;
  ~all_locks() {
    for (auto* const c : channels_) c->release();
    for (auto* const c : channels_) c->wake_other();
  }

  /// That of `c`, which may be held for another case of the same channel.
  [[nodiscard]] channel_lock::section const& of(channel_case const& c) const noexcept {
    auto const first = std::lower_bound(channels_.begin(), channels_.end(), c.lock(),
                                        [](auto* a, channel_lock* lock) { return std::less<>{}(a->lock(), lock); });
    return (*first)->held();
  }

private:
  std::span<channel_case*> channels_;
};

/// Tries all channels in one step, or else queues all.  @returns the one that has committed, or null
entry try_channels_or_queue(std::span<entry const> order, std::span<channel_case*> channels, waiter& self) {
  if (channels.empty()) return nullptr;
  all_locks const locks{channels};
  for (entry const e : order) {
    if (auto* const c = e->as_channel(); c != nullptr && c->lock() != nullptr && c->try_holding(locks.of(*c))) return e;
  }
  for (auto* const c : channels) c->queue(self);
  return nullptr;
}

/// Enrolls all that are no channels, up to the first that commits at once.
struct enrolment {
  entry committed = nullptr;
  std::size_t count = 0;  // of `order`, from its beginning
};

enrolment enroll_others(std::span<entry const> order, waiter& self) noexcept {
  enrolment done;
  while (done.count < order.size() && done.committed == nullptr) {
    entry const e = order[done.count++];
    if (e->as_channel() == nullptr && e->enroll(self)) done.committed = e;
  }
  return done;
}

/// Takes all out again.  @returns the one that has been committed, or null
entry withdraw_all(std::span<entry const> order, std::span<channel_case* const> channels, enrolment others) noexcept {
  for (auto* const c : channels) {
    if (c->withdraw()) others.committed = c;
  }
  for (entry const e : order.first(others.count)) {
    if (e->as_channel() == nullptr && e->withdraw()) others.committed = e;
  }
  return others.committed;
}

/// On a thread that has enrolled its cases: runs a guest that one of them waits for. Not for long: it may be another
/// case that is ready first, or a scope that is cancelled.
/// @returns until when to wait before the next attempt; never if there is no guest
time_point drive_guest(std::span<entry const> order, waiter const& self, time_point limit) noexcept {
  if (self.fiber() != nullptr) return never;
  for (entry const e : order) {
    auto const slice = std::min(limit, add(clock::now(), std::chrono::milliseconds{2}));
    if (e->drive_guest(slice)) return slice;  // if it is less by now, another thread runs the guest, and we wait
  }
  return never;
}

/// Waits until one of the cases has been committed.  @returns it, or null if there is to be another attempt
entry wait_for_one(std::span<entry const> order, std::span<channel_case*> channels, fallback const& other) {
  waiter self{"select"};
  if (entry const committed = try_channels_or_queue(order, channels, self)) return committed;
  auto const others = enroll_others(order, self);
  auto const slice = others.committed == nullptr ? drive_guest(order, self, other.at) : never;
  auto const cause = others.committed != nullptr ? wake_cause::notified : self.wait(std::min(other.at, slice));
  entry const committed = withdraw_all(order, channels, others);
  self.rethrow(cause);
  if (cause == wake_cause::timed_out) return slice < other.at ? nullptr : other.which;
  if (committed == nullptr) refuse("a select was woken, and no case says that it was chosen: look at withdraw()");
  if (auto* const c = committed->as_channel(); c != nullptr && c->is_to_try_again()) {
    c->let_next_try();
    return nullptr;
  }
  return committed;
}

}  // namespace

std::size_t select_among(std::span<select_entry* const> cases, select_room room) {
  if (cases.empty()) throw std::invalid_argument("weft::select: there are no cases, so that it would wait for ever");
  std::size_t count = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    room.order[i] = cases[i];
    if (auto* const c = cases[i]->as_channel(); c != nullptr && c->lock() != nullptr) {
      c->set_position(i);
      room.channels[count++] = c;
    }
  }
  auto const channels = room.channels.first(count);
  auto const other = find_fallback(cases);
  entry chosen = nullptr;
  while (chosen == nullptr) {
    check_cancelled();
    chosen = try_each(room.order);
    if (chosen != nullptr) break;
    chosen = only_tries(other.at) ? other.which : wait_for_one(room.order, channels, other);
  }
  auto const index = static_cast<std::size_t>(std::find(cases.begin(), cases.end(), chosen) - cases.begin());
  chosen->finish();
  return index;
}

}  // namespace weft::inline v0::detail
