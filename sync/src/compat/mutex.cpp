#include <weft/compat/mutex.hpp>

#include <weft/compat/errors.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/wait_graph.hpp>

#include <system_error>

namespace weft::inline v0::compat::detail {

using weft::detail::noted_wait;
using weft::detail::wait_graph;

void owned_lock::check_not_ours(fibers::context const* self) const {
  if (owner_ != self) return;
  throw fibers::lock_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                           "weft: who has the lock waits for it");
}

/// Everyone who comes may take a free lock, and who is called may so find it taken.
bool owned_lock::wait_for_it(guard_lock& held, fibers::context const* self, time_point deadline) {
  if (take_if_free(self)) return true;
  noted_wait noted;
  if (wait_graph::is_kept()) {
    held.unlock();  // a deadlock is told to the program
    noted.for_lock(this, deadline, nullptr);
    held.lock();
  }
  while (!take_if_free(self)) {
    if (!line_.wait_until(held, deadline)) return false;
  }
  return true;
}

bool owned_lock::take_if_free(fibers::context const* self) noexcept {
  if (owner_ != nullptr) return false;
  owner_ = self;
  count_ = 1;
  if (wait_graph::is_kept()) wait_graph::note_held(this);
  return true;
}

bool owned_lock::take_again(fibers::context const* self) noexcept {
  if (owner_ != self) return false;
  ++count_;
  return true;
}

/// Among them, in a loop that tries again and again, who has the lock.
void owned_lock::let_others_run() noexcept {
  cancel_shield const only_tried;
  yield();
}

void owned_lock::lock_once() {
  auto const* const self = fibers::context::active();
  guard_lock held{guard_};
  check_not_ours(self);
  (void)wait_for_it(held, self, never);
}

bool owned_lock::try_lock_once() {
  auto const* const self = fibers::context::active();
  {
    guard_lock const held{guard_};
    check_not_ours(self);
    if (take_if_free(self)) return true;
  }
  let_others_run();
  return false;
}

bool owned_lock::try_lock_once_until(time_point deadline) {
  auto const* const self = fibers::context::active();
  guard_lock held{guard_};
  return wait_for_it(held, self, deadline);
}

void owned_lock::lock_again() { (void)try_lock_again_until(never); }

bool owned_lock::try_lock_again() {
  auto const* const self = fibers::context::active();
  {
    guard_lock const held{guard_};
    if (take_again(self) || take_if_free(self)) return true;
  }
  let_others_run();
  return false;
}

bool owned_lock::try_lock_again_until(time_point deadline) {
  auto const* const self = fibers::context::active();
  guard_lock held{guard_};
  return take_again(self) || wait_for_it(held, self, deadline);
}

void owned_lock::release() {
  auto const* const self = fibers::context::active();
  guard_lock const held{guard_};
  if (owner_ != self) {
    throw fibers::lock_error(std::make_error_code(std::errc::operation_not_permitted),
                             "weft: only who has a lock may release it");
  }
  if (--count_ > 0) return;
  if (wait_graph::is_kept()) wait_graph::note_freed(this);
  owner_ = nullptr;
  line_.notify_one();
}

}  // namespace weft::inline v0::compat::detail
