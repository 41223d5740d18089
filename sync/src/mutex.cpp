#include <weft/sync/mutex.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

namespace weft::inline v0 {

namespace {

constexpr std::chrono::milliseconds patience{1};

/// A place in a mutex's line.
struct mutex_node : detail::wait_node {
  using wait_node::wait_node;
  time_point since{};
  bool owns = false;  ///< the lock was handed over; written under the line's lock, before the wake
};

}  // namespace

mutex::~mutex() {
  if ((line_.flags() & locked) != 0) detail::refuse("a mutex is destroyed while somebody holds its lock");
}

bool mutex::take(detail::wait_list::section& line) noexcept {
  if ((line.flags() & locked) != 0) return false;
  line.set_flags(line.flags() | locked);
  return true;
}

/// Others wait, or look at the line just now.
bool mutex::try_lock_slowly() noexcept {
  if ((line_.flags() & locked) != 0) return false;
  detail::wait_list::section line{line_};
  return take(line);
}

bool mutex::lock_slowly(time_point deadline) {
  if (detail::only_tries(deadline)) {
    detail::check_cancelled();
    return try_lock();
  }
  auto const since = detail::deadline_after(std::chrono::nanoseconds{0});
  for (bool in_front = false;; in_front = true) {
    waiter self{"mutex"};
    mutex_node node{self};
    node.since = since;
    {
      detail::wait_list::section line{line_};
      if (take(line)) return true;
      in_front ? line.push_front(node) : line.push_back(node);
    }
    auto const cause = self.wait(deadline);
    {
      detail::wait_list::section line{line_};
      if (node.owns) return true;
      if (cause == wake_cause::notified) {
        // Called: others come later, so that they need not be called meanwhile. Somebody may have been faster; whoever
        // it was will see the line.
        line.set_flags(line.flags() & ~called);
        if (take(line)) return true;
        continue;
      }
      line.remove(node);
    }
    self.rethrow(cause);
    return false;
  }
}

void mutex::unlock_slowly() noexcept {
  detail::wait_node* next = nullptr;
  {
    detail::wait_list::section line{line_};
    if ((line.flags() & locked) == 0) detail::refuse("a mutex is unlocked that nobody has locked");
    auto const free = line.flags() & ~locked;
    if ((free & called) != 0) return line.set_flags(free);  // one is on its way already
    next = detail::claim_first(line);
    if (next == nullptr) return line.set_flags(free);
    auto& node = static_cast<mutex_node&>(*next);
    node.owns = detail::deadline_after(std::chrono::nanoseconds{0}) - node.since > patience;
    line.set_flags(node.owns ? locked : called);
  }
  next->owner->wake();
}

}  // namespace weft::inline v0
