#include <weft/runtime/detail/siblings.hpp>

#include "fork_guard.hpp"
#include "scopes.hpp"
#include "task_end.hpp"

#include <weft/runtime/detail/wait_graph.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <string>

namespace weft::inline v0::detail {

namespace {

/// Waits for the end, whatever happens: the fiber may refer to the caller's stack.
void outwait(fiber_record& fiber) noexcept {
  if (fork_watch::in_child()) return;  // it will never end here
  try {
    (void)join(fiber, never, cancellation::ignored);
  } catch (...) {
    // A circle of joins, or no memory to say so: but it has been cancelled, and so goes on from its own.
    waiter self{"task", cancellation::ignored};
    wait_node node{self};
    if (!task_end::enlist(fiber.end, node)) return;
    (void)self.wait();
    fiber.end.wait_unlocked();  // by end_task(), which touches the record last
  }
}

}  // namespace

siblings::siblings(char const* call, decided_by what) : decided_by_(what) {
  check_not_forked();
  if (current_fiber() == nullptr) {
    throw no_runtime(std::string(call) + ": not called on a fiber; use weft::run, or runtime::run");
  }
  check_cancelled();
}

siblings::~siblings() {
  if (!joined_) {
    word_.fetch_or(complete, std::memory_order_acq_rel);  // as in join()
    cancel_all(cancel_reason::handle_dropped);
    for (std::size_t i = 0; i < size_; ++i) outwait(*members_[i]);
  }
  for (std::size_t i = 0; i < size_; ++i) join_and_release(*members_[i]);
}

void siblings::join() {
  // release: publishes the list to the one that decides. acquire: pairs with decide().
  auto const seen = word_.fetch_or(complete, std::memory_order_acq_rel);
  if (seen != 0)
    cancel_all(decided_by_ == decided_by::end ? cancel_reason::handle_dropped : cancel_reason::sibling_failed);
  noted_wait noted;
  noted.for_tasks(members_, size_, decided_by_ == decided_by::end);
  std::exception_ptr interrupted;
  auto why = cancel_reason::user;
  for (std::size_t i = 0; i < size_; ++i) {
    if (!interrupted) {
      try {
        (void)detail::join(*members_[i], never, cancellation::heeded);
        continue;
      } catch (cancelled const& c) {
        why = c.reason();
        interrupted = std::current_exception();
      } catch (...) {  // a circle of joins
        interrupted = std::current_exception();
      }
      cancel_all(why);
    }
    outwait(*members_[i]);
  }
  joined_ = true;
  // A failure goes before the caller's own cancellation, which strikes again at its next wait.
  fiber_record* const decisive = first();
  if (decisive != nullptr && decisive->error) rethrow(*decisive);
  if (interrupted) std::rethrow_exception(interrupted);
}

std::size_t siblings::decisive() const noexcept {
  fiber_record* const one = first();
  std::size_t index = 0;
  while (index < size_ && members_[index] != one) ++index;
  return index;
}

/// A sibling's own cancellation decides nothing: whoever asked for it knows.
void siblings::failed(cancelled const& by) noexcept {
  fiber_record const& self = *current_fiber();
  if (!self.ticket.cancel_requested() || cancelled_access::scope(by) != own_scope_id(self.id)) failed();
}

void siblings::decide() noexcept { decide(*current_fiber()); }

void siblings::decide(fiber_record& sibling) noexcept {
  auto const self = reinterpret_cast<std::uintptr_t>(&sibling);
  auto seen = word_.load(std::memory_order_relaxed);  // the exchange decides
  do {
    if ((seen & ~complete) != 0) return;
    // acquire: pairs with join(), which completes the list. release: for the caller, which may be the one that cancels.
  } while (!word_.compare_exchange_weak(seen, seen | self, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (seen == 0) return;  // the caller will see it when the list is complete
  cancel_all(decided_by_ == decided_by::end ? cancel_reason::handle_dropped : cancel_reason::sibling_failed);
}

/// By who has seen the list complete. The one that decided is left alone: what it ends with stays its own.
void siblings::cancel_all(cancel_reason reason) noexcept {
  fiber_record* const decisive = first();
  for (std::size_t i = 0; i < size_; ++i) {
    if (members_[i] != decisive && !task_end::has_ended(members_[i]->end)) cancel(*members_[i], reason);
  }
}

fiber_record* siblings::first() const noexcept {
  return reinterpret_cast<fiber_record*>(word_.load(std::memory_order_relaxed) & ~complete);  // compared, or ended
}

void siblings::rethrow(fiber_record& of) {
  of.collected = true;
  std::rethrow_exception(of.error);
}

}  // namespace weft::inline v0::detail
