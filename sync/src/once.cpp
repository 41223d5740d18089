#include <weft/sync/once.hpp>

#include "queueing.hpp"

namespace weft::inline v0 {

bool once_flag::begin() {
  detail::check_cancelled();
  if (list_.try_set_flags(0, busy_flag)) return true;
  waiter self{"call_once"};
  detail::wait_node node{self};
  enum class found : unsigned char { busy, free, done } at_first = found::busy;
  (void)detail::wait_in_line(list_, node, self, never, [&at_first](auto& line) {
    if (line.flags() == done_flag) {
      at_first = found::done;
    } else if (line.flags() == 0) {
      at_first = found::free;
      line.set_flags(busy_flag);
    }
    return at_first != found::busy;
  });
  if (at_first != found::busy) return at_first == found::free;
  list_.wait_unlocked();  // by who woke us: the caller may be about to destroy the flag
  return !is_done();      // if the call before has failed, it is our turn, and `busy` has stayed set
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
