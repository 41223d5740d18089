#include "aside_join.hpp"
#include "fatal.hpp"
#include "fiber_text.hpp"
#include "fork_guard.hpp"
#include "no_suspend.hpp"
#include "record_pool.hpp"
#include "scheduler.hpp"
#include "scopes.hpp"
#include "task_end.hpp"
#include "worker.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/end_watch.hpp>
#include <weft/runtime/detail/task_record.hpp>
#include <weft/runtime/detail/wait_graph.hpp>
#include <weft/runtime/error.hpp>

#include <algorithm>
#include <mutex>
#include <string>
#include <system_error>

namespace weft::inline v0::detail {

void report_unhandled(fiber_record const& fiber, std::exception_ptr const& error) noexcept {
  auto* const pool = record_pool::of(&fiber);
  char const* const given = fiber.name();
  std::string_view const name = given != nullptr ? given : "";
  try {
    auto const site = spawn_site(fiber);
    auto const place = site.empty() ? std::string{} : "spawned at " + site;
    auto const task = std::string(name).append(name.empty() || site.empty() ? "" : ", ").append(place);
    pool->report_unhandled(error, task, type_of_callable(*fiber.type));
  } catch (std::bad_alloc const&) {
    pool->report_unhandled(error, name);
  }
}

namespace {

/// Whether the exception is the task's own cancellation, which is no failure.
bool is_own_cancellation(fiber_record const& record, std::exception_ptr const& error) noexcept {
  if (!record.ticket.cancel_requested()) return false;
  if (record.cancelled_unstarted) return true;
  try {
    std::rethrow_exception(error);
  } catch (cancelled const& c) {
    return cancelled_access::scope(c) == own_scope_id(record.id);
  } catch (...) {
    return false;
  }
}

}  // namespace

bool ended_in_failure(fiber_record const& record) noexcept {
  return record.error && !is_own_cancellation(record, record.error);
}

namespace {

[[gnu::noinline, gnu::cold]] void report_uncollected(fiber_record& record) noexcept {
  if (is_own_cancellation(record, record.error)) return;
  report_unhandled(record, record.error);
}

/// The second of handle and fiber is done with the record.
[[gnu::always_inline]] inline void free_record(fiber_record& record) noexcept {
  if (record.error && !record.collected) [[unlikely]]
    report_uncollected(record);
  if (auto* const extras = record.extras.load(std::memory_order_relaxed); extras != nullptr) [[unlikely]]
    extras_deleter{}(extras);
  auto const size_class = record.size_class;
  if (record.type->destroy != nullptr) {
    record.type->destroy(record);
  } else {
    record.~fiber_record();
  }
  discard_record(&record, size_class);
}

/// Those who are listed when a task ends: wakes who waits, and keeps the callbacks for later.
struct end_listeners {
  end_callback* callbacks = nullptr;
  end_callback** last = &callbacks;

  end_listeners() = default;
  end_listeners(end_listeners const&) = delete;
  void operator()(wait_node& node) noexcept {
    if (node.owner != nullptr) {
      (void)node.owner->notify(placement::joiner);
    } else if (auto& callback = static_cast<end_callback&>(node); !callback.told()) {
      *last = &callback;
      last = &callback.next_callback;
    }
  }
};

void call_end_callbacks(end_callback* list, record_pool* pool) noexcept {
  while (list != nullptr) {
    end_callback& callback = *std::exchange(list, list->next_callback);
    context_scope const of_who_registered{std::move(callback.context)};
    try {
      callback.call();
    } catch (...) {
      pool->report_unhandled(std::current_exception(), "on_done callback");
    }
  }
}

}  // namespace

void end_task_slowly(fiber_record& record) noexcept {
  auto* const pool = record_pool::of(&record);
  end_listeners listeners;
  if (task_end::finish(record.end, listeners)) free_record(record);
  call_end_callbacks(listeners.callbacks, pool);
}

bool settle_result(fiber_record& record, stack& on, scheduler& home) noexcept {
  // Before the lock is held: who walks along the live fibers, and is waited for, may take it.
  record_pool::set_dead(record);
  home.note_end();
  if (task_end::hold(record.end)) return true;
  record_pool::set_live(record);
  record.type->drop_result(record);
  if (record.leaves_things) leave_things(on);
  return false;
}

void end_held_task(fiber_record& record) noexcept {
  auto* const pool = record_pool::of(&record);
  end_listeners listeners;
  task_end::finish_held(record.end, listeners);
  call_end_callbacks(listeners.callbacks, pool);
}

namespace {

[[gnu::noinline]] bool join_slowly(fiber_record& fiber, bool on_worker, fiber_record* self, time_point deadline,
                                   cancellation mode);
bool may_step_aside(worker const& on, fiber_record const& self, cancellation mode) noexcept;

/// Walks along the joins from one fiber to the next. Who stops joining, and may then free what it joined, waits while
/// somebody walks.
class join_chain {
public:
  /// Notes that `self` is about to park for `target`.  @returns true if that closes a circle
  [[nodiscard]] static bool enter(fiber_record& self, fiber_record& target) noexcept {
    // seq_cst: of two fibers that close a circle at once, each writes its own link and then reads the other's: one of
    // them sees both.
    self.joins.store(&target, std::memory_order_seq_cst);
    if (target.joins.load(std::memory_order_seq_cst) == nullptr) return false;
    // seq_cst here and in leave(): the walker counts itself and then reads links; who leaves clears its link and then
    // reads the count. Either the link is gone for the walker, or the walker is seen.
    walkers_.fetch_add(1, std::memory_order_seq_cst);
    bool circle = false;
    unsigned steps = 0;
    for (auto* at = &target; at != nullptr && !circle && steps < longest; ++steps) {
      at = at->joins.load(std::memory_order_seq_cst);
      circle = at == &self;
    }
    walkers_.fetch_sub(1, std::memory_order_release);  // pairs with leave()
    return circle;
  }

  /// The id of the fiber for which `self` is parked; 0: none. On any thread, while `self` cannot end.
  [[nodiscard]] static std::uint64_t joined_by(fiber_record const& self) noexcept {
    if (self.joins.load(std::memory_order_relaxed) == nullptr) return 0;  // a hint, to save the rest
    walkers_.fetch_add(1, std::memory_order_seq_cst);                     // as in enter()
    auto const* const target = self.joins.load(std::memory_order_seq_cst);
    auto const id = target != nullptr ? target->id : 0;
    walkers_.fetch_sub(1, std::memory_order_release);
    return id;
  }

  static void leave(fiber_record& self) noexcept {
    self.joins.store(nullptr, std::memory_order_seq_cst);
    // A walk takes nanoseconds, unless the walker has lost its CPU.
    for (unsigned turn = 0; walkers_.load(std::memory_order_seq_cst) != 0; ++turn) std_atomics::pause(turn);
  }

private:
  static constexpr unsigned longest = 10'000;  // more is no circle that anyone wrote
  alignas(cache_line) inline static std::atomic<unsigned> walkers_{0};
};

}  // namespace

std::uint64_t joined_by(fiber_record const& fiber) noexcept { return join_chain::joined_by(fiber); }

void end_unstarted(fiber_record& record) noexcept {
  if (record.ticket.refused()) return fail_task(record);
  auto const& never_run = record.home->never_run;
  record.cancelled_unstarted = true;
  record.type->run(record, &never_run.by_cancellation(record.ticket.reason()));
}

void fail_task(fiber_record& record) noexcept {
  auto const& never_run = record.home->never_run;
  (void)record.ticket.start();  // the edge from who spawned it
  bool const cancelled = record.ticket.cancel_requested();
  record.cancelled_unstarted = cancelled;
  std::exception_ptr other_size;
  if (!cancelled && record.stack_class != record.home->default_stack_class && prepared_errors::has_room()) {
    try {
      other_size = prepared_errors::no_stack(record.stack_class);
    } catch (std::bad_alloc const&) {  // NOLINT: the general one must do
    }
  }
  auto const& why = cancelled    ? never_run.by_cancellation(record.ticket.reason())
                    : other_size ? other_size
                                 : never_run.by_lack_of_stack();
  record.type->run(record, &why);
}

namespace {

[[noreturn, gnu::noinline, gnu::cold]] void refuse_spawn(scheduler const* home) {
  check_not_forked();
  if (home == nullptr) throw no_runtime("weft::spawn: not called on a fiber; use runtime::spawn, or weft::run");
  throw runtime_stopped("weft: the runtime '" + home->options.name + "' is shutting down and takes no new fibers");
}

}  // namespace

namespace {

/// A function of its own, like others below to which a caller goes over at its end: so the caller needs no frame.
[[gnu::noinline]] reserved_record reserve_slowly(worker* w, std::size_t size) {
  if (w == nullptr || w->current == nullptr) refuse_spawn(nullptr);
  if (w->home.entrance.closed()) refuse_spawn(&w->home);
  reserved_record reserved{nullptr, w};
  {
    under_identity const scheduler_code{w->identity};
    reserved.memory = w->records.take(size);
  }
  sanitizer_acquire(reserved.memory);
  return reserved;
}

}  // namespace

[[gnu::noinline]] reserved_record reserve_record(std::size_t size) {
  worker* const w = entry_worker();
  if (w == nullptr || w->current == nullptr || w->home.entrance.closed()) [[unlikely]]
    return reserve_slowly(w, size);
  void* at_hand = nullptr;
  {
    under_identity const scheduler_code{w->identity};
    at_hand = w->records.take_at_hand(size);
  }
  if (at_hand == nullptr) [[unlikely]]
    return reserve_slowly(w, size);
  sanitizer_acquire(at_hand);
  return {at_hand, w};
}

void* reserve_record(scheduler* home, std::size_t size, std::size_t stack_size) {
  if (stack_size != 0) (void)stack_pool::class_of(stack_size);
  if (home == nullptr) return reserve_record(size).memory;
  if (home->entrance.closed()) refuse_spawn(home);
  worker* const w = current_worker();
  if (w == nullptr || &w->home != home) return home->records->take_one(size);
  void* memory = nullptr;
  {
    under_identity const scheduler_code{w->identity};
    memory = w->records.take(size);
  }
  sanitizer_acquire(memory);
  return memory;
}

namespace {

[[gnu::always_inline]] inline void discard(void* memory, std::uint8_t size_class) noexcept {
  worker* const w = entry_worker();
  auto* const pool = record_pool::of(memory);
  if (w == nullptr || !w->records.is_of(pool)) [[unlikely]]
    return pool->give_one(memory, size_class);
  sanitizer_release(memory);
  under_identity const scheduler_code{w->identity};
  w->records.give(memory, size_class);
}

}  // namespace

[[gnu::noinline]] void discard_record(void* memory, std::uint8_t size_class) noexcept { discard(memory, size_class); }

namespace {

void prepare(fiber_record& record, scheduler& home) noexcept {
  record.home = &home;
  record.ticket.publish();
  record_pool::set_live(record);
}

/// @returns the new fiber's id: they come in blocks of 2^16 for each worker, and there are as many as it has spawned
std::uint64_t count_spawn(worker& w) noexcept {
  under_identity const scheduler_code{w.identity};
  constexpr std::uint64_t block = 1U << 16U;
  auto const before = door::add_one(w.spawned);
  if ((before & (block - 1)) == 0) [[unlikely]]
    w.ids_ahead = scheduler::next_ids.fetch_add(1, std::memory_order_relaxed) * block - before;
  return w.ids_ahead + before;
}

}  // namespace

namespace {

[[gnu::always_inline]] inline void enrol(fiber_record& record, worker& w) noexcept {
  scheduler& home = w.home;
  record.stack_class = home.default_stack_class;
  record.parent = w.current->id;
  record.id = count_spawn(w);
  prepare(record, home);
}

[[gnu::always_inline]] inline void submit_here(fiber_record& record, worker* w) noexcept {
  enrol(record, *w);
  under_identity const scheduler_code{w->identity, &record};
  w->enqueue_new(record);
}

/// Discards the record if there is no memory for them.
void give_extras(fiber_record& record, worker const& w, spawn_options const* options, void const* site) {
  try {
    auto extras = extras_for_spawn(w.home, options, site);
    record.set_extras(extras.release());
  } catch (...) {
    discard_record(&record, record.size_class);
    throw;
  }
}

/// A function of its own, to which submit_heir() goes over: it need not save registers for a call.
[[gnu::noinline, gnu::cold]] void submit_with_extras(fiber_record& record, worker* w, void const* site) {
  give_extras(record, *w, nullptr, site);
  submit_here(record, w);
}

}  // namespace

void submit(fiber_record& record, worker* w) noexcept { submit_here(record, w); }

void submit_heir(fiber_record& record, worker* w) {
  // In debug mode every fiber has extras, so this one look is enough for both.
  if (w->current->extras.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
    return submit_with_extras(record, w, __builtin_return_address(0));
  submit_here(record, w);
}

void submit_heir(fiber_record& record, worker* w, spawn_options const& options) {
  fiber_record& self = *w->current;
  if (self.extras.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
    give_extras(record, *w, &options, __builtin_return_address(0));
  if (options.detached) (void)record.end.try_set_flags(0, fiber_record::detached);
  if (options.start != start::eager) return submit_here(record, w);
  enrol(record, *w);
  worker::run_eagerly(w, self, record);
}

void submit(fiber_record& record, scheduler* home, spawn_options const& options,
            void (*prepared)(fiber_record&) noexcept) noexcept {
  worker* w = current_worker();
  bool const inside = w != nullptr && (home == nullptr || &w->home == home);
  if (inside) home = &w->home;
  record.stack_class = options.stack_size != 0 ? stack_pool::class_of(options.stack_size) : home->default_stack_class;
  fiber_record* const self = inside ? w->current.get() : nullptr;
  if (self != nullptr) record.parent = self->id;
  if (options.detached) (void)record.end.try_set_flags(0, fiber_record::detached);
  record.id = inside ? count_spawn(*w) : home->next_ids.fetch_add(1, std::memory_order_relaxed) << 16U;
  prepare(record, *home);
  if (prepared != nullptr) prepared(record);
  if (!inside) {
    home->entrance.note_begin();
    home->make_runnable_from_outside(record);
    return;
  }
  if (options.start != start::eager || self == nullptr) {
    under_identity const scheduler_code{w->identity, &record};
    w->enqueue(record, placement::back);
    return;
  }
  worker::run_eagerly(w, *self, record);
}

void add_end_callback_node(fiber_record& record, std::unique_ptr<end_callback> callback) {
  callback->context = context_ref::current();
  end_callback* const node = callback.release();
  if (!task_end::enlist(record.end, *node)) call_end_callbacks(node, record_pool::of(&record));
}

bool enlist_for_end(fiber_record& record, end_callback& node) noexcept {
  return task_end::enlist(record.end, static_cast<wait_node&>(node));
}

void withdraw_from_end(fiber_record& record, end_callback& node) noexcept {
  task_end::withdraw(record.end, static_cast<wait_node&>(node));
}

void cancel(fiber_record& fiber, cancel_reason reason) noexcept {
  if (fiber.ticket.request_cancel(reason) == wait_ticket::outcome::runnable) make_runnable(fiber, placement::back);
  if (fiber.ticket.relays()) [[unlikely]] {
    wait_list::section const list{fiber.end};
    list.for_each([reason](wait_node& node) {
      if (node.owner == nullptr) static_cast<end_callback&>(node).relay(reason);
    });
  }
}

void release_handle(fiber_record& fiber) noexcept {
  // Its worker, which is not there, may have been at the last step of one that has not ended.
  if (fork_watch::in_child() && !task_end::has_ended(fiber.end)) return;
  if (task_end::let_go(fiber.end)) free_record(fiber);
}

namespace {

[[gnu::noinline]] bool join_ended() {
  check_cancelled();
  return true;
}

[[gnu::noinline]] bool join_unended(fiber_record& fiber, worker* on, time_point deadline, cancellation mode) {
  fiber_record* const self = on != nullptr ? on->current.get() : nullptr;
  if (self != nullptr && deadline == never && may_step_aside(*on, *self, mode))
    return worker::join(on, *self, fiber, mode);
  return join_slowly(fiber, on != nullptr, self, deadline, mode);
}

}  // namespace

[[gnu::noinline]] bool join(fiber_record& fiber, time_point deadline, cancellation mode) {
  worker* const on = entry_worker();
  if (!task_end::has_ended(fiber.end)) return join_unended(fiber, on, deadline, mode);
  if (mode == cancellation::ignored) return true;
  fiber_record* const self = on != nullptr ? on->current.get() : nullptr;
  if (self == nullptr || self->ticket.must_look()) [[unlikely]]
    return join_ended();
  return true;
}

namespace {

[[noreturn, gnu::cold]] void refuse_join(char const* why) {
  throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur), why);
}

}  // namespace

void aside_join::open() noexcept {
  opened_ = true;
  sanitizer_release(&self_);
  bool const heeds = mode_ == cancellation::heeded && self_.exceptions.uncaught == 0;
  auto const wait = self_.ticket.begin(heeds);
  if (!wait) {
    refused_ = true;
    return make_runnable(self_, placement::back);
  }
  // seq_cst, as in join_chain::enter(), for the fiber that is about to write its own link: who closes a circle at the
  // same time, and is not seen by it, must see both.
  self_.joins.store(&fiber_, std::memory_order_seq_cst);
  ::new (&waiter_) waiter("task", self_, wait);
  if (worker* const w = current_worker(); w != nullptr) {
    under_identity const scheduler_code{w->identity};
    self_.waits_since = w->last_milliseconds();
  }
  self_.waits_for.store("task", std::memory_order_relaxed);  // for snapshots
  ::new (&node_) wait_node(waiter_);
  // The fiber may itself have stepped aside, and its wait been opened just before: where that was cancelled, it may
  // have gone on elsewhere, and ended.
  if (!task_end::enlist(fiber_.end, node_)) (void)self_.ticket.notify(wait, wake_cause::notified);
  if (!self_.ticket.park(wait)) make_runnable(self_, placement::back);
}

bool aside_join::finish_opened() {
  if (refused_) return false;
  auto const cause = waiter_.end_wait(never);
  join_chain::leave(self_);
  if (cause == wake_cause::notified) {
    fiber_.end.wait_unlocked();  // by end_task(), which touches it last
    return true;
  }
  task_end::withdraw(fiber_.end, node_);
  waiter_.rethrow(cause);
  return true;
}

namespace {
/// On the fiber or, while that is suspended, on its worker: no edge between the two. (See sanitizers.hpp.)
WEFT_UNINSTRUMENTED aside_join* take_aside(fiber_record& of) noexcept {
  if (!of.joiner_aside) return nullptr;
  aside_join* const join = of.aside;
  of.joiner_aside = false;
  of.next = nullptr;
  return join;
}
}  // namespace

void open_aside_join(fiber_record& fiber) noexcept {
  if (fiber.home->options.debug) [[unlikely]]
    refuse_suspension(fiber);  // see no_suspend.hpp
  // The joiner may itself be one for whom another has stepped aside, and so on. Each is read before the one below it is
  // opened, for then it may run.
  for (aside_join* join = take_aside(fiber); join != nullptr;) {
    aside_join* const above = take_aside(join->joiner());
    join->open();
    join = above;
  }
}

namespace {

/// Not where the wait has scopes to look at: a deadline, say, needs a timer. That goes for a wait in a destructor, too,
/// where exceptions in flight decide which of them count.
bool may_step_aside(worker const& on, fiber_record const& self, cancellation mode) noexcept {
  if (mode == cancellation::ignored) return true;
  return !self.ticket.must_look() && (self.place->scopes == nullptr || on.exceptions()->uncaught == 0);
}

/// Waits in line.  @returns whether the fiber has ended; otherwise `deadline` has passed
bool wait_for_end(fiber_record& fiber, fiber_record* self, time_point deadline, cancellation mode) {
  waiter w{"task", mode};
  wait_node node{w};
  if (!task_end::enlist(fiber.end, node)) return true;
  // Who has stepped aside for us is shown to wait for us, or a circle through it would not be seen.
  if (self != nullptr && self->joiner_aside) open_aside_join(*self);
  bool const circle = self != nullptr && join_chain::enter(*self, fiber);
  noted_wait noted;
  if (!circle) noted.for_task(fiber, deadline, w);
  auto const cause = circle ? wake_cause::timed_out : w.wait(deadline);
  if (self != nullptr) join_chain::leave(*self);
  if (cause == wake_cause::notified) {
    fiber.end.wait_unlocked();  // by end_task(), which touches the record last
    return true;
  }
  task_end::withdraw(fiber.end, node);
  if (circle) refuse_join("weft::task: tasks wait for each other in a circle");
  w.rethrow(cause);
  return task_end::has_ended(fiber.end);
}

/// On a plain thread, which runs the guest whose fiber it is, if it is a guest's. A moment at a time: the thread's
/// scopes may be cancelled meanwhile, and whoever runs the guest now may leave it to us.
bool join_on_thread(fiber_record& fiber, time_point deadline, cancellation mode) {
  for (;;) {
    auto const present = clock::now();
    auto slice = std::min(deadline, add(present, guest_slice));
    // One that has passed, and is still there, does not count while an exception unwinds.
    if (auto const of_scopes = current_deadline(); of_scopes > present) slice = std::min(slice, of_scopes);
    switch (drive_guest_of(fiber, slice)) {
      case guest_turn::none: return wait_for_end(fiber, nullptr, deadline, mode);
      case guest_turn::taken:
        if (wait_for_end(fiber, nullptr, slice, mode)) return true;
        break;
      case guest_turn::had: break;
    }
    if (task_end::has_ended(fiber.end)) return true;
    if (mode == cancellation::heeded) check_cancelled();
    if (deadline <= clock::now()) return false;
  }
}

bool join_slowly(fiber_record& fiber, bool on_worker, fiber_record* self, time_point deadline, cancellation mode) {
  if (self == &fiber) refuse_join("weft::task: a task waits for itself");
  bool const looks = deadline != never && deadline <= deadline_after(std::chrono::nanoseconds{0});
  if (looks || !on_worker) {
    check_not_forked();
    if (mode == cancellation::heeded) check_cancelled();
  }
  if (looks) return false;
  return on_worker ? wait_for_end(fiber, self, deadline, mode) : join_on_thread(fiber, deadline, mode);
}

}  // namespace

bool join_by_waiting(fiber_record& fiber, fiber_record& self, cancellation mode) {
  if (self.joiner_aside) {
    self.waits_for.store(aside_join::reason, std::memory_order_relaxed);  // in case that this is refused
    open_aside_join(self);                                                // which shows the link above us to join_chain
    self.waits_for.store(nullptr, std::memory_order_relaxed);
  }
  return join_slowly(fiber, true, &self, never, mode);
}

namespace {

/// @returns false if the fiber cannot be waited for, and must be let go
[[gnu::noinline]] bool join_shielded(fiber_record& fiber) noexcept {
  if (fork_watch::in_child()) return false;  // it will never end here
  try {
    if (current_fiber() == &fiber) {
      throw error("a task's handle died on the task's own fiber: it has been detached");
    }
    return join(fiber, never, cancellation::ignored);
  } catch (...) {
    // That, or a circle of joins: whoever closes it lets its task go, and all of them can end. (Or there was no memory
    // to say so.)
    report_unhandled(fiber, std::current_exception());
    return false;
  }
}

/// Whether there is nothing to destroy in a record that has ended, nor to report.
bool is_bare(fiber_record const& record) noexcept {
  return !record.error && record.extras.load(std::memory_order_relaxed) == nullptr && record.type->destroy == nullptr;
}

[[gnu::noinline]] void cancel_and_join_slowly(fiber_record& fiber) noexcept {
  if (!task_end::has_ended(fiber.end)) {
    if (!fork_watch::in_child()) cancel(fiber, cancel_reason::handle_dropped);
    if (!join_shielded(fiber)) [[unlikely]]
      return release_handle(fiber);
  }
  free_record(fiber);
}

}  // namespace

// Not inlined: see entry_worker().
[[gnu::noinline]] void cancel_and_join(fiber_record& fiber) noexcept {
  if (!task_end::has_ended(fiber.end) || !is_bare(fiber)) return cancel_and_join_slowly(fiber);
  discard(&fiber, fiber.size_class);
}

void join_and_release(fiber_record& fiber) noexcept {
  if (!task_end::has_ended(fiber.end) && !join_shielded(fiber)) [[unlikely]]
    return release_handle(fiber);
  free_record(fiber);
}

}  // namespace weft::inline v0::detail
