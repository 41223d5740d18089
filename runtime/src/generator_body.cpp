#include "generator_body.hpp"

#include "body_stacks.hpp"
#include "exceptions.hpp"
#include "fatal.hpp"
#include "floating_point.hpp"
#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "scopes.hpp"
#include "task_end.hpp"
#include "worker.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/error.hpp>

#include <string>
#include <type_traits>
#include <utility>

namespace weft::inline v0::detail {

namespace {

using boost::context::detail::jump_fcontext;

constexpr std::uint8_t as_the_fiber = 0xFF;

#if defined(__GNUC__)
[[gnu::tls_model("initial-exec")]]
#endif
thread_local constinit stack place_of_thread{};  // stands for the stack of a thread outside of any fiber

[[noreturn, gnu::noinline, gnu::cold]] void refuse_yield() {
  throw error(
      "weft::generator: yield was called elsewhere than in the generator's own body: on another fiber, within the body "
      "of another generator, or after the body has ended");
}

/// In a return statement: the jump takes the place of the function that makes it, and so returns straight to that one's
/// caller. Then no `ret` lies between a jump and the code that asked for it: it would mispredict, for the processor
/// expects it to go to where the last call was made, which was on the other side.
[[maybe_unused, gnu::always_inline]] inline crossing jump_in_place_of_us(void* to, void* data) noexcept {
  // The same type by another name, without which the compiler would not take it for a call in tail position.
  static_assert(sizeof(crossing) == sizeof(transfer) && std::is_trivially_copyable_v<crossing>);
  auto* const jump_to = reinterpret_cast<crossing (*)(void*, void*) noexcept>(
      reinterpret_cast<void (*)()>(&jump_fcontext));
  return jump_to(to, data);
}

/// What leaves a body that dies has nobody to go to.
void report_failure(std::exception_ptr const& error) noexcept {
  worker const* const w = current_worker();
  if (w == nullptr) return print_unhandled(error, "weft::generator");
  if (fiber_record const* const fiber = w->current; fiber != nullptr) return report_unhandled(*fiber, error);
  w->home.records->report_unhandled(error, "weft::generator");
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Crossing
// ---------------------------------------------------------------------------------------------------------------------

/// Who advances a body, or the body itself, wherever that is now.
struct generator_body::surroundings {
  exception_state* exceptions;  // the thread's
  stack* place;                 // of the fiber, or of the thread
  fiber_record* fiber;          // null: a thread

  /// Hangs a body's scopes below the caller's, and takes them off again.
  WEFT_UNINSTRUMENTED [[gnu::always_inline]] void attach(scope_segment& of_body) const noexcept {
    int const uncaught = static_cast<int>(exceptions->uncaught);
    if (fiber == nullptr) return detail::attach(of_body, uncaught);
    detail::attach({&fiber->ticket, fiber, &place->scopes}, of_body, uncaught);
  }
  WEFT_UNINSTRUMENTED [[gnu::always_inline]] void detach(scope_segment& of_body) const noexcept {
    if (fiber == nullptr) return detail::detach(of_body);
    detail::detach({&fiber->ticket, fiber, &place->scopes}, of_body);
  }
};

// Never inlined and opaque, as current_worker() is.
WEFT_UNINSTRUMENTED [[gnu::noinline]] generator_body::surroundings generator_body::here_on_thread() noexcept {
  asm volatile("" ::: "memory");
  return {thread_exceptions(), &place_of_thread, nullptr};
}

WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline generator_body::surroundings generator_body::here() noexcept {
  worker const* const w = current_worker();
  fiber_record* const fiber = w != nullptr ? w->current.get() : nullptr;
  if (fiber == nullptr) [[unlikely]]
    return here_on_thread();
  return {w->exceptions(), fiber->place, fiber};
}

WEFT_UNINSTRUMENTED generator_body const* generator_body::running() noexcept {
  stack const* const place = here().place;
  return place != nullptr ? place->inner : nullptr;
}

/// From who advances the body into it. Returns when it has stopped again, perhaps on another thread.
WEFT_UNINSTRUMENTED [[gnu::noinline]] crossing generator_body::enter() noexcept {
  // The jump saves the control registers, and that waits for all loads under way: better nothing is missing by then.
  for (std::size_t line = 0; line < 2; ++line) {
    __builtin_prefetch(static_cast<std::byte const*>(context_) + line * cache_line);
    __builtin_prefetch(reinterpret_cast<std::byte const*>(this) + (line + 1) * cache_line);
  }
  auto const at = here();
  resumer_place_ = at.place;
  outer_ = at.place->inner;
  at.place->inner = this;
  at.attach(scopes_);
  resumer_exceptions_ = *at.exceptions;
  *at.exceptions = exceptions_;
  stack_bounds bounds;
  if constexpr (sanitized) {
    bounds = bounds_of(*stack_);
    resumer_identity_ = sanitizer_thread::current().handle;
    at.place->identity = {identity_};
    sanitizer_thread{identity_}.enter_in_order();
  }
  if constexpr (!sanitized) return jump_in_place_of_us(context_, this);
  announce_switch(&resumer_fake_stack_, bounds);
  transfer const t = jump_fcontext(context_, this);
  complete_switch(resumer_fake_stack_);
  return {t.fctx, t.data};
}

/// In the body: gives back what is the resumer's.  @returns the context to jump to
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void* generator_body::depart(surroundings const& at) noexcept {
  at.place->inner = outer_;
  at.detach(scopes_);
  exceptions_ = *at.exceptions;
  *at.exceptions = resumer_exceptions_;
  if constexpr (sanitized) {
    at.place->identity = {resumer_identity_};
    sanitizer_thread{resumer_identity_}.enter_in_order();
  }
  announce_switch(&stack_->fake_stack, {resumer_bottom_, resumer_size_});
  return resumer_context_;
}

/// First thing in the body.
WEFT_UNINSTRUMENTED [[gnu::always_inline]] inline void generator_body::arrive() noexcept {
  stack_bounds bounds;
  complete_switch(stack_->fake_stack, bounds);
  if constexpr (sanitized) {
    resumer_bottom_ = bounds.bottom;
    resumer_size_ = bounds.size;
  }
}

WEFT_UNINSTRUMENTED [[gnu::noinline]] crossing generator_body::leave(void const* value) {
  auto const at = here();
  if (at.place != resumer_place_ || at.place->inner != this) [[unlikely]]
    refuse_yield();
  if (closing_) [[unlikely]]
    return {resumer_context_, nullptr};
  value_ = value;
  void* const to = depart(at);
  if constexpr (!sanitized) return jump_in_place_of_us(to, nullptr);
  transfer const t = jump_fcontext(to, nullptr);
  arrive();
  return {t.fctx, t.data};
}

WEFT_UNINSTRUMENTED void body_main::loop(transfer t) {
  for (;;) {
    auto* const body = static_cast<generator_body*>(t.data);
    body->arrive();
    body->resumer_context_ = t.fctx;
    body->call();
    // The body may be gone when we are back.
    t = jump_fcontext(body->depart(generator_body::here()), nullptr);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// For who iterates
// ---------------------------------------------------------------------------------------------------------------------

generator_body::generator_body(body_type const& type, std::size_t stack_size)
    : stack_class_(stack_size != 0 ? stack_pool::class_of(stack_size) : as_the_fiber), type_(type) {}

[[gnu::cold]] void generator_body::prepare() {
  switch (state_.load(std::memory_order_relaxed)) {
    case state::unstarted: return start();
    case state::running:
      throw error(
          "weft::generator: advanced while its body runs: by the body itself, or by another fiber or thread than the "
          "one "
          "for which it runs");
    case state::ended: throw error("weft::generator: advanced past its end");
    case state::suspended: return;
  }
}

/// Gives the body its stack.
void generator_body::start() {
  check_not_forked();
  if (stack_class_ == as_the_fiber) {
    worker const* const w = current_worker();
    stack_class_ = w != nullptr ? w->home.default_stack_class : stack_pool::class_of(body_stacks::default_bytes);
  }
  stack_ = body_stacks::take(stack_class_);
  if (stack_ == nullptr) {
    throw stack_unavailable("weft::generator: no stack of " + std::to_string(stack_pool::size_of(stack_class_)) +
                            " bytes could be had for the body: the address space, or vm.max_map_count where the kernel "
                            "cannot install guards without splitting mappings, is used up");
  }
  sanitizer_acquire(stack_);  // from whoever was on it before
  context_ = stack_->context;
  sanitizer_thread identity{};
  identity.create();
  identity_ = identity.handle;
}

/// The body has ended: its stack goes to the next one.
void generator_body::finish() {
  stack* const s = std::exchange(stack_, nullptr);
  s->context = context_;
  reset_floating_point_of(context_);
  sanitizer_thread identity{identity_};
  identity.destroy();
  sanitizer_release(s);
  // In a child of fork nobody needs it, and who had locked the pool may be gone.
  if (!fork_watch::in_child()) body_stacks::give(s);
  value_ = nullptr;
  state_.store(state::ended, std::memory_order_relaxed);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void generator_body::destroy(generator_body* body) noexcept {
  switch (body->state_.load(std::memory_order_relaxed)) {
    case state::running: fatal("a generator is destroyed while its body runs");
    case state::suspended: body->close(); break;
    case state::unstarted:
    case state::ended: break;
  }
  body->type_.free(body);
}

/// Leaves the body by an exception.
void generator_body::close() noexcept {
  closing_ = true;
  cancel_shield const shielded;
  try {
    advance();
  } catch (...) {
    report_failure(std::current_exception());
  }
}

void generator_body::refuse_value() { throw error("weft::generator: there is no value at the end"); }

// ---------------------------------------------------------------------------------------------------------------------
// In the body
// ---------------------------------------------------------------------------------------------------------------------

/// From beginning to end.
void generator_body::call() noexcept {
  try {
    type_.call(*this);
  } catch (cancelled const& c) {
    // Of a dying generator it is what we have thrown ourselves.
    if (!closing_ || c.reason() != cancel_reason::handle_dropped) error_ = std::current_exception();
  } catch (...) {
    error_ = std::current_exception();
  }
  type_.discard(*this);
  returned_ = true;
}

/// A dying generator's body yields. Where an exception unwinds it already, another would end the program.
void generator_body::leave_by_exception() {
  if (std::uncaught_exceptions() == 0) throw cancelled{cancel_reason::handle_dropped};
}

}  // namespace weft::inline v0::detail
