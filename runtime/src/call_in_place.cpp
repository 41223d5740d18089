#include "call_in_place.hpp"

#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/testing.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <thread>
#include <utility>

namespace weft::inline v0 {

namespace detail {

call_in_place::call_in_place(std::stop_source& stop)
    : of_(own_extras()), outer_(std::exchange(of_.call, this)), stop_(stop) {}

call_in_place::~call_in_place() { of_.call = outer_; }

void call_in_place::spend(std::chrono::nanoseconds duration) noexcept {
  static constexpr char const* reason = "an offloaded call";
  auto const end = deadline_after(duration);
  auto cause = wake_cause::cancelled;
  try {
    waiter self{reason};
    cause = self.wait(end);
  } catch (cancelled const&) {  // NOLINT: it is heeded when the call has ended
  }
  if (cause != wake_cause::cancelled) return;
  stop_.request_stop();
  waiter self{reason, cancellation::ignored};
  (void)self.wait(end);
}

}  // namespace detail

void testing::spend(std::chrono::nanoseconds duration) {
  using namespace weft::detail;
  duration = std::max(duration, std::chrono::nanoseconds{0});
  worker* const w = current_worker();
  environment* const world = w != nullptr ? w->home.world : nullptr;
  if (world == nullptr) return std::this_thread::sleep_for(duration);
  fiber_record const* const self = w->current;
  auto const* const extras = self != nullptr ? self->extras.load(std::memory_order_relaxed) : nullptr;  // its own
  if (extras != nullptr && extras->call != nullptr) return extras->call->spend(duration);
  bool passed = false;
  {
    under_identity const scheduler_code{w->identity};
    passed = world->skip_to(add(world->now(), duration));
  }
  if (!passed) std::this_thread::sleep_for(duration);
}

}  // namespace weft::inline v0
