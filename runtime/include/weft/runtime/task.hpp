#pragma once
/// @file
/// `task<T>`: the handle to a spawned fiber and its result.

#include <weft/runtime/detail/task_record.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

class fiber;

namespace detail {
struct task_access;
}

/// Owns a fiber and its result, as `std::jthread` owns a thread: when the handle dies, the fiber is cancelled and
/// joined.
/// @par Thread safety
/// The handle is used by one fiber or thread at a time, which may be any, in or out of a runtime; but `cancel()` and
/// `ready()` may be called by others meanwhile, as long as the handle stays. A finished task stays readable after its
/// runtime is gone.
template <class T>
class [[nodiscard]] task {
public:
  /// No task.
  task() noexcept = default;
  task(task&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  /// Cancels and joins the task held before.
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      drop();
      record_ = std::exchange(other.record_, nullptr);
    }
    return *this;
  }
  /// Cancels the task (reason handle_dropped) and waits for its end, shielded from the caller's own cancellation. An
  /// exception that nobody collected goes to `on_unhandled_exception`.
  ~task() { drop(); }

  /// False for an empty, a moved-from or a detached handle. All members but this one, assignment and destruction need
  /// it to be true, and throw `error` otherwise.
  [[nodiscard]] bool valid() const noexcept { return record_ != nullptr; }

  /// Waits for the end and takes the result: returns what the callable returned, or throws what left it. Once only.
  /// @par Cancellation
  /// A cancellation point of the caller; cancelled means that nothing has been taken.
  /// @throws stack_unavailable  if no stack could be had for the task, so that its callable was never called
  /// @throws std::system_error  resource_deadlock_would_occur, if a task waits for itself or tasks wait in a circle
  T get() {
    wait();
    auto& r = *record_;
    if (r.error) {
      r.collected = true;
      std::rethrow_exception(r.error);
    }
    if constexpr (!std::is_void_v<T>) {
      if (r.collected) throw error("weft::task::get: the result has been taken already");
      r.collected = true;
      if constexpr (std::is_reference_v<T>) {
        return static_cast<T>(*r.value);
      } else {
        return std::move(r.value);
      }
    }
  }

  /// Waits for the end; any number of times. Does not collect the exception. A cancellation point.
  void wait() const { (void)detail::join(checked(), never, cancellation::heeded); }

  /// Waits at most `limit`; with 0 it only looks.  @returns whether the task has ended. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) const {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether the task has ended. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) const {
    return wait_until_(detail::to_deadline(deadline));
  }

  /// Whether the task has ended. Never waits.
  [[nodiscard]] bool ready() const { return (checked().end.flags() & detail::fiber_record::ended) != 0; }

  /// The exception with which a task that is ready() ended, or null. Collects it.
  [[nodiscard]] std::exception_ptr exception() const {
    if (!ready()) throw error("weft::task::exception: the task has not ended yet");
    if (record_->error) record_->collected = true;
    return record_->error;
  }

  /// Asks the task to end: from now on each of its waits throws `cancelled`. If it has not started, its callable is
  /// never called. Does not wait. Only the first reason counts.
  void cancel(cancel_reason reason = cancel_reason::user) const { detail::cancel(checked(), reason); }

  /// Calls `callback()` when the task has ended: on its fiber, or at once, here, if it has. It must not wait; what it
  /// throws goes to `on_unhandled_exception`. Who waits for the task may go on before it has been called.
  /// @throws std::bad_alloc  and then `callback` is not called
  template <std::invocable F>
  void on_done(F callback) const {
    detail::add_end_callback(checked(), std::move(callback));
  }

  /// The name given at spawn, or an empty one.
  [[nodiscard]] std::string_view name() const {
    char const* const given = checked().name();
    return given != nullptr ? given : "";
  }

  /// Lets the task go on by itself. An exception that it ends with goes to `on_unhandled_exception`.
  void detach() {
    detail::release_handle(checked());
    record_ = nullptr;
  }

private:
  template <class U, bool Plain, class F>
  friend task<U> detail::make_task(detail::scheduler*, spawn_options const*, F&&);
  friend class fiber;  // the same fiber with another handle
  friend struct detail::task_access;
  explicit task(detail::result_record<T>* record) noexcept : record_(record) {}

  detail::result_record<T>& checked() const {
    if (record_ == nullptr) throw error("weft::task: the handle is empty (moved from, detached, or never assigned)");
    return *record_;
  }
  bool wait_until_(time_point deadline) const { return detail::join(checked(), deadline, cancellation::heeded); }
  void drop() noexcept {
    if (record_ != nullptr) detail::cancel_and_join(*std::exchange(record_, nullptr));
  }

  detail::result_record<T>* record_ = nullptr;
};

namespace detail {

/// For what waits for many tasks at once, and so works on their records.
struct task_access {
  /// @throws error  for an empty handle
  template <class T>
  [[nodiscard]] static fiber_record& record(task<T> const& of) {
    return of.checked();
  }
  /// Makes the handle empty; its owner must let the record go.
  template <class T>
  [[nodiscard]] static fiber_record* release(task<T>& from) noexcept {
    return std::exchange(from.record_, nullptr);
  }
};

}  // namespace detail

}  // namespace weft::inline v0
