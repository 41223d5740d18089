#include <weft/sync/semaphore.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <stdexcept>

namespace weft::inline v0 {

semaphore::semaphore(std::ptrdiff_t permits) : semaphore(permits, max()) {}

semaphore::semaphore(std::ptrdiff_t permits, std::ptrdiff_t most) : count_(permits), most_(most) {
  if (permits < 0) throw std::invalid_argument("weft::semaphore: a negative number of permits");
}

semaphore::~semaphore() {
  detail::check_unawaited(list_, "a semaphore is destroyed while somebody waits for a permit");
}

bool semaphore::take(detail::wait_list::section const& line) noexcept {
  if (count_ == 0 || !line.empty()) return false;
  --count_;
  return true;
}

bool semaphore::try_acquire() noexcept {
  detail::wait_list::section const line{list_};
  return take(line);
}

bool semaphore::acquire_until_(time_point deadline) {
  detail::check_cancelled();
  if (try_acquire()) return true;
  if (detail::only_tries(deadline)) return false;
  waiter self{"semaphore"};
  detail::wait_node node{self};
  return detail::wait_in_line(list_, node, self, deadline, [this](auto const& line) { return take(line); });
}

void semaphore::release(std::ptrdiff_t permits) {
  if (permits < 0) throw std::invalid_argument("weft::semaphore::release: a negative number of permits");
  detail::wait_node* claimed = nullptr;
  {
    detail::wait_list::section line{list_};
    if (permits > most_ - count_) {
      throw std::overflow_error(most_ == max()
                                    ? "weft::semaphore::release: more permits than max()"
                                    : "weft::semaphore::release: more permits than there were at the beginning");
    }
    for (detail::wait_node** last = &claimed; permits > 0; --permits) {
      detail::wait_node* const next = detail::claim_first(line);
      if (next == nullptr) break;
      *last = next;
      last = &next->next;
    }
    count_ += permits;
  }
  // The slot for who goes next holds one: of several the last would go first.
  auto const where = claimed != nullptr && claimed->next == nullptr ? placement::next : placement::back;
  while (claimed != nullptr) {
    detail::wait_node* const next = claimed->next;  // the node is gone as soon as its waiter has been woken
    claimed->owner->wake(where);                    // and with the last, the semaphore may be
    claimed = next;
  }
}

std::ptrdiff_t semaphore::value() const noexcept {
  detail::wait_list::section const line{list_};
  return count_;
}

}  // namespace weft::inline v0
