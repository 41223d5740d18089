#include <weft/runtime/detail/turns.hpp>

#include <weft/runtime/waiter.hpp>

namespace weft::inline v0::detail {

void turns::lock() {
  if (list_.try_set_flags(0, held)) return;
  waiter self{"turn"};
  wait_node node{self};
  {
    wait_list::section list{list_};
    if (list.flags() == 0) return list.set_flags(held);
    list.push_back(node);
  }
  auto const cause = self.wait();
  if (cause == wake_cause::notified) return;  // the turn is ours
  {
    wait_list::section list{list_};
    list.remove(node);
  }
  self.rethrow(cause);
}

void turns::unlock() noexcept {
  if (list_.try_set_flags(held, 0)) return;  // nobody waits
  wait_list::section list{list_};
  while (wait_node* const node = list.pop_front()) {
    if (node->owner->notify()) return;  // and it stays held
  }
  list.set_flags(0);
}

}  // namespace weft::inline v0::detail
