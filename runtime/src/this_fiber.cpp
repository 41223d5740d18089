#include <weft/runtime/this_fiber.hpp>

#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "scopes.hpp"
#include "worker.hpp"

#include <weft/runtime/waiter.hpp>

#include <thread>

namespace weft::inline v0 {

void sleep_until(time_point deadline) {
  waiter self{"sleep"};
  self.rethrow(self.wait(deadline));
}

namespace this_fiber {
namespace {

[[gnu::noinline]] void yield_unless_cancelled(detail::worker* w, detail::fiber_record& self) {
  detail::check_cancelled_in_passing();
  detail::worker::yield(w, self);
}

[[gnu::noinline]] void yield_elsewhere(detail::worker const* w) {
  detail::check_not_forked();
  if (w != nullptr) return;  // between fibers there is nothing to give way to
  detail::check_cancelled();
  std::this_thread::yield();
}

}  // namespace

/// The calls come last, so that it needs no frame.
[[gnu::noinline]] void yield() {
  detail::worker* const w = detail::entry_worker();
  detail::fiber_record* const self = w != nullptr ? w->current.get() : nullptr;
  if (self == nullptr) [[unlikely]]
    return yield_elsewhere(w);
  if (self->ticket.must_look()) [[unlikely]]
    return yield_unless_cancelled(w, *self);
  detail::worker::yield(w, *self);
}

fiber_id get_id() noexcept {
  detail::fiber_record const* const self = detail::current_fiber();
  return self != nullptr ? fiber_id{self->id} : fiber_id{};
}

std::string_view name() noexcept {
  detail::fiber_record const* const self = detail::current_fiber();
  char const* const given = self != nullptr ? self->name() : nullptr;
  return given != nullptr ? given : std::string_view{};
}

int worker() noexcept {
  detail::worker const* const w = detail::current_worker();
  return w != nullptr && w->current != nullptr ? w->index : -1;
}

bool cancel_requested() noexcept {
  auto const here = detail::current_context();
  return here.ticket->must_look() && survey_scopes(here).cancelled != 0;
}

}  // namespace this_fiber
}  // namespace weft::inline v0
