#pragma once
/// @file
/// `fiber`: the handle of a fiber, and what a fiber does with itself.

#include <weft/compat/context.hpp>
#include <weft/compat/launch.hpp>
#include <weft/runtime/clock.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft::inline v0::compat {

namespace fibers {

/// As `boost::fibers::fiber`. A fiber that is still joinable() when its handle dies ends the process, and so does an
/// exception that leaves its callable, except for weft's own `cancelled`.
/// @par Thread safety
/// The handle is used by one fiber or thread at a time.
class fiber {
public:
  using id = context::id;

  /// No fiber.
  fiber() noexcept = default;
  /// Runs `f(args...)`, all of which are moved or copied into the fiber, by `launch::post`.
  /// @throws what weft::spawn() throws
  template <class F, class... Args>
    requires(!std::is_same_v<std::decay_t<F>, fiber> && !detail::is_launch<F> &&
             !std::is_same_v<std::decay_t<F>, std::allocator_arg_t>)
  fiber(F&& f, Args&&... args)  // NOLINT: converts, as Boost's
      : fiber(launch::post, std::allocator_arg, default_stack(), std::forward<F>(f), std::forward<Args>(args)...) {}
  template <class F, class... Args>
    requires(!std::is_same_v<std::decay_t<F>, std::allocator_arg_t>)
  fiber(launch policy, F&& f, Args&&... args)
      : fiber(policy, std::allocator_arg, default_stack(), std::forward<F>(f), std::forward<Args>(args)...) {}
  template <class StackAllocator, class F, class... Args>
  fiber(std::allocator_arg_t, StackAllocator&& stacks, F&& f, Args&&... args)
      : fiber(launch::post, std::allocator_arg, std::forward<StackAllocator>(stacks), std::forward<F>(f),
              std::forward<Args>(args)...) {}
  template <class StackAllocator, class F, class... Args>
  fiber(launch policy, std::allocator_arg_t, StackAllocator&& stacks, F&& f, Args&&... args) {
    using body = body_of<std::decay_t<F>, std::decay_t<Args>...>;
    context_ = detail::start_fiber(policy, detail::stack_size_of(stacks),
                                   std::make_unique<body>(std::forward<F>(f), std::forward<Args>(args)...));
  }

  fiber(fiber const&) = delete;
  fiber& operator=(fiber const&) = delete;
  fiber(fiber&& other) noexcept : context_(std::move(other.context_)) {}
  /// Ends the process if joinable().
  fiber& operator=(fiber&& other) noexcept {
    if (joinable()) std::terminate();
    context_ = std::move(other.context_);
    return *this;
  }
  ~fiber() {
    if (joinable()) std::terminate();
  }

  void swap(fiber& other) noexcept { context_.swap(other.context_); }
  friend void swap(fiber& a, fiber& b) noexcept { a.swap(b); }
  friend bool operator<(fiber const& a, fiber const& b) noexcept { return a.get_id() < b.get_id(); }

  /// Whether there is a fiber that has been neither joined nor detached.
  [[nodiscard]] bool joinable() const noexcept { return context_ != nullptr; }
  [[nodiscard]] id get_id() const noexcept { return context_ != nullptr ? context_->get_id() : id{}; }
  /// Waits until the fiber has ended; joinable() no longer. A cancellation point: cancelled, it is still joinable.
  /// @throws fiber_error  invalid_argument, if not joinable(); resource_deadlock_would_occur, on the fiber itself
  void join();
  /// Lets the fiber go on by itself.
  /// @throws fiber_error  invalid_argument, if not joinable()
  void detach();

private:
  template <class F, class... Args>
  struct body_of final : detail::fiber_body {
    template <class... From>
    explicit body_of(From&&... from) : call(std::forward<From>(from)...) {}
    void run() override {
      std::apply([](F& f, Args&... args) { (void)std::invoke(std::move(f), std::move(args)...); }, call);
    }
    std::tuple<F, Args...> call;
  };

  detail::context_ptr context_;
};

}  // namespace fibers

namespace this_fiber {

/// The caller's, be it a fiber or a plain thread.
[[nodiscard]] inline fibers::fiber::id get_id() { return fibers::context::active()->get_id(); }

/// Lets every other fiber run that is ready. On a plain thread, the thread's fibers. A cancellation point.
inline void yield() { detail::yield(); }

/// Waits until `deadline`; on a plain thread, while its fibers run. A cancellation point.
template <class Clock, class Duration>
void sleep_until(std::chrono::time_point<Clock, Duration> const& deadline) {
  detail::sleep_until(weft::detail::to_deadline(deadline));
}
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> const& duration) {
  detail::sleep_until(weft::detail::deadline_after(weft::detail::to_nanoseconds(duration)));
}

}  // namespace this_fiber
}  // namespace weft::inline v0::compat
