#include <weft/runtime/detail/descriptor_wait.hpp>

#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

namespace weft::inline v0::detail {

bool wait_descriptor(int descriptor, readiness what, time_point deadline) {
  check_not_forked();
  if (current_fiber() == nullptr) throw no_runtime("weft: a descriptor can be waited for on a fiber only");
  if (environment const* const world = current_worker()->home.world; world != nullptr && world->closed()) {
    throw error("weft: descriptors belong to the world outside, and cannot be waited for in a simulation");
  }
  waiter self{what == readiness::readable ? "readable descriptor" : "writable descriptor"};
  poller& loop = current_worker()->loop;
  auto* const watched = loop.watch_descriptor(descriptor, what == readiness::writable, self);
  auto const cause = self.wait(deadline);
  loop.unwatch(watched);  // of the worker on which the wait began
  self.rethrow(cause);
  return cause == wake_cause::notified;
}

}  // namespace weft::inline v0::detail
