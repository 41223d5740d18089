#include <weft/runtime/wait.hpp>

#include "task_end.hpp"

#include <weft/runtime/as_completed.hpp>
#include <weft/runtime/error.hpp>

#include <string>

namespace weft::inline v0::detail {

void wait_for_tasks(end_watch& watch, fiber_record* const* records, return_when when, time_point deadline) {
  if (watch.left() == 0) check_cancelled();
  while (watch.left() != 0) {
    auto const ended = watch.next(deadline, cancellation::heeded);
    if (!ended || when == return_when::first_completed) return;
    if (when == return_when::first_exception && ended_in_failure(*records[*ended])) return;
  }
}

void throw_as_completed_timeout(std::size_t left) {
  throw timeout_error("weft::as_completed: the time limit has passed, and " + std::to_string(left) +
                      (left == 1 ? " task has" : " tasks have") + " not ended");
}

}  // namespace weft::inline v0::detail
