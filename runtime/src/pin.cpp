#include <weft/runtime/pin.hpp>

#include "fatal.hpp"
#include "sanitizers.hpp"

#include <weft/runtime/detail/fiber_record.hpp>

namespace weft::inline v0 {

namespace {

/// The flag is read by whoever makes the fiber ready, after its registers are saved: what publishes these publishes it.
/// (The worker that queues the fiber does so under an identity of its own: see sanitizers.hpp.)
WEFT_UNINSTRUMENTED [[gnu::noinline]] bool set_pinned(detail::fiber_record& fiber, bool pinned) noexcept {
  bool const before = fiber.pinned;
  fiber.pinned = pinned;
  return before;
}

}  // namespace

pin_guard::pin_guard() noexcept : fiber_(detail::current_fiber()) {
  if (fiber_ != nullptr) outer_ = set_pinned(*fiber_, true);
}

pin_guard::~pin_guard() {
  if (detail::current_fiber() != fiber_) {
    detail::fatal("a pin_guard is left on another fiber than the one that made it");
  }
  if (fiber_ != nullptr) (void)set_pinned(*fiber_, outer_);
}

}  // namespace weft::inline v0
