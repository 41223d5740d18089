#pragma once
/// @file
/// `wait`: for the first, the first failure, or all of many tasks.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/end_watch.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <ranges>
#include <utility>
#include <vector>

namespace weft::inline v0 {

/// When wait() returns.
enum class return_when : unsigned char {
  first_completed,  ///< when one has ended, in whatever way
  first_exception,  ///< when one has failed, or all have ended; a task's own cancellation is no failure
  all_completed,    ///< when all have ended
};

/// Pointers to tasks, each group in the order in which they were given: those that have ended, and those that have not.
template <class Pointer>
struct [[nodiscard]] wait_result {
  std::vector<Pointer> done;
  std::vector<Pointer> pending;
};

namespace detail {

/// Waits as `when` says.  @throws cancelled
void wait_for_tasks(end_watch& watch, fiber_record* const* records, return_when when, time_point deadline);

template <class R>
auto wait_for_tasks_in(R& tasks, return_when when, time_point deadline) {
  std::vector<task_pointer_in<R>> pointers;
  std::vector<fiber_record*> records;
  for (auto&& element : tasks) {
    auto* const t = task_at(element);
    records.push_back(&task_access::record(*t));
    pointers.push_back(t);
  }
  {
    end_watch watch{records.size()};
    for (auto* const record : records) watch.add(*record);
    wait_for_tasks(watch, records.data(), when, deadline);
  }
  wait_result<task_pointer_in<R>> result;
  for (auto* const t : pointers) (t->ready() ? result.done : result.pending).push_back(t);
  return result;
}

}  // namespace detail

/// Waits for `tasks`, a range of tasks or of pointers to tasks. They may be waited for elsewhere at the same time. No
/// result and no exception is taken, nothing is cancelled: that is for the caller to do. To go on waiting, give it
/// `pending`. From fibers and threads.
/// @returns pointers to those that have ended and to those that have not; with no tasks two empty vectors at once
/// @par Cancellation
/// A cancellation point, even where it need not wait. The tasks go on.
/// @throws error  if one of the handles is empty; std::bad_alloc
template <detail::task_range R>
wait_result<detail::task_pointer_in<R>> wait(R& tasks, return_when when = return_when::all_completed) {
  return detail::wait_for_tasks_in(tasks, when, never);
}
/// The same, at most for `limit`; then those that have not ended are pending. With 0 it only looks.
template <detail::task_range R, class Rep, class Period>
wait_result<detail::task_pointer_in<R>> wait(R& tasks, return_when when, std::chrono::duration<Rep, Period> limit) {
  return detail::wait_for_tasks_in(tasks, when, detail::deadline_after(detail::to_nanoseconds(limit)));
}
template <detail::task_range R, class Rep, class Period>
wait_result<detail::task_pointer_in<R>> wait(R& tasks, std::chrono::duration<Rep, Period> limit) {
  return weft::wait(tasks, return_when::all_completed, limit);
}

}  // namespace weft::inline v0
