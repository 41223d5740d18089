#include "worker.hpp"

#include "aside_join.hpp"
#include "coarse_clock.hpp"
#include "exceptions.hpp"
#include "fatal.hpp"
#include "floating_point.hpp"
#include "fork_guard.hpp"
#include "generator_body.hpp"
#include "scheduler.hpp"
#include "task_end.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace weft::inline v0::detail {

// gcc goes by what the definition says, not the declaration.
[[gnu::tls_model("initial-exec")]] constinit thread_local worker* this_worker = nullptr;

namespace {

static_assert(alignof(worker) % 64 == 0, "a channel's lock keeps bits beside the address: see biased_lock.hpp");

/// 0.5 to 2 ms, at 1 to 4 GHz, which is how fast time-stamp counters count.
constexpr std::uint64_t longest_without_tick = 2'000'000;

/// 4 to 16 us: 64 switches may take less, and for a tick a fiber has to wait the long way.
constexpr std::uint64_t shortest_without_tick = 16'000;

/// 1 to 4 us: 64 switches may take less, and to read the clock takes as long as a few of them.
constexpr std::uint64_t shortest_unexpired = 4'000;

/// 25 to 100 us: a look in the loop is a system call, and 64 switches may take less than one.
constexpr std::uint64_t longest_unpolled = 100'000;

/// From the worker's identity, which resumes it, to the fiber's.
[[maybe_unused]] WEFT_UNINSTRUMENTED void go_on_as(fiber_record& fiber) noexcept {
  sanitizer_thread::watch_accesses();
  fiber.place->identity.enter();
  sanitizer_acquire(&fiber);
  // One thread at a time runs a guest's fibers, and ever will: what they do to each other comes in their order. (All
  // who leave a worker release this.)
  if (fiber.home->options.guest) sanitizer_acquire(fiber.home);
}

/// By one load and one store, padding included. All copies are made so: a load that is wider than the stores just made
/// has to wait until those have reached the cache.
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void copy_whole(exception_state& to,
                                                                  exception_state const& from) noexcept {
  __builtin_memcpy(static_cast<void*>(&to), &from, sizeof(exception_state));
}

WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void clear_whole(exception_state& what) noexcept {
  __builtin_memset(static_cast<void*>(&what), 0, sizeof(exception_state));
}

/// Where `fiber` goes on.
[[maybe_unused]] WEFT_UNINSTRUMENTED stack_bounds bounds_of(fiber_record const& fiber) noexcept {
  return bounds_of(innermost_stack(*fiber.place));
}

}  // namespace

WEFT_UNINSTRUMENTED [[gnu::noinline]] worker* current_worker() noexcept {
  asm volatile("" ::: "memory");  // keeps the function from being found pure, and its calls from being merged
  return this_worker;
}

void worker::bind_thread() noexcept {
  this_worker = this;
  exceptions_ = thread_exceptions();
  identity.adopt_current();
  reset_floating_point();
}

void worker::unbind_thread() noexcept { this_worker = nullptr; }

worker::worker(scheduler& home_, std::uint16_t index_)
    : home(home_),
      index(index_),
      records(*home_.records),
      stacks(home_.stacks),
      migrates_(home_.options.order == scheduling::forced_migration),
      in_order_(home_.options.order == scheduling::fifo),
      steals_(home_.options.order == scheduling::work_stealing),
      asides_(steals_ && !home_.options.debug),
      random_(0x9E3779B9U * (index_ + 1U)),
      seen_progress_(home_.workers.capacity(), 0),
      stands_in_(index_ >= home_.options.workers) {
  (void)now();
  if (migrates_) ticks_ = 1;
}

void worker::abandon() noexcept {
  current = nullptr;
  steals_ = in_order_ = false;
  home.abandon();
}

/// Whether pick_slowly() would tick. Every so many switches the time decides, which is read here.
[[gnu::always_inline]] inline bool worker::tick_in_sight(std::uint32_t ticks) const noexcept {
  if ((ticks & glance_mask) != 1) [[likely]]
    return false;
  return ticks == 1 || coarse_now() - last_tick_ > longest_without_tick;
}

/// What runs next here, or null. The slot goes first; then the ring, in order; then what others put aside for us.
/// The commonest case in line: nothing is in the slot, and the time is not to be looked at.
[[gnu::always_inline]] inline fiber_record* worker::pick_in_line() noexcept {
  auto const ticks = ticks_.get();
  bool const plain = (ticks & glance_mask) != 1 && slot_.look() == nullptr && returning.empty() &&
                     (ring_.has_leased() || ring_.lease());
  if (!plain) [[unlikely]]
    return pick_slowly();
  fiber_record* const fiber = ring_.take_leased();
  if (fiber == nullptr) [[unlikely]]
    return pick_slowly();
  ticks_ = ticks - 1;
  slot_turns_ = 0;
  return fiber;
}

/// Whether what runs next here is what is in the slot, and nothing else is to be seen to.
[[gnu::always_inline]] inline bool worker::slot_is_next() const noexcept {
  fiber_record const* const waiting = slot_.look();
  return waiting != nullptr && waiting != joiner_ && slot_turns_ < slot_turns && returning.empty() &&
         !tick_in_sight(ticks_);
}

/// Where slot_is_next() says no: that the slot has had its turns, or the time is to be looked at, and nothing would
/// come of it. That would cost a whole wait, in place of one that is in line. Nobody is kept waiting: where the ring is
/// empty the slot comes first in any case, and what is to be looked at in a tick may wait for a few microseconds.
/// @returns whether it was that, and slot_is_next() says yes now
bool worker::slot_goes_on() noexcept {
  if ((slot_turns_ < slot_turns && ticks_ != 1) || slot_.look() == nullptr || migrates_) return false;
  if (slot_turns_ >= slot_turns) {
    if (ring_.size() != 0) return false;
    slot_turns_ = 0;
  }
  if (ticks_ == 1) {
    if (coarse_now() - last_tick_ > shortest_without_tick) return false;
    ticks_ = ticks_between_looks;
  }
  return slot_is_next();
}

/// What runs next here if slot_is_next(), else null.
[[gnu::always_inline]] inline fiber_record* worker::pick_in_slot() noexcept {
  fiber_record* const fiber = slot_is_next() ? slot_.take() : nullptr;
  if (fiber == nullptr) return nullptr;  // or a thief was there first
  ticks_ = ticks_ - 1;
  ++slot_turns_;
  return fiber;
}

fiber_record* worker::pick_next() noexcept { return pick_in_line(); }

[[gnu::noinline]] fiber_record* worker::pick_slowly() noexcept {
  if (in_order_) [[unlikely]]
    return pick_in_order();
  auto const ticks = ticks_.add(-1U);
  if ((ticks & glance_mask) == 0) [[unlikely]] {
    if (ticks == 0 || coarse_now() - last_tick_ > longest_without_tick) {
      fiber_record* const fiber = tick();
      if (look_put_off_) return nullptr;
      leaving_ = last_now() >= leave_at_;
      if (fiber != nullptr && !leaving_) return fiber;
      if (fiber != nullptr) push(*fiber);
    }
    if (leaving_) return nullptr;
  }
  if (slot_turns_ < slot_turns && (slot_.look() != nullptr || !returning.empty())) {
    if (joiner_ != nullptr && slot_.look() == joiner_ && returning.empty()) [[unlikely]] {
      if (fiber_record* const fiber = take_joiners_task()) {
        slot_turns_ = 0;
        return fiber;
      }
    }
    if (fiber_record* const fiber = take_slot()) {
      ++slot_turns_;
      return fiber;
    }
  }
  slot_turns_ = 0;
  fiber_record* const fiber = ring_.take();
  return fiber != nullptr ? fiber : pick_outside_ring();
}

[[gnu::noinline]] fiber_record* worker::pick_outside_ring() noexcept {
  fiber_record* const fiber = take_slot();
  return fiber != nullptr ? fiber : take_from_others();
}

/// The calls come last, so that who ends with this needs no frame.
[[gnu::always_inline]] inline void worker::push_in_line(fiber_record& fiber) noexcept {
  if (!ring_.push_in_room(&fiber)) [[unlikely]]
    return push(fiber);
  if (!about_to_run_) [[likely]]
    home.wake_one();
}

[[gnu::noinline]] void worker::push(fiber_record& fiber) noexcept {
  if (!ring_.push(&fiber)) [[unlikely]]
    overflow(fiber);
  if (!about_to_run_) [[likely]]
    home.wake_one();
}

/// Into the slot; who is there goes to the back of the ring.
[[gnu::always_inline]] inline void worker::put_next(fiber_record& fiber) noexcept {
  if (slot_.look() == nullptr) return slot_.put(&fiber);
  if (fiber_record* const pushed_out = slot_.replace(&fiber)) push(*pushed_out);
}

/// Where nobody sleeps who could be called for help.
[[gnu::always_inline]] inline bool worker::put_woken(fiber_record& fiber, placement where) noexcept {
  bool const plain = where == placement::next && slot_.look() == nullptr && steals_ && !fiber.pinned &&
                     !home.idle.wanted();
  if (plain) slot_.put(&fiber);
  return plain;
}

[[gnu::noinline]] void make_runnable(fiber_record& fiber, placement where) noexcept {
  worker* const w = entry_worker();
  if (w == nullptr || &w->home != fiber.home) return fiber.home->make_runnable_from_outside(fiber);
  under_identity const scheduler_code{w->identity, &fiber};
  if (w->put_woken(fiber, where)) [[likely]]
    return;
  if (w->current != nullptr) return w->enqueue_woken(fiber, where);
  w->enqueue(fiber, where);
}

/// Who wakes another is often about to wait itself, and this worker then runs the other sooner than a sleeper could be
/// woken, at the price of a system call, to do it. So where that one is next, and a sleeper looks at the neighbours
/// before long in any case, help is called only when the running fiber has stopped and there is more to do. (Tokio
/// never calls for what is in its LIFO slot; Go always does.) Where the running fiber turned out to go on for long, the
/// next few are not put off; where it did not, the next few are not timed, for the clock costs as much as the wake-up.
[[gnu::noinline]] void worker::enqueue_woken(fiber_record& fiber, placement where) noexcept {
  bool const soon = where == placement::next || (where == placement::back && ring_.size() == 0);
  if (!soon || !steals_ || fiber.pinned) [[unlikely]]
    return enqueue(fiber, where);
  if (where == placement::next && slot_.look() == nullptr) [[likely]] {
    slot_.put(&fiber);
  } else if (where == placement::next) {
    put_next(fiber);
  } else if (!ring_.push(&fiber)) [[unlikely]] {
    overflow(fiber);
  }
  if (home.idle.wanted() && !about_to_run_) [[unlikely]]
    help_with_woken();
}

/// The running fiber has woken another, which is next in line here.
[[gnu::noinline]] void worker::help_with_woken() noexcept {
  if (!home.neighbours_watched.load(std::memory_order_relaxed) || help_urgent_ != 0) {
    if (help_urgent_ != 0) --help_urgent_;
    return home.wake_picked();
  }
  help_put_off_ = true;
  if (help_untimed_ == 0) help_put_off_at_ = coarse_now();
}

/// The fiber that woke another is about to be left, and what runs next has been taken.
void worker::call_help_now() noexcept {
  constexpr std::uint64_t long_time = 100'000;            // 25 to 100 us
  constexpr std::uint64_t long_in_batch = 4 * long_time;  // system calls take long at times
  constexpr unsigned for_the_next = 32;
  help_put_off_ = false;
  if (in_batch_) {
    auto const present = coarse_now();
    in_batch_ = help_put_off_ = ring_.size() != 0 && present - help_put_off_at_ <= long_in_batch;
    if (in_batch_ || ring_.size() == 0) {
      help_put_off_at_ = present;
      return;
    }
    help_urgent_ = for_the_next;
  } else if (help_untimed_ != 0) {
    --help_untimed_;
  } else if (coarse_now() - help_put_off_at_ > long_time) {
    help_urgent_ = for_the_next;
  } else {
    help_untimed_ = for_the_next / 2;
  }
  if (ring_.size() != 0) home.wake_one();
}

/// The loop has brought fibers. To wake another worker, and that one's way back to sleep, cost about as much as serving
/// a few messages: a small batch is not shared, unless one of its fibers turns out to go on for long.
void worker::begin_batch() noexcept {
  constexpr std::uint32_t small = 32;
  auto const waiting = ring_.size();
  if ((waiting == 0 && returning.empty()) || !home.idle.wanted()) return;
  if (waiting > small || !returning.empty() || !home.neighbours_watched.load(std::memory_order_relaxed) ||
      help_urgent_ != 0) {
    if (help_urgent_ != 0) --help_urgent_;
    return home.wake_picked();
  }
  in_batch_ = help_put_off_ = true;
  help_put_off_at_ = coarse_now();
}

// ---------------------------------------------------------------------------------------------------------------------
// Switching
// ---------------------------------------------------------------------------------------------------------------------

/// Does for the context that was left what could not be done before its registers were saved. From here on others may
/// run it.
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::settle(void* from, after then) noexcept {
  switch (then) {
    case after::requeue:
      left_->context = from;
      enqueue(*left_, placement::back);
      return;
    case after::requeue_here: {
      fiber_record& left = *left_;
      left.context = from;
      if (!ring_.push_in_room(&left)) [[unlikely]]
        return push(left);
      return home.wake_one();
    }
    case after::park: {
      fiber_record& left = *left_;
      left.context = from;
      if (!left.ticket.park(left_key_)) enqueue(left, placement::back);
      return;
    }
    case after::into_slot:
      left_->context = from;
      slot_.put(left_);
      return;
    case after::step_aside: left_->context = from; return;
    case after::next_in_line:
      left_->context = from;
      enqueue(*left_, placement::next);
      home.wake_one();  // the child may run for long
      return;
    case after::cache_stack:
      left_stack_->context = from;
      sanitizer_acquire(left_stack_);  // from the fiber that was on it, and wrote where the registers are now
      reset_floating_point_of(from);
      stacks.give(left_stack_);
      return;
    case after::nothing: own_context_ = from; return;
  }
}

void worker::arrive(void* from) noexcept { settle(from, then_); }

/// First thing on the context jumped to.
/// @param likely  what is in line for speed. (Not under a sanitizer, whose calls the caller must not contain.)
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::land(void* from, after likely) noexcept {
  if (!sanitized && then_ == likely) [[likely]]
    return settle(from, likely);
  arrive(from);
}

/// Fetches what the next switches will touch. The jump saves the control registers, and that waits for all loads under
/// way: each must be in the cache by then. So a record comes two steps ahead, and what it points to, one.
/// @param lines  of the stack, from where the registers are: what its fiber is about to return through
[[gnu::always_inline]] inline void worker::prefetch_following(std::size_t lines) const noexcept {
  if constexpr (sanitized) return;  // it may read a record that has been taken from us, and given back
  __builtin_prefetch(ring_.peek(1));
  if (!ring_.has_leased()) return;
  auto* const context = static_cast<std::byte const*>(ring_.peek(0)->context);
  for (std::size_t line = 0; line < lines; ++line) __builtin_prefetch(context + line * cache_line);
}

/// Gives `fiber` its stack.
[[gnu::always_inline]] inline bool worker::find_place(fiber_record& fiber) noexcept {
  fiber.place = stacks.take(fiber.stack_class);
  return fiber.place != nullptr || find_other_place(fiber);
}

/// Where the wanted stack cannot be had, one of the usual size does to destroy the callable, which may wait meanwhile.
[[gnu::noinline]] bool worker::find_other_place(fiber_record& fiber) noexcept {
  auto const usual = home.default_stack_class;
  if (fiber.stack_class > usual) fiber.place = stacks.take(usual);
  if (fiber.place == nullptr) {
    unplaced_ = &fiber;
    return false;
  }
  fiber.ticket.refuse();
  return true;
}

/// Makes sure that `fiber` can be entered.
[[gnu::always_inline]] inline bool worker::place(fiber_record& fiber) noexcept {
  return fiber.place != nullptr || find_place(fiber);
}

/// Makes `fiber` the running one.  @returns the context to jump to
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void* worker::enter(fiber_record& fiber) noexcept {
  void* const saved = fiber.context;
  current = &fiber;
  fiber.last_worker = index;
  sanitizer_release(&fiber);
  if (saved == nullptr) {
    clear_whole(*exceptions_);  // the record's has just been constructed in parts
    return fiber.place->context;
  }
  copy_whole(*exceptions_, fiber.exceptions);
  return saved;
}

/// Leaves the running context for `next`, or for the worker's own if null.
/// @param likely  how whoever comes back here will most likely have left. Called, and left, under the identity of the
/// worker; but the worker may be another one when it returns.
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::suspend(worker* w, fiber_record* self,
                                                                       fiber_record* next, after then,
                                                                       after likely) noexcept {
  copy_whole(self->exceptions, *w->exceptions_);
  w->left_ = self;
  w->then_ = then;
  void* to = nullptr;
  stack_bounds bounds;
  if (next != nullptr) {
    to = w->enter(*next);
    if constexpr (sanitized) bounds = bounds_of(*next);
  } else {
    to = w->own_context_;
    w->current = nullptr;
    clear_whole(*w->exceptions_);
    bounds = w->own_stack_;
  }
  leave_for(to, bounds, w, *self, likely);
}

/// The last of suspend().
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::leave_for(void* to, stack_bounds bounds, worker* w,
                                                                         fiber_record& self, after likely) noexcept {
  announce_switch(&self.place->fake_stack, bounds);
  transfer const t = jump(to, w);
  complete_switch(self.place->fake_stack);
  static_cast<worker*>(t.data)->land(t.fctx, likely);
}

/// suspend() for where the next fiber has been found to be saved at `context`. Not under a sanitizer.
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::resume(worker* w, fiber_record& self, fiber_record& next,
                                                                      void* context, after then) noexcept {
  auto& exceptions = *w->exceptions_;
  copy_whole(self.exceptions, exceptions);
  w->left_ = &self;
  w->then_ = then;
  w->current = &next;
  next.last_worker = w->index;
  copy_whole(exceptions, next.exceptions);
  leave_for(context, {}, w, self, then);
}

/// Runs `fiber` from beginning to end, on the stack that we are on.
/// @param joiner  set to who stepped aside for it and has not gone on since
/// @tparam Measured  tells the gauge how deep the stack got
/// @returns the worker on which it ended
template <bool Measured>
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline worker* worker::run_fiber(worker* w, fiber_record& fiber,
                                                                            fiber_record*& joiner) noexcept {
  stack* const own = fiber.place;
  if constexpr (sanitized) {
    own->identity.create();
    go_on_as(fiber);
    sanitizer_acquire(own);  // from whoever was on this stack before
  }
  if constexpr (Measured) clear_unused(*own);
  start_task(fiber);
  if (fiber.leaves_things) [[unlikely]]
    leave_things(*own);
  if constexpr (Measured) {
    auto const depth = depth_of(*own);
    w = current_worker();
    under_identity const scheduler_code{w->identity};
    w->home.gauge.add(fiber, depth);
  }
  bool const held = leaves_result(fiber) && settle_result(fiber, *own, current_worker()->home);
  w = current_worker();
  w->current = nullptr;
  door::add_one(w->finished);
  joiner = fiber.joiner_aside ? &fiber.aside->joiner() : nullptr;
  if (held) {
    end_held_task(fiber);
    w->home.announce_end();
  } else {
    end_task(fiber, w->home);
  }  // the record may be gone
  if constexpr (sanitized) {
    sanitizer_release(own);
    sanitizer_release(&w->home);
    w->identity.enter_on_fiber_stack();
    own->identity.destroy();
  }
  return w;
}

/// What runs next after a fiber has ended: the joiner that stepped aside for it, or who started it eagerly, but every
/// so often another first.
[[gnu::always_inline]] inline fiber_record* worker::after_end(fiber_record* joiner, fiber_record* starter) noexcept {
  if (starter != nullptr && joiner == nullptr) [[unlikely]]
    joiner = take_back(*starter);
  if (joiner == nullptr) [[likely]]
    return sanitized ? pick_next() : pick_in_line();  // as in land()
  ticks_ = ticks_ - 1;
  if ((ticks_ & glance_mask) != 0) [[likely]]
    return joiner;
  return look_around(*joiner);
}

/// Turns to others by time only: the joiners of fork-join code form a chain, and a wait must be opened for each of them
/// before the last can be put off.
fiber_record* worker::look_around(fiber_record& joiner) noexcept {
  auto const present = coarse_now();
  bool const late = present - last_turn_ > longest_without_tick;
  if (ticks_ != 0 && !late) return &joiner;
  fiber_record* other = tick();
  if (!late && !look_put_off_) {
    if (other != nullptr) enqueue(*other, placement::back);  // not push(): it may be one that only this worker may run
    return &joiner;
  }
  if (late) {
    last_turn_ = present;
    if (other == nullptr) other = take_slot();  // which a timer may have filled just now
    if (other == nullptr) other = ring_.take();
  }
  if (other == nullptr && !look_put_off_) return &joiner;
  if (joiner.joiner_aside) open_aside_join(joiner);
  if (other != nullptr || joiner.pinned) {
    enqueue(joiner, placement::next);
  } else {
    returning.push(joiner);  // it makes way for the look alone: for that nobody is woken, nor pushed out of the slot
  }
  return other;
}

/// A stack's base loop. Runs the current fiber to its end, and then, in place, every next one that has no stack yet; to
/// a fiber that has one it jumps, and this stack waits in the cache for the next new fiber.
template <bool Measured>
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::base_loop(transfer t) noexcept {
  auto* w = static_cast<worker*>(t.data);
  stack* const own = w->current->place;
  for (;;) {
    complete_switch(own->fake_stack);
    own->starter = w->then_ == after::next_in_line ? w->left_ : nullptr;
    w->land(t.fctx, after::step_aside);
    fiber_record* next = w->current;
    fiber_record* joiner = nullptr;
    for (;;) {
      w = run_fiber<Measured>(w, *next, joiner);
      fiber_record* const starter = own->starter;
      if (starter != nullptr) [[unlikely]]
        own->starter = nullptr;
      next = w->after_end(joiner, starter);
      if (next == nullptr || next->place != nullptr || next->stack_class != own->size_class) break;
      next->place = own;
      next->last_worker = w->index;
      sanitizer_release(next);
      w->current = next;
      reset_floating_point();  // the one before may have changed it
    }
    void* to = nullptr;
    stack_bounds bounds;
    if (next != nullptr && w->place(*next)) {
      to = w->enter(*next);
      // As in park(); and those that are woken together often end one after another. A joiner that has stepped aside
      // knows what it runs next, and it is not what is next in the ring.
      if (joiner == nullptr) w->prefetch_following(8);
      if constexpr (sanitized) bounds = bounds_of(*next);
    } else {
      to = w->own_context_;
      bounds = w->own_stack_;
    }
    w->left_stack_ = own;
    w->then_ = after::cache_stack;
    announce_switch(&own->fake_stack, bounds);
    t = jump(to, w);
    w = static_cast<worker*>(t.data);
  }
}

WEFT_UNINSTRUMENTED void worker::stack_main(transfer t) { base_loop<false>(t); }
WEFT_UNINSTRUMENTED void worker::measured_stack_main(transfer t) { base_loop<true>(t); }

/// From the worker's own context to `fiber`; returns when nothing is left to run.
WEFT_UNINSTRUMENTED [[gnu::noinline]] void worker::dispatch(fiber_record& fiber) noexcept {
  if (!place(fiber)) return;
  then_ = after::nothing;
  void* const to = enter(fiber);
  stack_bounds bounds;
  if constexpr (sanitized) bounds = bounds_of(fiber);
  announce_switch(&own_fake_stack_, bounds);
  sanitizer_thread::ignore_accesses();
  transfer const t = jump(to, this);
  sanitizer_thread::watch_accesses();
  complete_switch(own_fake_stack_);
  own_context_ = nullptr;
  about_to_run_ = look_put_off_;  // see run_loop()
  arrive(t.fctx);
  about_to_run_ = false;
}

// ---------------------------------------------------------------------------------------------------------------------
// What a fiber calls
// ---------------------------------------------------------------------------------------------------------------------

/// The commonest case in line: another fiber is at hand, and it has a stack. (Not under a sanitizer, as in land().)
/// What is rare lies in functions to which this goes over at its end, so that it needs no frame of its own.
WEFT_UNINSTRUMENTED void worker::yield(worker* w, fiber_record& self) noexcept {
  auto const ticks = w->ticks_.get();
  bool const plain = !sanitized && !w->tick_in_sight(ticks) && !self.pinned && !self.joiner_aside &&
                     w->slot_.look() == nullptr;
  if (!plain) [[unlikely]]
    return yield_slowly(w, self, nullptr);
  if (!w->ring_.has_leased()) [[unlikely]]
    return yield_leasing(w, self);
  fiber_record* const next = w->ring_.take_leased();
  if (next == nullptr) [[unlikely]]
    return yield_slowly(w, self, nullptr);
  w->ticks_ = ticks - 1;
  void* const context = next->context;
  if (context == nullptr) [[unlikely]]
    return yield_slowly(w, self, next);
  w->prefetch_following(2);
  resume(w, self, *next, context, after::requeue_here);
}

/// The lease of the ring is used up.
[[gnu::noinline]] void worker::yield_leasing(worker* w, fiber_record& self) noexcept {
  return w->ring_.lease() ? yield(w, self) : yield_slowly(w, self, nullptr);
}

/// @param next  what is to run, if that has been decided
WEFT_UNINSTRUMENTED [[gnu::noinline]] void worker::yield_slowly(worker* w, fiber_record& self,
                                                                fiber_record* next) noexcept {
  if (self.joiner_aside) [[unlikely]]
    open_aside_join(self);
  sanitizer_release(&w->home);  // as in park()
  w->identity.enter_on_fiber_stack();
  if (next == nullptr) next = w->pick_next();
  bool const must_leave = ((w->migrates_ || w->rests()) && !self.pinned) || w->leaving_ || w->look_put_off_;
  if (next != nullptr && w->place(*next)) {
    suspend(w, &self, next, after::requeue, after::requeue);
  } else if (must_leave || w->unplaced_ != nullptr) {
    suspend(w, &self, nullptr, after::requeue, after::nothing);
  }
  if constexpr (sanitized) go_on_as(self);
}

/// Who waits has often just woken another, which is next. As in yield().
WEFT_UNINSTRUMENTED void worker::park(worker* w, fiber_record& self, wait_key wait) noexcept {
  bool const plain = !sanitized && !self.joiner_aside && !w->help_put_off_ && w->slot_is_next() &&
                     !self.ticket.goes_on(wait);
  if (!plain) return park_for_ring(w, self, wait);
  fiber_record* const next = w->slot_.take_simply();
  if (next == nullptr) [[unlikely]]
    return park_slowly(w, self, wait, nullptr);
  w->ticks_ = w->ticks_ - 1;
  ++w->slot_turns_;
  void* const context = next->context;
  if (context == nullptr) [[unlikely]]
    return park_slowly(w, self, wait, next);
  w->left_key_ = wait;
  resume(w, self, *next, context, after::park);
}

/// The same where the ring is next: of many that were woken at once, each waits again in its turn.
WEFT_UNINSTRUMENTED [[gnu::noinline]] void worker::park_for_ring(worker* w, fiber_record& self,
                                                                 wait_key wait) noexcept {
  auto const ticks = w->ticks_.get();
  bool const plain = !sanitized && !self.joiner_aside && !w->help_put_off_ && (ticks & glance_mask) != 1 &&
                     w->slot_.look() == nullptr && w->returning.empty() && !self.ticket.goes_on(wait);
  if (!plain) [[unlikely]]
    return park_slowly(w, self, wait, nullptr);
  if (!w->ring_.has_leased()) return park_leasing(w, self, wait);
  fiber_record* const next = w->ring_.take_leased();
  if (next == nullptr) [[unlikely]]
    return park_slowly(w, self, wait, nullptr);
  w->ticks_ = ticks - 1;
  w->slot_turns_ = 0;
  void* const context = next->context;
  if (context == nullptr) [[unlikely]]
    return park_slowly(w, self, wait, next);
  w->prefetch_following(5);  // each has long been out of the cache
  w->left_key_ = wait;
  resume(w, self, *next, context, after::park);
}

/// As yield_leasing().
[[gnu::noinline]] void worker::park_leasing(worker* w, fiber_record& self, wait_key wait) noexcept {
  return w->ring_.lease() ? park_for_ring(w, self, wait) : park_slowly(w, self, wait, nullptr);
}

/// @param next  what is to run, if that has been decided
WEFT_UNINSTRUMENTED [[gnu::noinline]] void worker::park_slowly(worker* w, fiber_record& self, wait_key wait,
                                                               fiber_record* next) noexcept {
  if (next == nullptr) {
    if (self.ticket.goes_on(wait)) return;
    if (self.joiner_aside) [[unlikely]]
      open_aside_join(self);
  }
  sanitizer_release(&w->home);  // for a guest's thread, which goes on after us
  w->identity.enter_on_fiber_stack();
  if (next == nullptr) next = w->pick_in_slot();
  if (next == nullptr) {
    next = w->pick_next();
    w->prefetch_following(5);  // of many that are woken at once, each has long been out of the cache
  }
  if (w->help_put_off_) [[unlikely]]
    w->call_help_now();
  if (next != nullptr && !w->place(*next)) next = nullptr;
  w->left_key_ = wait;
  suspend(w, &self, next, after::park, after::park);
  if constexpr (sanitized) go_on_as(self);
}

/// A thief may have the fiber in the slot, so it is not looked at. What a pinned one left there could be stolen. Who
/// serves the one that gave way calls nobody to run it: where someone sleeps, somebody must look at the neighbours.
/// (relaxed: a hint, as in help_with_woken(); a sleeper that comes later looks at the slot before it sleeps.)
[[gnu::always_inline]] inline bool worker::may_give_way(fiber_record const& self) const noexcept {
  if (self.ticket.must_look() || self.pinned || self.joiner_aside || exceptions()->uncaught != 0) [[unlikely]]
    return false;
  if (help_put_off_ || !slot_is_next()) [[unlikely]]
    return false;
  return !home.idle.wanted() || home.neighbours_watched.load(std::memory_order_relaxed);
}

WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void worker::give_way(worker* w, fiber_record& self) noexcept {
  sanitizer_release(&w->home);  // as in park()
  w->identity.enter_on_fiber_stack();
  fiber_record* const next = w->slot_.take_simply();
  void* const context = next != nullptr ? next->context : nullptr;
  if (context != nullptr) [[likely]] {
    w->ticks_ = w->ticks_ - 1;
    ++w->slot_turns_;
    if constexpr (!sanitized) return resume(w, self, *next, context, after::into_slot);
    suspend(w, &self, next, after::into_slot, after::into_slot);
  } else if (next != nullptr) {
    w->slot_.put(next);  // it has no stack yet, and there may be none
  }
  if constexpr (sanitized) go_on_as(self);
}

/// Out of the way of who has one at once.
[[gnu::noinline]] turn_to_give worker::turn_after_all(worker* w) noexcept {
  fiber_record const* const self = w != nullptr ? w->current.get() : nullptr;
  if (self == nullptr) return {};
  under_identity const scheduler_code{w->identity};
  if (!w->slot_goes_on() || !w->may_give_way(*self)) return {};
  return {w, &self->ticket};
}

[[gnu::noinline]] turn_to_give may_give_way() noexcept {
  worker* const w = entry_worker();
  fiber_record const* const self = w != nullptr ? w->current.get() : nullptr;
  auto const may = [&] {
    under_identity const scheduler_code{w->identity};
    return w->may_give_way(*self);
  };
  if (self == nullptr || !may()) [[unlikely]]
    return worker::turn_after_all(w);
  return {w, &self->ticket};
}

WEFT_UNINSTRUMENTED [[gnu::noinline]] void give_way() noexcept {
  worker* const w = entry_worker();
  worker::give_way(w, *w->current);
}

WEFT_UNINSTRUMENTED bool worker::join(worker* w, fiber_record& self, fiber_record& child, cancellation mode) {
  sanitizer_release(&child);
  w->identity.enter_on_fiber_stack();
  bool const ours = w->asides_ && w->ring_.retake(&child);
  if (!ours) {
    if constexpr (sanitized) go_on_as(self);
    return join_by_waiting(child, self, mode);
  }
  aside_join aside{self, child, mode};
  self.waits_since = static_cast<std::uint32_t>(child.id);
  self.waits_for.store(aside_join::reason, std::memory_order_relaxed);  // for snapshots
  child.aside = &aside;
  child.joiner_aside = true;
  suspend(w, &self, w->place(child) ? &child : nullptr, after::step_aside, after::cache_stack);
  if constexpr (sanitized) go_on_as(self);
  self.waits_for.store(nullptr, std::memory_order_relaxed);
  return aside.finish() || join_by_waiting(child, self, mode);
}

WEFT_UNINSTRUMENTED void worker::run_eagerly(worker* w, fiber_record& self, fiber_record& child) noexcept {
  if (self.joiner_aside) [[unlikely]]
    open_aside_join(self);
  sanitizer_release(&child);
  sanitizer_release(&w->home);  // as in park()
  w->identity.enter_on_fiber_stack();
  sanitizer_acquire(&child);
  if (w->in_order_) w->tell_step(child);
  suspend(w, &self, w->place(child) ? &child : nullptr, after::next_in_line, after::cache_stack);
  if constexpr (sanitized) go_on_as(self);
}

// ---------------------------------------------------------------------------------------------------------------------
// Queues
// ---------------------------------------------------------------------------------------------------------------------

/// The ring is full: half of it moves to the injection queue, from the front, so that the order is kept.
void worker::overflow(fiber_record& fiber) noexcept {
  (void)give_away(ring_capacity / 2);
  if (!ring_.push(&fiber)) home.injected.push(fiber);
}

/// The oldest in the ring, at most `most` of them, are for any worker from now on.  @returns how many
std::size_t worker::give_away(std::uint32_t most) noexcept {
  fiber_record* first = nullptr;
  fiber_record* last = nullptr;
  std::size_t count = 0;
  for (; count < most; ++count) {
    fiber_record* const oldest = ring_.take();
    if (oldest == nullptr) break;
    (last != nullptr ? last->next : first) = oldest;
    last = oldest;
  }
  if (count > 0) home.injected.push_list(first, last, count);
  return count;
}

/// Whether what is queued here came from timers and the loop only.
[[gnu::always_inline]] inline bool worker::all_is_prompt() const noexcept {
  return ring_.back() == prompt_back_ && slot_.look() == nullptr && returning.empty();
}

/// Timers and I/O are served soon, whatever the length of the queue: the slot for the first, and others wait for it.
/// Where all that is queued came in this way, they go behind it: who was ready first runs first, and thieves can take
/// half of them at once. So it is after a sleep, when nothing is queued.
void worker::enqueue_promptly(fiber_record& fiber) noexcept {
  if (about_to_run_ || all_is_prompt()) {
    if (!ring_.push(&fiber)) [[unlikely]]
      overflow(fiber);
    prompt_back_ = ring_.back();
    if (about_to_run_) return;
  } else if (slot_.look() == nullptr) {
    slot_.put(&fiber);
  } else {
    returning.push(fiber);
  }
  home.wake_one();
}

/// Takes the fiber in the slot, and puts the next in.
fiber_record* worker::take_slot() noexcept {
  if (slot_.look() == nullptr) return returning.pop(1);
  fiber_record* const fiber = slot_.take();
  if (!returning.empty()) [[unlikely]] {
    fiber_record* const following = returning.pop(1);
    if (fiber == nullptr) return following;  // a thief was there first
    if (following != nullptr) slot_.put(following);
  }
  return fiber;
}

/// Takes back the fiber that started another eagerly, which has ended. A tree of such fibers is so walked as by calls,
/// one branch after another; what is queued meanwhile are the callers, of which thieves get the oldest. From the front
/// of the queue the oldest would go on first, and all branches would grow at once.
/// @param starter  only compared: it may be gone
/// @returns null if it is not next in line here, nor the newest that is queued
fiber_record* worker::take_back(fiber_record& starter) noexcept {
  if (slot_.look() == &starter) return returning.empty() ? take_slot() : nullptr;
  return steals_ && ring_.retake(&starter) ? &starter : nullptr;
}

/// Whether a joiner should go on at once here, where the task that it joins has ended. In fork-join code it should:
/// what it holds is older than what is queued. A joiner with many tasks queued is likely to wait for more than this
/// one, and would only park again; and if they are queued at another worker, it is better off there, beside their
/// records.
/// @returns false after having queued it elsewhere
bool worker::goes_first(fiber_record& joiner) noexcept {
  constexpr std::uint32_t many = 128;
  if (ring_.size() >= many) {
    push(joiner);
    return false;
  }
  worker& last = home.workers[joiner.last_worker];
  if (&last == this || last.ring_.size() < many) return true;
  last.returning.push(joiner);
  thread_barrier::light();  // pairs with the heavy one in sleep(): it sees what was pushed, or we see it asleep
  // Without such a barrier nothing orders the two: it is woken in any case.
  if (!thread_barrier::asymmetric() || last.asleep.load(std::memory_order_relaxed)) last.loop.wake();
  return false;
}

/// Who joins one task after another would park again for each that has not begun. So where a joiner is next, new tasks
/// of its own that lead the queue run first, in place, one after another; but not for long. The clock costs as much as
/// a short task: it is read after the first of them, and after each eighth that follows.
/// @returns one of them, or null
[[gnu::noinline]] fiber_record* worker::take_joiners_task() noexcept {
  constexpr std::uint64_t long_time = 200'000;  // 50 to 200 us
  bool const looks = joiners_tasks_++ % 8 == 1;
  fiber_record* const front = looks && coarse_now() - joiner_since_ > long_time ? nullptr : ring_.take();
  if (front == nullptr || (front->parent == joiner_id_ && front->place == nullptr)) return front;
  joiner_ = nullptr;
  return ring_.put_back(front) ? nullptr : front;
}

/// Small, and without a call but at its end, so that it needs no frame.
void worker::enqueue_new(fiber_record& fiber) noexcept {
  if (!steals_ || !ring_.push_in_room(&fiber)) [[unlikely]]
    return enqueue(fiber, placement::back);
  if (!about_to_run_ && home.idle.wanted()) [[unlikely]]
    home.wake_picked();
}

void worker::enqueue(fiber_record& fiber, placement where) noexcept {
  if (steals_ && !fiber.pinned) [[likely]] {
    if (where == placement::back) [[likely]]
      return push_in_line(fiber);
    if (where == placement::prompt) return enqueue_promptly(fiber);
    if (where == placement::joiner) {
      if (!goes_first(fiber)) return;
      joiner_ = &fiber;
      joiner_id_ = fiber.id;
      joiner_since_ = coarse_now();
      joiners_tasks_ = 0;
    }
    return put_next(fiber);
  }
  if (in_order_) return ordered_.push(fiber);
  expect_not_forked();  // see abandon()
  auto const target = fiber.pinned || fiber.last_worker == fiber_record::no_worker
                          ? fiber.last_worker
                          : static_cast<std::uint16_t>((fiber.last_worker + 1U) % home.options.workers);
  if (target == fiber_record::no_worker) return push(fiber);
  worker& other = home.workers[target];
  other.mailbox.push(fiber);
  if (&other != this) other.loop.wake();
}

/// The same with one worker and strict order: one queue, which nothing passes but by the environment's choice.
fiber_record* worker::pick_in_order() noexcept {
  ticks_.add(-1U);  // for turns() alone
  while (fiber_record* const fiber = home.injected.pop(1)) ordered_.push(*fiber);
  now();
  expire_timers(timers);
  look_put_off_ = !on_own_stack() && loop.watches_any();
  if (look_put_off_) return nullptr;
  if (home.world != nullptr) home.world->arrive();
  poll();
  leaving_ = last_now() >= leave_at_;
  if (leaving_) return nullptr;
  auto const ready = ordered_.size();
  bool const any_choice = ready > 1 && home.world != nullptr;
  fiber_record* const next = ordered_.take(any_choice ? home.world->choose(ready) % ready : 0);
  if (next != nullptr) tell_step(*next);
  return next;
}

/// Where an environment keeps account of what happens.
void worker::tell_step(fiber_record const& fiber) const noexcept {
  if (home.world == nullptr) return;
  home.world->runs({.fiber = fiber.id,
                    .waited_for = fiber.waits_for.load(std::memory_order_relaxed),  // its own, and it does not run
                    .cause = fiber.ticket.cause()});
}

/// Every so many switches: what would starve if the ring never ran dry.
///
/// A loop is looked into on the worker's own stack: for libuv's array of events a fiber's may be too small, and would
/// keep the pages. So where it is time for that on a fiber's stack, the rest of the tick is put off, no fiber is
/// picked, and the fiber leaves for the worker's own context, which picks the next, and ticks.
fiber_record* worker::tick() noexcept {
  if (help_put_off_) call_help_now();
  last_tick_ = coarse_now();
  if (last_tick_ - timers_seen_at_ > shortest_unexpired || home.world != nullptr) {
    timers_seen_at_ = last_tick_;
    now();
    expire_timers(timers);
  }
  // What the loop has brought goes first, and what it would bring now goes behind that. But timers, too, bring fibers.
  bool const serves_loop = all_is_prompt() && ring_.owned() != 0;
  auto const longest = serves_loop ? longest_without_tick / 2 : longest_unpolled;
  bool const polls_now = loop.watches_any() && last_tick_ - polled_at_ > longest;
  bool const looks_aside = home.workers.size() != 1 && last_tick_ - looked_aside_at_ > longest_unattended;
  look_put_off_ = (polls_now || looks_aside) && !on_own_stack();
  if (look_put_off_) {
    ticks_ = 1;  // the next tick comes with the next fiber that is picked, by our own context
    return nullptr;
  }
  ticks_ = migrates_ ? 1 : ticks_between_looks;
  if (polls_now) poll();
  if (looks_aside) look_aside();
  if (stands_in_ && current != nullptr) [[unlikely]]  // else run_loop() sees to it
    step_down();
  if (!migrates_ || !mail_first_) return take_from_others();
  mail_first_ = false;
  return take_injected();  // and then the ring, for here this comes with each switch
}

/// Mailbox and injection queue. Both may never run dry: they take turns.
fiber_record* worker::take_from_others() noexcept {
  if (rests()) [[unlikely]] {
    hand_over();
    return take_mail();
  }
  mail_first_ = !mail_first_;
  fiber_record* const fiber = mail_first_ ? take_mail() : take_injected();
  if (fiber != nullptr) return fiber;
  return mail_first_ ? take_injected() : take_mail();
}

fiber_record* worker::take_mail() noexcept {
  fiber_record* const fiber = mailbox.pop(1);
  return fiber != nullptr ? fiber : returning.pop(1);
}

/// One fiber to run now, and a fair share of the others into the ring.
fiber_record* worker::take_injected() noexcept {
  auto const size = home.injected.size();
  if (size == 0) return nullptr;
  auto const room = ring_capacity / 2 - std::min(ring_.owned(), ring_capacity / 2);
  auto const share = std::min<std::size_t>(size / home.workers.size() + 1, room + 1);
  fiber_record* const first = home.injected.pop(share);
  if (first == nullptr) return nullptr;
  for (fiber_record* fiber = first->next; fiber != nullptr;) {
    fiber_record* const next = fiber->next;
    push(*fiber);
    fiber = next;
  }
  if (!home.injected.empty()) home.wake_one();
  return first;
}

/// Runs what is ready in the loop, if anything may be.
void worker::poll() noexcept {
  if (!loop.watches_any()) return;
  loop.poll();
  polls.add(1);
  polled_at_ = coarse_now();
}

bool worker::attends_loop() const noexcept {
  constexpr std::uint64_t of_late = 4'000'000;  // 1 to 4 ms
  return asleep.load(std::memory_order_relaxed) || coarse_now() - polled_at_ < of_late;
}

time_point worker::now() noexcept {
  now_ = home.world != nullptr ? home.world->now() : clock::now();
  now_in_ms_ = home.milliseconds(now_);
  return now_;
}

/// @returns whether any timer was due
bool worker::expire_timers(timer_wheel& of) noexcept {
  if (!of.due(now_)) return false;
  constexpr std::size_t at_once = 256;
  of.expire(now_, at_once, [](timer_node& node) { node.owner->expire(); });
  return true;
}

}  // namespace weft::inline v0::detail
