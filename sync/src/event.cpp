#include <weft/sync/event.hpp>

#include "refuse.hpp"

#include <weft/runtime/waiter.hpp>

namespace weft::inline v0 {

event::~event() { detail::check_unawaited(list_, "an event is destroyed while somebody waits for it"); }

void event::set() noexcept {
  if (list_.try_set_flags(0, set_flag)) return;  // nobody waits
  list_.set_flags_and_wake(set_flag);
}

void event::reset() noexcept {
  detail::wait_list::section list{list_};
  list.set_flags(0);
}

bool event::wait_until_(time_point deadline) {
  if (is_set()) {
    detail::check_cancelled();
    return true;
  }
  if (deadline != never && deadline <= detail::deadline_after(std::chrono::nanoseconds{0})) {
    detail::check_cancelled();
    return is_set();
  }
  waiter self{"event"};
  detail::wait_node node{self};
  {
    detail::wait_list::section list{list_};
    if (list.flags() == set_flag) return true;
    list.push_back(node);
  }
  auto const cause = self.wait(deadline);
  if (cause == wake_cause::notified) return true;
  bool set_at_last = false;  // it may have been set when the time was up already
  {
    detail::wait_list::section list{list_};
    list.remove(node);
    set_at_last = list.flags() == set_flag;
  }
  self.rethrow(cause);
  return set_at_last;
}

}  // namespace weft::inline v0
