#include <weft/sync/auto_reset_event.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

namespace weft::inline v0 {

auto_reset_event::~auto_reset_event() {
  detail::check_unawaited(list_, "an auto_reset_event is destroyed while somebody waits for it");
}

void auto_reset_event::set() noexcept {
  if (list_.try_set_flags(0, set_flag)) return;  // nobody waits
  detail::wait_node* first = nullptr;
  {
    detail::wait_list::section line{list_};
    first = detail::claim_first(line);
    if (first == nullptr) return line.set_flags(set_flag);
  }
  first->owner->wake(placement::next);
}

void auto_reset_event::reset() noexcept {
  detail::wait_list::section line{list_};
  line.set_flags(0);
}

namespace {

/// Takes the signal if there is one.
bool take(detail::wait_list::section& line, std::uintptr_t set_flag) noexcept {
  bool const was_set = line.flags() == set_flag;
  if (was_set) line.set_flags(0);
  return was_set;
}

}  // namespace

bool auto_reset_event::try_wait() noexcept {
  if (list_.try_set_flags(set_flag, 0)) return true;
  if (list_.flags() != set_flag) return false;
  detail::wait_list::section line{list_};  // another held the lock
  return take(line, set_flag);
}

bool auto_reset_event::wait_until_(time_point deadline) {
  detail::check_cancelled();
  if (try_wait()) return true;
  if (detail::only_tries(deadline)) return false;
  waiter self{"event"};
  detail::wait_node node{self};
  return detail::wait_in_line(list_, node, self, deadline, [](auto& line) { return take(line, set_flag); });
}

}  // namespace weft::inline v0
