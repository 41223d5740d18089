#include <weft/runtime/task_group.hpp>

#include "fatal.hpp"
#include "fork_guard.hpp"
#include "record_pool.hpp"
#include "task_end.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/wait_graph.hpp>
#include <weft/runtime/exception_group.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <optional>
#include <stdexcept>
#include <system_error>

namespace weft::inline v0::detail {

namespace {

/// Whether the caller is a child of `group`.
bool on_child_of(group_core const* group) noexcept {
  fiber_record const* const self = current_fiber();
  return self != nullptr && self->type->in_group && static_cast<group_member const*>(self)->group == group;
}

/// A cancellation that has ended the body of a with_task_group(), or its wait.
struct interruption {
  cancel_reason reason;
  bool own;  // of the group, not of a scope around it
};

/// @returns none for a null pointer, and for a failure; a `cancelled` that is nobody's here is one
std::optional<interruption> interruption_in(std::exception_ptr const& error, cancel_scope const& body) noexcept {
  if (!error) return std::nullopt;
  try {
    std::rethrow_exception(error);
  } catch (cancelled const& c) {
    bool const own = body.owns(c);
    if (own || this_fiber::cancel_requested()) return interruption{c.reason(), own};
  } catch (...) {  // NOLINT: a failure
  }
  return std::nullopt;
}

}  // namespace

void group_core::circle::push_back(group_member& m) noexcept {
  if (first == nullptr) {
    first = m.next = m.prev = &m;
    return;
  }
  m.next = first;
  m.prev = first->prev;
  m.prev->next = first->prev = &m;
}

void group_core::circle::remove(group_member& m) noexcept {
  if (m.next == &m) {
    first = nullptr;
    return;
  }
  m.prev->next = m.next;
  m.next->prev = m.prev;
  if (first == &m) first = m.next;
}

void group_core::check_open(spawn_options const& options) const {
  if (options.detached) throw std::invalid_argument("weft::task_group::spawn: a group's task cannot be detached");
  if ((list_.flags() & closed_flag) != 0) {
    throw error("weft::task_group::spawn: the group has been cancelled and waited for; make a new one");
  }
}

/// When the record can be cancelled, and before the child takes its first step.
void group_core::enter(fiber_record& record) noexcept {
  auto& m = static_cast<group_member&>(record);
  group_core& group = *m.group;
  (void)task_end::enlist(record.end, static_cast<wait_node&>(m.at_end));
  wait_list::section const lock{group.list_};
  if (m.starting != nullptr) m.starting->child = &m;
  ++group.size_;
  m.struck = (lock.flags() & cancelled_flag) != 0;
  (m.struck ? group.struck_ : group.fresh_).push_back(m);
  if (m.struck) detail::cancel(record, group.reason_);
}

void group_member::end_node::call() { member.group->leave(member); }

std::uint64_t group_core::awaited_by(fiber_record const& member) noexcept {
  group_core const& group = *static_cast<group_member const&>(member).group;  // there as long as its members are
  wait_list::section const lock{group.list_};
  wait_node const* const oldest = lock.front();
  fiber_record const* const waiting = oldest != nullptr ? oldest->owner->fiber() : nullptr;
  return waiting != nullptr ? waiting->id : 0;
}

/// On the child's fiber, after its end: whatever it owned is gone.
void group_core::leave(group_member& m) noexcept {
  if (ended_in_failure(m)) {
    if (failure_ == child_failure::stands_alone) {
      report_unhandled(m, m.error);  // before the group may be told that this was the last
      m.collected = true;
    } else if (note_failure(m)) {
      cancel(cancel_reason::sibling_failed);
    }
  }
  bool kept = false;
  {
    wait_list::section lock{list_};
    (m.struck ? struck_ : fresh_).remove(m);
    kept = m.failed;
    if (start_slot* const slot = m.starting) {
      kept = slot->resolved = true;
      slot->ended = &m;
      if (slot->waiting != nullptr) (void)slot->waiting->notify(placement::joiner);
    }
    if (--size_ == 0) {
      while (wait_node* const node = lock.pop_front()) (void)node->owner->notify(placement::joiner);
    }
  }
  if (!kept) release_handle(m);
}

/// @returns false if it is the caller of start() who gets it
bool group_core::note_failure(group_member& m) noexcept {
  wait_list::section const lock{list_};
  if (m.starting != nullptr) return false;
  m.failed = true;
  (last_failed_ != nullptr ? last_failed_->next_failed : first_failed_) = &m;
  last_failed_ = &m;
  ++failed_;
  return true;
}

void group_core::cancel(cancel_reason reason) noexcept {
  constexpr int at_once = 32;
  {
    wait_list::section lock{list_};
    if ((lock.flags() & cancelled_flag) == 0) {
      lock.set_flags(lock.flags() | cancelled_flag);
      reason_ = reason;
    }
  }
  // Before the children: the body may wait for one, and is to find itself cancelled when that ends. Not under the lock:
  // stop callbacks may be called.
  if (body_ != nullptr) body_->cancel(reason);
  for (bool more = true; more;) {
    wait_list::section lock{list_};
    for (int n = 0; n < at_once && fresh_.first != nullptr; ++n) {
      group_member& m = *fresh_.first;
      fresh_.remove(m);
      struck_.push_back(m);
      m.struck = true;
      if (!task_end::has_ended(m.end)) detail::cancel(m, reason_);
    }
    more = fresh_.first != nullptr;
  }
}

std::size_t group_core::size() const noexcept {
  wait_list::section const lock{list_};
  return size_;
}

void group_core::wait_until_empty(cancellation mode) {
  for (bool has_waited = false;; has_waited = true) {
    if (size() == 0) {
      // What has ended a wait by being so is not undone by a cancellation that came after it.
      if (mode == cancellation::heeded && !has_waited) check_cancelled();
      return;
    }
    waiter self{"task group", mode};
    wait_node node{self};
    {
      wait_list::section lock{list_};
      if (size_ == 0) return;
      lock.push_back(node);
    }
    auto const cause = [&] {
      noted_wait noted;
      noted.for_group(*this, self);
      return self.wait();
    }();
    if (cause == wake_cause::notified) continue;  // others may have been spawned meanwhile
    {
      wait_list::section lock{list_};
      lock.remove(node);
    }
    self.rethrow(cause);
  }
}

/// @returns the caller's own cancellation, if that came; then the children were cancelled, too
std::exception_ptr group_core::outwait_children() {
  if (on_child_of(this)) {
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "weft::task_group: one of the group's own tasks waits for it");
  }
  std::exception_ptr interrupted;
  try {
    wait_until_empty(cancellation::heeded);
  } catch (cancelled const& c) {
    interrupted = std::current_exception();
    cancel(c.reason());
  }
  if (interrupted) wait_until_empty(cancellation::ignored);
  wait_list::section lock{list_};
  if ((lock.flags() & cancelled_flag) != 0) lock.set_flags(cancelled_flag | closed_flag);
  return interrupted;
}

std::exception_ptr group_core::first_error() const {
  wait_list::section const lock{list_};  // tasks may be spawned, and fail, from elsewhere
  return first_failed_ != nullptr ? first_failed_->error : nullptr;
}

void group_core::rethrow_first() {
  std::exception_ptr first;
  {
    wait_list::section const lock{list_};  // failures() may be called meanwhile, and tasks be spawned from elsewhere
    if (first_failed_ == nullptr) return;
    thrown_ = true;
    first_failed_->collected = true;
    first = first_failed_->error;
  }
  std::rethrow_exception(first);
}

void group_core::wait() {
  std::exception_ptr const interrupted = outwait_children();
  rethrow_first();  // before the caller's own cancellation, which strikes again at its next wait
  if (interrupted) std::rethrow_exception(interrupted);
}

bool group_core::end_body(std::exception_ptr const& error) {
  std::exception_ptr stopped = error;
  std::optional<interruption> how;
  bool failed_first = false;
  if (!error) {
    stopped = outwait_children();
    how = interruption_in(stopped, *body_);
  } else {
    how = interruption_in(error, *body_);
    {
      wait_list::section const lock{list_};
      failed_first = !how && first_failed_ == nullptr;
    }
    cancel(how ? how->reason : cancel_reason::sibling_failed);
    wait_until_empty(cancellation::ignored);
    bool const another = !how && !failed_first && error != first_error();
    if (another && current_fiber() != nullptr) {
      report_unhandled(*current_fiber(), error);
    }
  }
  if (!failed_first) rethrow_first();
  if (!stopped) return false;
  if (how && how->own) return true;
  std::rethrow_exception(stopped);
}

void group_core::wait_all() {
  std::exception_ptr const interrupted = outwait_children();
  if (first_error()) throw exception_group(failures_from(false));
  if (interrupted) std::rethrow_exception(interrupted);
}

std::vector<std::exception_ptr> group_core::failures() const { return failures_from(true); }

std::vector<std::exception_ptr> group_core::failures_from(bool skip_thrown) const {
  std::vector<std::exception_ptr> result;
  for (;;) {
    std::size_t room = 0;
    {
      wait_list::section const lock{list_};
      if (failed_ <= result.capacity()) {
        for (group_member* m = first_failed_; m != nullptr; m = m->next_failed) {
          if (m == first_failed_ && thrown_ && skip_thrown) continue;
          m->collected = true;
          result.push_back(m->error);
        }
        return result;
      }
      room = failed_;
    }
    result.reserve(room);  // not under the lock
  }
}

group_core::~group_core() {
  if (fork_watch::in_child()) return;  // nothing will ever end here
  if (on_child_of(this)) fatal("a task_group was destroyed by one of its own tasks, for which it has to wait");
  if (size() != 0) {
    cancel(cancel_reason::handle_dropped);
    wait_until_empty(cancellation::ignored);
  }
  for (group_member* m = first_failed_; m != nullptr;) release_handle(*std::exchange(m, m->next_failed));
}

void group_core::resolve(start_slot& slot) noexcept {
  wait_list::section const lock{list_};
  slot.child->starting = nullptr;
  slot.resolved = true;
  if (slot.waiting != nullptr) (void)slot.waiting->notify(placement::joiner);
}

void group_core::await_start(start_slot& slot) {
  std::exception_ptr interrupted;
  for (bool resolved = false; !resolved;) {
    try {
      waiter self{"task group's start", interrupted ? cancellation::ignored : cancellation::heeded};
      {
        wait_list::section const lock{list_};
        if (slot.resolved) break;
        slot.waiting = &self;
      }
      auto const cause = self.wait();
      {
        wait_list::section const lock{list_};
        slot.waiting = nullptr;
        resolved = slot.resolved;
      }
      self.rethrow(cause);
    } catch (cancelled const& c) {
      interrupted = std::current_exception();
      wait_list::section const lock{list_};
      if (!slot.resolved) detail::cancel(*slot.child, c.reason());
      resolved = slot.resolved;
    }
  }
  if (slot.ended == nullptr) {
    if (interrupted) std::rethrow_exception(interrupted);
    return;
  }
  group_member& child = *slot.ended;
  std::exception_ptr const error = child.error;
  bool const failed = ended_in_failure(child);
  child.collected = true;
  release_handle(child);
  if (failed) std::rethrow_exception(error);
  if (error && !interrupted) {
    check_cancelled();  // whoever cancelled the child may have cancelled us, too, and our own counts
    std::rethrow_exception(error);
  }
  if (interrupted) std::rethrow_exception(interrupted);
  throw weft::error("weft::task_group::start: the task has ended without saying that it is ready");
}

}  // namespace weft::inline v0::detail

namespace weft::inline v0 {

void detail::throw_ready_twice() { throw error("weft::ready_signal: the task has said already that it is ready"); }

}  // namespace weft::inline v0
