#include "scopes.hpp"

#include "fatal.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/biased_lock.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

namespace weft::inline v0::detail {

namespace {

/// How a thread waits that is not a worker. Neither constructed nor destroyed: it is there as long as the thread.
struct thread_context {
  wait_ticket ticket;
  scope_node* innermost = nullptr;
};
constinit thread_local thread_context context_of_thread;

time_point deadline_of(scope_node const& node) noexcept {
  // relaxed: who changes it pokes, and who heeds that sees the change. Otherwise any of the two will do.
  return time_point{std::chrono::nanoseconds{node.deadline.load(std::memory_order_relaxed)}};
}

/// @returns what `state` is then; whether we have set it is seen by `reason` alone if nobody else gives that
std::uint64_t set_cancelled(scope_node& node, cancel_reason reason, bool& first) noexcept {
  static std::atomic<std::uint64_t> last{0};
  auto const id = (last.fetch_add(1, std::memory_order_relaxed) << 1U) + 1;  // relaxed: it need only be unique
  std::uint64_t seen = 0;
  auto const state = id << 3U | static_cast<std::uint64_t>(reason);
  // release: publishes what the canceller did to who sees it. acquire: what another did who came first. seq_cst: it is
  // set before the look for a stop relay, which looks at it when it has been made: one of the two sees the other.
  first = node.state.compare_exchange_strong(seen, state, std::memory_order_seq_cst, std::memory_order_acquire);
  return first ? state : seen;
}

/// Something has changed somewhere in the chain: from now on each wait looks at it.
void heed_poke(wait_context const& who) noexcept {
  who.ticket->heed_poke(*who.innermost != nullptr);
  // `look` may be set for any of the outer ones: it stays when an inner one is left.
  for (scope_node* node = *who.innermost; node != nullptr; node = node->outer)
    node->outer_looks = node->outer != nullptr;
}

class segment_lock {
public:
  explicit segment_lock(scope_segment& of) noexcept : lock_(of.lock) {
    // acquire: pairs with the destructor. Held for a few instructions.
    for (unsigned turn = 0; lock_.test_and_set(std::memory_order_acquire); ++turn) std_atomics::pause(turn);
  }
  segment_lock(segment_lock const&) = delete;
  ~segment_lock() { lock_.clear(std::memory_order_release); }

private:
  std::atomic_flag& lock_;
};

}  // namespace

// Never inlined and opaque, as current_worker() is: only what belongs to a fiber may be kept over a wait.
WEFT_UNINSTRUMENTED [[gnu::noinline]] wait_context current_context() noexcept {
  asm volatile("" ::: "memory");
  fiber_record* const self = current_fiber();
  if (self == nullptr) return {&context_of_thread.ticket, nullptr, &context_of_thread.innermost};
  return {&self->ticket, self, &self->place->scopes};
}

[[gnu::noinline]] wait_ticket& ticket_of_thread() noexcept {
  asm volatile("" ::: "memory");
  return context_of_thread.ticket;
}

// ---------------------------------------------------------------------------------------------------------------------
// The chain
// ---------------------------------------------------------------------------------------------------------------------

void enter_scope(scope_node& node) noexcept {
  auto const here = current_context();
  scope_node* const outer = *here.innermost;
  node.outer = outer;
  node.ticket = here.ticket;
  node.fiber = here.fiber;
  node.segment = outer != nullptr ? outer->segment : nullptr;
  if (node.segment != nullptr) node.segment->had_scopes = true;
  node.uncaught = std::uncaught_exceptions();
  node.outer_looks = here.ticket->looks();
  *here.innermost = &node;
  if (node.outer_looks || (node.what == scope_node::kind::scope && deadline_of(node) == never)) return;
  here.ticket->set_look();
}

void leave_scope(scope_node& node) noexcept {
  auto const here = current_context();
  if (*here.innermost != &node) [[unlikely]] {
    fatal(node.what == scope_node::kind::shield
              ? "a cancel_shield is left on another fiber or thread than the one that entered it, or not in order: it "
                "must be a local variable"
              : "a cancel_scope is left on another fiber or thread than the one that entered it, or not in order: it "
                "must be a local variable");
  }
  *here.innermost = node.outer;
  if (!node.outer_looks && here.ticket->looks()) here.ticket->clear_look();
}

void attach(scope_segment& segment, int uncaught) noexcept { attach(current_context(), segment, uncaught); }

void attach_with_scopes(wait_context here, scope_segment& segment) noexcept {
  {
    segment_lock const lock{segment};
    segment.ticket = here.ticket;
    segment.fiber = here.fiber;
  }
  if (segment.innermost != nullptr) {
    *here.innermost = segment.innermost;
    // Whatever has happened to the body's scopes meanwhile, and whatever they need, is looked at.
    (void)here.ticket->poke();
  } else {
    *here.innermost = &segment.seam;
    if (segment.seam.uncaught != 0) here.ticket->set_look();
  }
}

void detach(scope_segment& segment) noexcept { detach(current_context(), segment); }

void detach_with_scopes(scope_segment& segment) noexcept {
  segment_lock const lock{segment};
  segment.ticket = nullptr;
}

bool cancel_scope_node(scope_node& node, cancel_reason reason) noexcept {
  if (node.state.load(std::memory_order_relaxed) != 0) return false;  // never again; nothing is read through it
  bool first = false;
  (void)set_cancelled(node, reason, first);
  if (first) poke_context(node);
  return first;
}

void cancel_unentered(scope_node& node, cancel_reason reason) noexcept {
  bool first = false;
  (void)set_cancelled(node, reason, first);
}

bool is_away_from(scheduler const& home, scope_node const& node) noexcept {
  if (node.segment == nullptr) return false;
  segment_lock const lock{*node.segment};
  fiber_record const* const runs_for = node.segment->ticket != nullptr ? node.segment->fiber : nullptr;
  return runs_for == nullptr || runs_for->home != &home;
}

void poke_context(scope_node& node) noexcept {
  if (node.segment == nullptr) return poke(*node.ticket, node.fiber, placement::back);
  segment_lock const lock{*node.segment};
  if (node.segment->ticket != nullptr) poke(*node.segment->ticket, node.segment->fiber, placement::back);
}

void poke(wait_ticket& ticket, fiber_record* fiber, placement where) noexcept {
  bool const runnable = ticket.poke();
  if (fiber == nullptr) return wake_thread(&ticket.word());
  if (runnable) make_runnable(*fiber, where);
}

// ---------------------------------------------------------------------------------------------------------------------
// What counts for a wait
// ---------------------------------------------------------------------------------------------------------------------

namespace {

/// Calls `f` for each scope that counts, from the inside to the outside.  @returns whether the task's own does, too
template <class F>
bool for_each_effective(wait_context const& who, F&& f) noexcept {
  int uncaught = std::uncaught_exceptions();
  for (scope_node* node = *who.innermost; node != nullptr; node = node->outer) {
    if (node->what == scope_node::kind::seam) {
      if (uncaught > 0) return false;  // all outside was entered before the body threw
      uncaught = node->uncaught;
      continue;
    }
    if (node->what == scope_node::kind::shield || node->uncaught < uncaught) return false;
    f(*node);
  }
  return uncaught == 0 && who.fiber != nullptr;
}

}  // namespace

scope_survey survey_scopes(wait_context const& caller, survey_clock reads) noexcept {
  if (caller.ticket->poked()) heed_poke(caller);
  scope_survey found;
  time_point present{};
  found.own = for_each_effective(caller, [&](scope_node& node) {
    found.any = true;
    // acquire: pairs with set_cancelled().
    auto state = node.state.load(std::memory_order_acquire);
    auto const deadline = state == 0 ? deadline_of(node) : never;
    if (deadline != never) {
      if (present == time_point{}) {
        present = reads == survey_clock::last_reading ? current_worker()->last_now()
                                                      : deadline_after(std::chrono::nanoseconds{0});
      }
      bool first = false;
      if (deadline <= present) {
        state = set_cancelled(node, cancel_reason::deadline, first);
        // relaxed: we wrote it.
        if (auto* const relay = node.relay.load(std::memory_order_relaxed); first && relay != nullptr)
          tell_of_deadline(*relay);
      } else {
        found.limit = std::min(found.limit, deadline);
      }
    }
    if (state != 0) found.cancelled = state;
  });
  if (!found.own) return found;
  found.any = true;
  if (caller.ticket->cancel_requested()) {
    found.cancelled = own_scope_id(caller.fiber->id) << 3U | static_cast<std::uint64_t>(caller.ticket->reason());
  }
  return found;
}

time_point earliest_deadline(wait_context const& caller) noexcept {
  auto earliest = never;
  (void)for_each_effective(caller, [&](scope_node const& node) { earliest = std::min(earliest, deadline_of(node)); });
  return earliest;
}

void throw_cancelled(scope_survey const& found) {
  throw cancelled_access::make(reason_of(found.cancelled), id_of(found.cancelled));
}

namespace {

/// @returns `w`
[[gnu::noinline]] worker* check_cancelled_slowly(worker* w) {
  auto const here = current_context();
  if (!here.ticket->must_look()) return w;
  auto const found = survey_scopes(here);
  if (found.cancelled != 0) throw_cancelled(found);
  return w;
}

[[gnu::noinline]] basic_biased_lock<>::entry check_cancelled_slowly_and_enter(basic_biased_lock<>& lock, worker* w) {
  return lock.enter(check_cancelled_slowly(w));
}

/// Whether a cancellation point on worker `w` has something to look at. Not between fibers: what a guest's thread calls
/// there is not the work of whoever drives it, and may be cancelled.
[[gnu::always_inline]] inline bool must_look_on(worker const* w) noexcept {
  fiber_record const* const self = w != nullptr ? w->current.get() : nullptr;
  return self != nullptr ? self->ticket.must_look() : w == nullptr;
}

}  // namespace

[[gnu::noinline]] worker* check_cancelled() {
  worker* const w = entry_worker();
  if (must_look_on(w)) [[unlikely]]
    return check_cancelled_slowly(w);
  return w;
}

[[gnu::noinline]] basic_biased_lock<>::entry check_cancelled_and_enter(basic_biased_lock<>& lock) {
  worker* const w = entry_worker();
  if (must_look_on(w)) [[unlikely]]
    return check_cancelled_slowly_and_enter(lock, w);
  return lock.enter(w);
}

void check_cancelled_in_passing() {
  auto const found = survey_scopes(current_context(), survey_clock::last_reading);
  if (found.cancelled != 0) throw_cancelled(found);
}

void throw_cancelled() {
  auto const found = survey_scopes(current_context());
  if (found.cancelled != 0) throw_cancelled(found);
  throw cancelled{cancel_reason::user};  // a wait that was ended as cancelled by who had no right to
}

bool is_from_enclosing_scope(cancelled const& c) noexcept {
  auto const id = cancelled_access::scope(c);
  if (id == 0) return false;
  auto const here = current_context();
  if (here.fiber != nullptr && id == own_scope_id(here.fiber->id)) return here.ticket->cancel_requested();
  for (scope_node const* node = *here.innermost; node != nullptr; node = node->outer) {
    if (id_of(node->state.load(std::memory_order_acquire)) == id) return true;
  }
  return false;
}

}  // namespace weft::inline v0::detail
