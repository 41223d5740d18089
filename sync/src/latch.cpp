#include <weft/sync/latch.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <stdexcept>

namespace weft::inline v0 {

latch::latch(std::ptrdiff_t expected) : left_(expected) {
  if (expected < 0) throw std::invalid_argument("weft::latch: a negative count");
  if (expected == 0) (void)list_.try_set_flags(0, open_flag);
}

latch::~latch() { detail::check_unawaited(list_, "a latch is destroyed while somebody waits for it"); }

void latch::count_down(std::ptrdiff_t n) {
  if (n < 0) throw std::invalid_argument("weft::latch::count_down: a negative number");
  auto left = left_.load(std::memory_order_relaxed);  // the exchange decides
  do {
    if (n > left) throw std::invalid_argument("weft::latch::count_down: more than is left");
    // release: publishes what was done before to who takes the last off. acquire: that one hands all of it on.
  } while (!left_.compare_exchange_weak(left, left - n, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (left != n || n == 0) return;
  if (!list_.try_set_flags(0, open_flag)) list_.set_flags_and_wake(open_flag);
}

bool latch::wait_until_(time_point deadline) {
  detail::check_cancelled();
  if (!try_wait()) {
    if (detail::only_tries(deadline)) return false;
    waiter self{"latch"};
    detail::wait_node node{self};
    auto const is_open = [](auto const& line) { return line.flags() == open_flag; };
    if (detail::wait_in_line(list_, node, self, deadline, is_open)) return true;
    if (!try_wait()) return false;  // it may have been opened when the time was up already
  }
  list_.wait_unlocked();  // by who opened it: the caller may be about to destroy it
  return true;
}

}  // namespace weft::inline v0
