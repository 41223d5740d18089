#include <weft/sync/shared_mutex.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

namespace weft::inline v0 {

namespace {

/// A place in a shared_mutex's line.
struct shared_node : detail::wait_node {
  shared_node(waiter& w, bool is_shared) noexcept : wait_node(w), shared(is_shared) {}
  bool const shared;
};

bool wants_shared(detail::wait_node const& node) noexcept { return static_cast<shared_node const&>(node).shared; }

}  // namespace

shared_mutex::~shared_mutex() {
  if (holders_ != 0) detail::refuse("a shared_mutex is destroyed while somebody holds its lock");
}

bool shared_mutex::take(detail::wait_list::section const& line, bool shared) noexcept {
  if (!line.empty() || holders_ == writing || (holders_ != 0 && !shared)) return false;
  holders_ = shared ? holders_ + 1 : writing;
  return true;
}

bool shared_mutex::try_lock_(bool shared) noexcept {
  detail::wait_list::section const line{line_};
  return take(line, shared);
}

bool shared_mutex::lock_until_(bool shared, time_point deadline) {
  if (try_lock_(shared)) return true;
  if (detail::only_tries(deadline)) {
    detail::check_cancelled();
    return false;
  }
  waiter self{"shared mutex"};
  shared_node node{self, shared};
  {
    detail::wait_list::section line{line_};
    if (take(line, shared)) return true;
    line.push_back(node);
  }
  auto const cause = self.wait(deadline);
  if (cause == wake_cause::notified) return true;
  detail::wait_node* admitted = nullptr;
  {
    detail::wait_list::section line{line_};
    line.remove(node);
    admitted = admit(line);  // readers behind a writer that gives up
  }
  detail::wake_all(admitted);
  self.rethrow(cause);
  return false;
}

/// Lets in who stands first in line, as far as there is room.  @returns those that are to be woken
detail::wait_node* shared_mutex::admit(detail::wait_list::section& line) noexcept {
  detail::wait_node* admitted = nullptr;
  detail::wait_node** last = &admitted;
  while (detail::wait_node* const first = line.front()) {
    bool const shared = wants_shared(*first);
    if (holders_ == writing || (holders_ != 0 && !shared)) break;
    line.remove(*first);
    if (!first->owner->claim()) continue;  // it has given up, and need not be asked again
    holders_ = shared ? holders_ + 1 : writing;
    *last = first;
    last = &first->next;
  }
  return admitted;
}

void shared_mutex::unlock() noexcept {
  detail::wait_node* admitted = nullptr;
  {
    detail::wait_list::section line{line_};
    if (holders_ != writing) detail::refuse("a shared_mutex is unlocked that nobody has locked");
    holders_ = 0;
    admitted = admit(line);
  }
  detail::wake_all(admitted);
}

void shared_mutex::unlock_shared() noexcept {
  detail::wait_node* admitted = nullptr;
  {
    detail::wait_list::section line{line_};
    if (holders_ <= 0) detail::refuse("a shared_mutex is unlocked by a reader, and there is none");
    if (--holders_ == 0) admitted = admit(line);
  }
  detail::wake_all(admitted);
}

}  // namespace weft::inline v0
