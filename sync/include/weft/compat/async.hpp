#pragma once
/// @file
/// `async`: a call as a fiber, and its result as a future. The future does not wait for the fiber when it dies.

#include <weft/compat/fiber.hpp>
#include <weft/compat/future.hpp>
#include <weft/compat/launch.hpp>
#include <weft/compat/packaged_task.hpp>

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0::compat {

namespace detail {

template <class F, class... Args>
using async_result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;

template <class StackAllocator, class Allocator, class F, class... Args>
[[nodiscard]] fibers::future<async_result<F, Args...>> start_async(fibers::launch policy, StackAllocator const& stacks,
                                                                   Allocator const& allocator, F&& f, Args&&... args) {
  fibers::packaged_task<async_result<F, Args...>(std::decay_t<Args>...)> call(std::allocator_arg, allocator,
                                                                              std::forward<F>(f));
  auto result = call.get_future();
  fibers::fiber(policy, std::allocator_arg, stacks, std::move(call), std::forward<Args>(args)...).detach();
  return result;
}

}  // namespace detail

namespace fibers {

/// Calls `f(args...)`, all of which are moved or copied into the fiber, by `launch::post`.
/// @throws what fiber's constructor throws
template <class F, class... Args>
  requires(!detail::is_launch<F>)
future<detail::async_result<F, Args...>> async(F&& f, Args&&... args) {
  return detail::start_async(launch::post, default_stack(), std::allocator<std::byte>(), std::forward<F>(f),
                             std::forward<Args>(args)...);
}
template <class F, class... Args>
  requires(!std::is_same_v<std::decay_t<F>, std::allocator_arg_t>)
future<detail::async_result<F, Args...>> async(launch policy, F&& f, Args&&... args) {
  return detail::start_async(policy, default_stack(), std::allocator<std::byte>(), std::forward<F>(f),
                             std::forward<Args>(args)...);
}
template <class StackAllocator, class F, class... Args>
  requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
future<detail::async_result<F, Args...>> async(launch policy, std::allocator_arg_t, StackAllocator stacks, F&& f,
                                               Args&&... args) {
  return detail::start_async(policy, stacks, std::allocator<std::byte>(), std::forward<F>(f),
                             std::forward<Args>(args)...);
}
/// @param allocator  of what the call and the future share
template <class StackAllocator, class Allocator, class F, class... Args>
  requires(!std::is_invocable_v<Allocator, std::decay_t<F>, std::decay_t<Args>...>)
future<detail::async_result<F, Args...>> async(launch policy, std::allocator_arg_t, StackAllocator stacks,
                                               Allocator allocator, F&& f, Args&&... args) {
  return detail::start_async(policy, stacks, allocator, std::forward<F>(f), std::forward<Args>(args)...);
}

}  // namespace fibers
}  // namespace weft::inline v0::compat
