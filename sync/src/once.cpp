#include <weft/sync/once.hpp>

#include "queueing.hpp"

namespace weft::inline v0 {

once_flag::found once_flag::try_begin() noexcept {
  if (list_.try_set_flags(0, busy_flag)) return found::free;
  detail::wait_list::section line{list_};
  if (line.flags() == 0) {
    line.set_flags(busy_flag);
    return found::free;
  }
  return line.flags() == done_flag ? found::done : found::busy;
}

once_flag::found once_flag::begin(time_point deadline) {
  detail::check_cancelled();
  if (list_.try_set_flags(0, busy_flag)) return found::free;
  bool const tries = detail::only_tries(deadline);
  waiter self{"call_once"};
  detail::wait_node node{self};
  auto at_first = found::busy;
  bool const in_time = detail::wait_in_line(list_, node, self, deadline, [&](auto& line) {
    if (line.flags() == done_flag) {
      at_first = found::done;
    } else if (line.flags() == 0) {
      at_first = found::free;
      line.set_flags(busy_flag);
    }
    return at_first != found::busy || tries;
  });
  if (at_first != found::busy || tries) return at_first;
  if (!in_time) return try_begin();              // it may be done, or free, by now, in the same moment
  list_.wait_unlocked();                         // by who woke us: the caller may be about to destroy the flag
  return is_done() ? found::done : found::free;  // if the call before has failed, it is our turn; `busy` has stayed set
}

void once_flag::end(bool done) noexcept {
  if (done) {
    if (!list_.try_set_flags(busy_flag, done_flag)) list_.set_flags_and_wake(done_flag);
    return;
  }
  detail::wait_node* next = nullptr;
  {
    detail::wait_list::section line{list_};
    next = detail::claim_first(line);
    if (next == nullptr) line.set_flags(0);
  }
  if (next != nullptr) next->owner->wake();
}

}  // namespace weft::inline v0
