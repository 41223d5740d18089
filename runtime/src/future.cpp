#include <weft/runtime/future.hpp>

#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <future>
#include <stdexcept>

namespace weft::inline v0::detail {

void throw_no_state() { throw std::future_error(std::future_errc::no_state); }

void future_state::retrieve() {
  // relaxed: it only counts. The future gets to others by the caller's own means.
  if (retrieved_.exchange(true, std::memory_order_relaxed)) {
    throw std::future_error(std::future_errc::future_already_retrieved);
  }
}

void future_state::claim() {
  if (!try_claim()) throw std::future_error(std::future_errc::promise_already_satisfied);
}

void future_state::publish() noexcept {
  if (list_.try_set_flags(0, ready)) return;  // nobody waits
  list_.set_flags_and_wake(ready);
}

void future_state::set_exception(std::exception_ptr error) {
  if (!error) throw std::invalid_argument("weft::promise::set_exception: the exception pointer is null");
  claim();
  publish(std::move(error));
}

bool future_state::try_set_exception(std::exception_ptr error) noexcept {
  if (!try_claim()) return false;
  publish(std::move(error));
  return true;
}

void future_state::abandon(char const* why) noexcept {
  // acquire: if the promise is the last owner, what its futures did comes before the deletion.
  if (owners_.load(std::memory_order_acquire) == 1 || !try_claim()) return;
  try {
    error_ = std::make_exception_ptr(broken_promise(why));
  } catch (...) {  // no memory for the message
    error_ = std::current_exception();
  }
  publish();
}

bool future_state::await(time_point deadline, char const* reason) {
  if (is_ready()) return true;
  try {
    if (wait(deadline, reason)) return true;
  } catch (...) {
    if (try_claim()) throw;
  }
  if (!is_ready() && try_claim()) return false;
  // A setter was faster, and is about to publish. A cancellation strikes at the next wait.
  return wait(never, reason, cancellation::ignored);
}

bool future_state::wait(time_point deadline, char const* reason, cancellation mode) {
  bool const heeds = mode == cancellation::heeded;
  if (is_ready()) {
    if (heeds) check_cancelled();
    return true;
  }
  if (deadline != never && deadline <= deadline_after(std::chrono::nanoseconds{0})) {
    if (heeds) check_cancelled();
    return is_ready();
  }
  waiter self{reason, mode};
  wait_node node{self};
  {
    wait_list::section list{list_};
    if (list.flags() == ready) return true;
    list.push_back(node);
  }
  auto const cause = self.wait(deadline);
  if (cause == wake_cause::notified) return true;
  {
    wait_list::section list{list_};
    list.remove(node);
  }
  self.rethrow(cause);
  return is_ready();
}

}  // namespace weft::inline v0::detail
