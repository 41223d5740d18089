#include <weft/runtime/exit_stack.hpp>

#include "record_pool.hpp"
#include "scheduler.hpp"
#include "task_end.hpp"
#include "worker.hpp"

#include <weft/runtime/cancel_scope.hpp>

namespace weft::inline v0 {

namespace detail {

namespace {

/// To the handler of the caller's runtime; on a thread, to stderr.
void report_at_exit(std::exception_ptr const& error) noexcept {
  if (fiber_record const* const self = current_fiber(); self != nullptr) return report_unhandled(*self, error);
  worker const* const w = current_worker();
  if (w != nullptr) return w->home.records->report_unhandled(error, "exit_stack");
  print_unhandled(error, "exit_stack");
}

}  // namespace

void call_at_exit(void (*call)(void*), void* f) noexcept {
  cancel_shield const shielded;
  try {
    call(f);
  } catch (...) {
    report_at_exit(std::current_exception());
  }
}

}  // namespace detail

std::unique_ptr<exit_stack::entry> exit_stack::take() noexcept {
  std::unique_ptr<entry> taken{newest_};
  newest_ = taken->older;
  --size_;
  return taken;
}

void exit_stack::unwind() noexcept {
  while (newest_ != nullptr) {
    auto const call = [](void* e) {
      std::unique_ptr<entry> const taken{static_cast<entry*>(e)};
      taken->leave();
    };
    detail::call_at_exit(call, take().release());
  }
}

void exit_stack::close() {
  std::exception_ptr first;
  while (newest_ != nullptr) {
    auto const taken = take();
    try {
      taken->leave();
    } catch (...) {
      if (!first) {
        first = std::current_exception();
      } else {
        detail::report_at_exit(std::current_exception());
      }
    }
  }
  if (first) std::rethrow_exception(first);
}

void exit_stack::release() noexcept {
  while (newest_ != nullptr) detail::call_at_exit([](void* e) { delete static_cast<entry*>(e); }, take().release());
}

}  // namespace weft::inline v0
