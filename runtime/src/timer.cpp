#include <weft/runtime/timer.hpp>

#include "record_pool.hpp"
#include "stack_pool.hpp"

#include <weft/runtime/detail/scope_node.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace weft::inline v0::detail {

namespace {

time_point now() noexcept { return deadline_after(std::chrono::nanoseconds{0}); }

void report(std::exception_ptr error) noexcept {
  record_pool::of(current_fiber())->report_unhandled(std::move(error), this_fiber::name());
}

void call_and_report(void (*call)(void*), void* f) {
  try {
    call(f);
  } catch (cancelled const& c) {
    if (is_from_enclosing_scope(c)) throw;
    report(std::current_exception());  // somebody else's, which f let pass: a failure like any other
  } catch (...) {
    report(std::current_exception());
  }
}

/// The last time due that has passed, so that the next has not.
time_point skip_missed(time_point due, std::chrono::nanoseconds period, time_point present) noexcept {
  if (present <= due) return due;
  return due + (present - due - std::chrono::nanoseconds{1}) / period * period;
}

/// Calls that run side by side. All that run are cancelled and joined with it.
class concurrent_calls {
public:
  concurrent_calls(void (*call)(void*), void* f) : call_(call), f_(f) {}
  concurrent_calls(concurrent_calls const&) = delete;
  ~concurrent_calls() {
    // All first, so that they end side by side; then each is joined by its handle.
    for (auto const& t : running_) t.cancel(cancel_reason::handle_dropped);
  }

  void start() {
    std::erase_if(running_, [](task<void> const& t) { return t.ready(); });
    fiber_record const& self = *current_fiber();
    spawn_options options;
    options.name = this_fiber::name();
    options.stack_size = stack_pool::size_of(self.stack_class);
    try {
      running_.push_back(spawn(options, [call = call_, f = f_] { call_and_report(call, f); }));
    } catch (runtime_stopped const&) {
      stopping_ = true;
    } catch (...) {
      report(std::current_exception());  // no memory for this one; there may be for the next
    }
  }
  /// The runtime takes no more fibers, and will cancel us.
  [[nodiscard]] bool stopping() const noexcept { return stopping_; }

private:
  void (*call_)(void*);
  void* f_;
  bool stopping_ = false;
  std::vector<task<void>> running_;
};

}  // namespace

void sleep_before(time_point due) {
  if (due > now()) weft::sleep_until(due);
}

std::chrono::nanoseconds checked_period(std::chrono::nanoseconds period) {
  if (period.count() > 0) return period;
  throw std::invalid_argument("weft::every: the period is " + std::to_string(period.count()) +
                              " ns, and must be positive");
}

void call_every(time_point start, std::chrono::nanoseconds period, overlap policy, void (*call)(void*), void* f) {
  concurrent_calls calls{call, f};
  for (time_point due = add(start, period);; due = add(due, period)) {
    // Also for a call that is late: calls that take longer than the period must not keep the worker.
    due > now() ? weft::sleep_until(due) : this_fiber::yield();
    if (policy == overlap::concurrent) {
      calls.start();
      if (calls.stopping()) weft::sleep_until(never);
    } else {
      call_and_report(call, f);
      if (policy == overlap::skip) due = skip_missed(due, period, now());
    }
  }
}

}  // namespace weft::inline v0::detail
