#include <weft/runtime/no_suspend.hpp>

#include "fatal.hpp"
#include "no_suspend.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <string>

namespace weft::inline v0 {

no_suspend_scope::no_suspend_scope() noexcept {
  detail::worker const* const w = detail::current_worker();
  if (w == nullptr || w->current == nullptr || !w->home.options.debug) return;
  if (w->current->joiner_aside) return;  // nested: the outer one undoes it
  fiber_ = w->current;
  fiber_->joiner_aside = true;
}

void no_suspend_scope::leave() noexcept { fiber_->joiner_aside = false; }

namespace detail {

void refuse_suspension(fiber_record const& fiber) noexcept {
  char const* const reason = fiber.waits_for.load(std::memory_order_relaxed);  // ours
  std::string message = "fiber " + std::to_string(fiber.id);
  if (char const* const name = fiber.name(); name != nullptr) message += " '" + std::string(name) + "'";
  message += reason != nullptr ? " waits for '" + std::string(reason) + "'" : std::string(" yields");
  message += " inside a no_suspend_scope";
  fatal(message.c_str());
}

}  // namespace detail
}  // namespace weft::inline v0
