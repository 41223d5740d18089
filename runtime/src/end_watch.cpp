#include <weft/runtime/detail/end_watch.hpp>

#include "record_pool.hpp"
#include "scheduler.hpp"
#include "task_end.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace weft::inline v0::detail {

end_watch::end_watch(std::size_t room) : nodes_(room != 0 ? std::make_unique<node[]>(room) : nullptr) {}

end_watch::~end_watch() {
  for (std::size_t i = 0; i < added_; ++i) {
    // Taken out, or told already, by a fiber that leaves the lock before we get it.
    if (!nodes_[i].known) task_end::withdraw(nodes_[i].record->end, static_cast<wait_node&>(nodes_[i]));
  }
}

void end_watch::add(fiber_record& record) {
  if (&record == current_fiber()) {
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "weft: a task waits for itself among others");
  }
  node& n = nodes_[added_++];
  n.watch = this;
  n.record = &record;
  if (!task_end::enlist(record.end, static_cast<wait_node&>(n))) push(n);
}

/// On the fiber that ends, under its lock; or where it has ended before.
void end_watch::push(node& ended) noexcept {
  wait_list::section const lock{list_};
  (last_ended_ != nullptr ? last_ended_->next_ended : first_ended_) = &ended;
  last_ended_ = &ended;
  // Once: who has been woken is gone before it takes the lock again.
  if (waiter* const w = std::exchange(waiting_, nullptr)) (void)w->notify(placement::joiner);
}

bool end_watch::node::told() noexcept {
  watch->push(*this);
  return true;
}

end_watch::node* end_watch::pop() noexcept {
  wait_list::section const lock{list_};
  waiting_ = nullptr;
  node* const n = first_ended_;
  if (n == nullptr) return nullptr;
  first_ended_ = n->next_ended;
  if (first_ended_ == nullptr) last_ended_ = nullptr;
  return n;
}

std::optional<std::size_t> end_watch::next(time_point deadline, cancellation mode) {
  if (mode == cancellation::heeded) check_cancelled();
  for (bool expired = left() == 0;;) {
    if (node* const n = pop()) {
      n->record->end.wait_unlocked();  // by its fiber, which touches it last
      n->known = true;
      ++told_;
      return static_cast<std::size_t>(n - nodes_.get());
    }
    if (expired) return std::nullopt;
    if (deadline != never && deadline <= deadline_after(std::chrono::nanoseconds{0})) {
      expired = true;  // one last look
      continue;
    }
    auto until = deadline;
    if (current_worker() == nullptr) {
      if (mode == cancellation::heeded) check_cancelled();
      auto const turn = drive_guest(deadline);
      if (turn == guest_turn::had) continue;
      if (turn == guest_turn::taken) until = std::min(until, detail::add(clock::now(), guest_slice));
    }
    waiter self{"tasks", mode};
    {
      wait_list::section const lock{list_};
      if (first_ended_ != nullptr) continue;
      waiting_ = &self;
    }
    auto const cause = self.wait(until);
    if (cause == wake_cause::notified) continue;
    {
      wait_list::section const lock{list_};
      waiting_ = nullptr;
    }
    self.rethrow(cause);
    expired = until == deadline;
  }
}

guest_turn drive_guest_of(fiber_record& record, time_point until) noexcept {
  if (task_end::has_ended(record.end)) return guest_turn::none;
  // The fiber may end meanwhile, and its runtime be gone: the pool of its record knows.
  scheduler* const home = record_pool::of(&record)->enter_guest();
  if (home == nullptr) return guest_turn::none;
  bool const had = home->drive_until_ended(record, until);
  home->entrance.leave();
  return had ? guest_turn::had : guest_turn::taken;
}

/// A thread that waits for a guest's fibers runs them meanwhile, for a while.
guest_turn end_watch::drive_guest(time_point deadline) noexcept {
  auto turn = guest_turn::none;
  for (std::size_t i = 0; i < added_; ++i) {
    node const& n = nodes_[i];
    if (n.known) continue;
    // Not for long: it may be another task that ends first.
    auto const slice = detail::add(clock::now(), std::chrono::milliseconds{2});
    auto const this_one = drive_guest_of(*n.record, std::min(deadline, slice));
    if (this_one == guest_turn::had) return this_one;
    if (this_one == guest_turn::taken) turn = this_one;
  }
  return turn;
}

}  // namespace weft::inline v0::detail
