#include <weft/runtime/gather.hpp>

#include "task_end.hpp"

#include <weft/runtime/error.hpp>

namespace weft::inline v0::detail {

namespace {

void cancel_those_that_run(fiber_record* const* records, std::size_t size, cancel_reason reason) noexcept {
  for (std::size_t i = 0; i < size; ++i) {
    if (!task_end::has_ended(records[i]->end)) cancel(*records[i], reason);
  }
}

}  // namespace

void join_tasks(fiber_record* const* records, std::size_t size, bool heed_failures) {
  end_watch watch{size};
  for (std::size_t i = 0; i < size; ++i) watch.add(*records[i]);
  if (size == 0) check_cancelled();
  fiber_record* first = nullptr;
  std::exception_ptr interrupted;
  while (watch.left() != 0) {
    try {
      auto const ended = watch.next(never, interrupted ? cancellation::ignored : cancellation::heeded);
      if (!heed_failures || first != nullptr || !ended_in_failure(*records[*ended])) continue;
      first = records[*ended];
      cancel_those_that_run(records, size, cancel_reason::sibling_failed);
    } catch (cancelled const& c) {
      interrupted = std::current_exception();
      cancel_those_that_run(records, size, c.reason());
    }
  }
  if (first != nullptr) take_once(*first);
  if (interrupted) std::rethrow_exception(interrupted);
  for (std::size_t i = 0; i < size; ++i) {
    fiber_record& each = *records[i];
    if (each.error ? heed_failures : each.collected) take_once(each);
  }
}

void take_once(fiber_record& of) {
  if (of.error) {
    of.collected = true;
    std::rethrow_exception(of.error);
  }
  if (of.collected) throw error("weft::gather: the result of a task has been taken already");
  of.collected = true;
}

}  // namespace weft::inline v0::detail
