#pragma once
/// @file
/// `task_group`: tasks that end before their group does, and so may refer to what outlives it.

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/group_core.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/exception_group.hpp>
#include <weft/runtime/outcome.hpp>
#include <weft/runtime/spawn.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::inline v0 {

class task_group;

namespace detail {
[[noreturn]] void throw_ready_twice();

template <class F>
struct group_body {
  using type = void;
};
template <std::invocable<task_group&> F>
struct group_body<F> {
  using type = std::invoke_result_t<F, task_group&>;
};
/// What the body of a with_task_group() returns; `void` where it is no such body.
template <class F>
using group_body_result = typename group_body<F>::type;

template <class T>
struct start_slot_for : start_slot {
  std::optional<T> value;
};
template <>
struct start_slot_for<void> : start_slot {};
}  // namespace detail

/// With what a task that was started by task_group::start() says that it is ready: `ready(value)`, or `ready()` where
/// `T` is `void`. Used once, on the task or on what it waits for.
template <class T>
class ready_signal {
public:
  ready_signal(ready_signal const&) = delete;

  /// start() returns, with `value`. Does not wait.
  /// @throws error  if it was called before
  template <class... V>
    requires(std::is_void_v<T> ? sizeof...(V) == 0 : sizeof...(V) == 1)
  void operator()(V&&... value) {
    auto* const slot = std::exchange(slot_, nullptr);
    if (slot == nullptr) detail::throw_ready_twice();
    if constexpr (!std::is_void_v<T>) {
      try {
        slot->value.emplace(std::forward<V>(value)...);
      } catch (...) {
        slot_ = slot;
        throw;
      }
    }
    group_.resolve(*slot);
  }

private:
  friend class task_group;
  ready_signal(detail::group_core& group, detail::start_slot_for<T>& slot) noexcept : group_(group), slot_(&slot) {}

  detail::group_core& group_;
  detail::start_slot_for<T>* slot_;
};

/// Tasks that are waited for together. When one fails, the others are cancelled (reason sibling_failed). The group
/// waits for all of them before it goes, so they may refer to anything that is older than it.
///
///     weft::task_group g;
///     for (auto& item : items) g.spawn([&item] { handle(item); });
///     g.wait();
///
/// Only tasks are cancelled, not the code that has the group; see with_task_group() for that.
/// @par Thread safety
/// spawn(), start(), cancel(), cancel_requested(), size() and failures(): any fiber, at once, as long as the group is
/// there; cancel() and the queries any thread, too. wait(), wait_all() and the destructor: one party.
class task_group {
public:
  task_group() noexcept = default;
  task_group(task_group const&) = delete;  // its tasks hold its address
  /// Cancels the tasks (reason handle_dropped) and waits for them, shielded from the caller's own cancellation.
  /// Failures that nobody has seen go to `on_unhandled_exception`. Aborts on one of the group's own tasks.
  ~task_group() = default;

  /// Runs `f(args...)` as a task of the group; what it returns is dropped. `f` and the arguments are moved or copied
  /// into the task. If the group has been cancelled, the task is, and is never called. Not a cancellation point.
  /// @throws error  if the group has been cancelled and then waited for
  /// @throws what weft::spawn() throws
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, spawn_options>)
  void spawn(F&& f, Args&&... args) {
    spawn(spawn_options{.where = {}}, std::forward<F>(f), std::forward<Args>(args)...);
  }
  /// The same with choices.
  /// @throws std::invalid_argument  for `detached`
  template <class F, class... Args>
  void spawn(spawn_options const& options, F&& f, Args&&... args) {
    constexpr bool fits = spawnable<F, Args...>;
    static_assert(fits,
                  "weft::task_group::spawn: the callable cannot be called with these arguments, which it gets moved or "
                  "copied; std::ref passes a reference");
    if constexpr (fits) spawn_(options, std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// Runs `f(ready)` as a task of the group, and waits until it calls `ready`, which is a `ready_signal<T>&`:
  ///
  ///     int const port = g.start<int>([&](auto& ready) { server s; ready(s.port()); s.run(); });
  ///
  /// @returns what `ready` was called with
  /// @throws what `f` throws before it is ready, which then is no failure of the group; error, if it returns before;
  ///   otherwise as spawn()
  /// @par Cancellation
  /// A cancellation point. If the caller is cancelled meanwhile, so is the task; it has ended, or was ready after all,
  /// when start() throws.
  template <class T = void, class F>
  T start(F&& f) {
    return start<T>(spawn_options{.where = {}}, std::forward<F>(f));
  }
  template <class T = void, class F>
  T start(spawn_options const& options, F&& f) {
    static_assert(std::is_void_v<T> || std::is_object_v<T>, "weft::task_group::start: T is a type of values, or void");
    constexpr bool fits = std::invocable<std::decay_t<F>, ready_signal<T>&>;
    static_assert(fits, "weft::task_group::start: the callable must take a ready_signal<T>&");
    if constexpr (fits) return start_<T>(options, std::forward<F>(f));
  }

  /// Waits until no task is left, including those that tasks spawn meanwhile.
  /// @throws the failure that came first, as itself, whenever it is called; failures() then has the others
  /// @throws std::system_error  resource_deadlock_would_occur, on one of the group's own tasks
  /// @par Cancellation
  /// A cancellation point, even where it need not wait. If the caller is cancelled, so are the tasks, and wait() still
  /// waits for them; then it throws a failure if there was one, else `cancelled`.
  void wait() { core_.wait(); }
  /// The same, but throws all failures as one `exception_group`, also if there is only one.
  void wait_all() { core_.wait_all(); }

  /// Asks all tasks to end, those too that are spawned later. Does not wait. wait() then returns quietly, if no task
  /// fails. Only the first reason counts.
  void cancel(cancel_reason reason = cancel_reason::user) noexcept { core_.cancel(reason); }
  /// Whether the group has been cancelled: by cancel(), by a failure, or because who waited for it was.
  [[nodiscard]] bool cancel_requested() const noexcept { return core_.cancel_requested(); }

  /// What tasks have failed with so far, in order, but for the one that wait() has thrown. A task's own cancellation is
  /// no failure. These count as seen.
  [[nodiscard]] std::vector<std::exception_ptr> failures() const { return core_.failures(); }

  /// Tasks that have not ended.
  [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }

private:
  template <class F>
  friend auto with_task_group(F&& body) -> detail::group_body_result<F>;
  /// One that also cancels `body`.
  explicit task_group(cancel_scope& body) noexcept : core_(body) {}

  template <class F, class... Args>
  void spawn_(spawn_options const& options, F&& f, Args&&... args) {
    detail::check_callable<std::decay_t<F>>(f);
    core_.spawn(options, [f = std::decay_t<F>(std::forward<F>(f)),
                          args = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)]() mutable {
      std::apply([&](auto&... arg) { (void)std::invoke(std::move(f), std::move(arg)...); }, args);
    });
  }

  template <class T, class F>
  T start_(spawn_options const& options, F&& f) {
    detail::check_callable<std::decay_t<F>>(f);
    detail::check_cancelled();
    detail::start_slot_for<T> slot;
    core_.spawn(
        options,
        [f = std::decay_t<F>(std::forward<F>(f)), &core = core_, &slot]() mutable {
          ready_signal<T> ready{core, slot};
          (void)std::invoke(std::move(f), ready);
        },
        &slot);
    core_.await_start(slot);
    if constexpr (!std::is_void_v<T>) return std::move(*slot.value);
  }

  detail::group_core core_;
};

/// Calls `body(group)` with a task group, and waits for its tasks. When one fails, the body is cancelled, too: its
/// waits throw; and when the body fails, so are the tasks. `group.cancel()` ends all of them quietly.
///
///     weft::with_task_group([&](weft::task_group& g) {
///       g.spawn([&] { serve(port); });
///       g.spawn([&] { watch(files); });
///     });
///
/// @returns what `body` returns
/// @throws the failure that came first, as itself, be it the body's or a task's, when all have ended. What others fail
///   with goes to `on_unhandled_exception`, unless failures() has been asked for it
/// @throws cancelled  if `body` returns a value and has been cut short by `group.cancel()`
/// @par Cancellation
/// A cancellation point at its end, where it waits for the tasks. If the caller is cancelled, so are body and tasks;
/// then a failure is thrown if there was one, else `cancelled`.
template <class F>
auto with_task_group(F&& body) -> detail::group_body_result<F> {
  constexpr bool fits = std::invocable<F, task_group&>;
  static_assert(fits, "weft::with_task_group: the body must take a task_group&");
  if constexpr (fits) {
    using result = detail::group_body_result<F>;
    bool cut_short = false;
    auto ended = [&]() -> outcome<result> {
      cancel_scope scope;
      task_group group{scope};
      auto called = [&]() -> outcome<result> {
        try {
          if constexpr (std::is_void_v<result>) {
            std::invoke(std::forward<F>(body), group);
            return outcome<result>{std::in_place};
          } else {
            return outcome<result>{std::in_place, std::invoke(std::forward<F>(body), group)};
          }
        } catch (...) {
          return outcome<result>{std::current_exception()};
        }
      }();
      cut_short = group.core_.end_body(called.exception());
      return called;
    }();
    if (cut_short) detail::check_cancelled();  // by a scope around the group's, after the group was
    if constexpr (!std::is_void_v<result>) return std::move(ended).value();
  }
}

}  // namespace weft::inline v0
