#include <weft/sync/wait_group.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <limits>
#include <stdexcept>

namespace weft::inline v0 {

wait_group::~wait_group() { detail::check_unawaited(list_, "a wait_group is destroyed while somebody waits for it"); }

void wait_group::add(std::ptrdiff_t n) {
  detail::wait_node* claimed = nullptr;
  {
    detail::wait_list::section line{list_};
    if (n < -count_) throw std::invalid_argument("weft::wait_group: more has been counted out than in");
    if (n > std::numeric_limits<std::ptrdiff_t>::max() - count_) {
      throw std::overflow_error("weft::wait_group: more than can be counted");
    }
    count_ += n;
    if (count_ != 0 || line.empty()) return;
    (void)line.claim(static_cast<std::size_t>(-1), &claimed);
  }
  detail::wake_all(claimed);
}

std::ptrdiff_t wait_group::count() const noexcept {
  detail::wait_list::section const line{list_};
  return count_;
}

bool wait_group::wait_until_(time_point deadline) {
  detail::check_cancelled();
  if (count() == 0) return true;
  if (detail::only_tries(deadline)) return false;
  waiter self{"wait group"};
  detail::wait_node node{self};
  return detail::wait_in_line(list_, node, self, deadline, [this](auto const&) { return count_ == 0; }) ||
         count() == 0;  // the last may have come when the time was up already
}

}  // namespace weft::inline v0
