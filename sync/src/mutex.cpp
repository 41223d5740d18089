#include <weft/sync/mutex.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

namespace weft::inline v0 {

namespace {

constexpr std::chrono::milliseconds patience{1};

}  // namespace

mutex::~mutex() {
  if (line_.is_idle()) return;
  detail::refuse(line_.is_locked() ? "a mutex is destroyed while somebody holds its lock"
                                   : "a mutex is destroyed while somebody waits for its lock");
}

bool mutex::lock_slowly(time_point deadline) {
  if (detail::only_tries(deadline)) {
    detail::check_cancelled();
    return line_.take();
  }
  if (spinning_.spin([this] { return line_.try_lock(); })) return true;
  auto const since = detail::present();
  for (bool called = false;; called = true) {
    waiter self{"mutex"};
    detail::lock_node node{self, since};
    if (line_.take_or_stand(node, called)) return true;
    auto const cause = [&] {
      detail::noted_wait noted;
      noted.for_lock(this, deadline, &self);
      return self.wait(deadline);
    }();
    if (cause != wake_cause::notified) {
      line_.leave(node);
      self.rethrow(cause);
      return false;
    }
    if (node.owns) return true;
    if (spinning_.spin([this] { return line_.try_lock_as_called(); })) return true;
    if (line_.take_as_called()) return true;
  }
}

void mutex::unlock_slowly() noexcept {
  using freed = detail::lock_line::freed;
  detail::lock_node* next = nullptr;
  auto const impatient = [](detail::lock_node const& node) { return detail::present() - node.since > patience; };
  switch (line_.unlock(impatient, next)) {
    case freed::yes: return;
    case freed::wakes: return next->owner->wake(next->owns ? placement::next : placement::back);
    case freed::was_free: detail::refuse("a mutex is unlocked that nobody has locked");
  }
}

}  // namespace weft::inline v0
