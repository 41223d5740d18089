#pragma once
/// @file
/// Starting fibers from fibers.

#include <weft/runtime/task.hpp>

#include <concepts>
#include <functional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

/// A callable that a fiber can run with these arguments, all of which it owns.
template <class F, class... Args>
concept spawnable = std::constructible_from<std::decay_t<F>, F> &&
                    (std::constructible_from<std::decay_t<Args>, Args> && ...) &&
                    std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

namespace detail {

template <class>
inline constexpr bool never_true = false;
/// What a call returns that a static_assert refuses, so that nothing but that is said.
struct misused {};

template <class F, class... Args>
using spawn_result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;

/// Function pointers and wrappers such as `std::function` may hold nothing to call.
template <class F>
void check_callable(F const& f) {
  bool empty = false;
  if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) {
    empty = f == nullptr;
  } else if constexpr (requires { f.operator bool(); }) {
    empty = !static_cast<bool>(f);
  }
  if (empty) throw std::invalid_argument("weft::spawn: the callable is empty");
}

template <class F, class... Args>
[[gnu::always_inline]] inline task<spawn_result<F, Args...>> spawn_in(scheduler* home, spawn_options const* options,
                                                                      F&& f, Args&&... args) {
  using result = spawn_result<F, Args...>;
  check_callable<std::decay_t<F>>(f);
  constexpr bool plain = (std::is_trivially_copyable_v<std::decay_t<F>> && ... &&
                          std::is_trivially_copyable_v<std::decay_t<Args>>);
  if constexpr (sizeof...(Args) == 0) {
    return make_task<result, plain>(home, options, std::forward<F>(f));
  } else {
    return make_task<result, plain>(
        home, options,
        [f = std::decay_t<F>(std::forward<F>(f)),
         args = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)]() mutable -> result {
          return std::apply([&](auto&... arg) -> result { return std::invoke(std::move(f), std::move(arg)...); }, args);
        });
  }
}

}  // namespace detail

/// Runs `f(args...)` as a fiber of the caller's runtime. `f` and the arguments are moved or copied into the fiber; pass
/// `std::ref` for a reference, whose target must outlive the task.
/// Not a cancellation point. A cancelled fiber may still spawn.
/// @throws no_runtime  when called outside of a fiber; use `runtime::spawn` there
/// @throws runtime_stopped  when the runtime is shutting down
/// @throws std::invalid_argument  for an empty callable or a stack size out of range
/// @throws std::bad_alloc, and what copying `f` or an argument throws
template <class F, class... Args>
  requires spawnable<F, Args...>
[[gnu::always_inline]] inline task<detail::spawn_result<F, Args...>> spawn(F&& f, Args&&... args) {
  return detail::spawn_in(nullptr, nullptr, std::forward<F>(f), std::forward<Args>(args)...);
}

/// The same with choices.
template <class F, class... Args>
  requires spawnable<F, Args...>
[[gnu::always_inline]] inline task<detail::spawn_result<F, Args...>> spawn(spawn_options const& options, F&& f,
                                                                           Args&&... args) {
  return detail::spawn_in(nullptr, &options, std::forward<F>(f), std::forward<Args>(args)...);
}

/// Chosen where neither of the others is, to say so in words.
template <class F, class... Args>
  requires(!spawnable<F, Args...> && !std::same_as<std::remove_cvref_t<F>, spawn_options>)
task<void> spawn(F&&, Args&&...) {
  static_assert(detail::never_true<F>,
                "weft::spawn: the callable cannot be called with these arguments, which it gets moved or copied; "
                "std::ref passes a reference");
  return {};
}
template <class F, class... Args>
  requires(!spawnable<F, Args...>)
task<void> spawn(spawn_options const&, F&&, Args&&...) {
  static_assert(detail::never_true<F>,
                "weft::spawn: the callable cannot be called with these arguments, which it gets moved or copied; "
                "std::ref passes a reference");
  return {};
}

}  // namespace weft::inline v0
