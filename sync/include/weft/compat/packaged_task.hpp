#pragma once
/// @file
/// `packaged_task`: a callable whose result goes to a future.

#include <weft/compat/errors.hpp>
#include <weft/compat/future.hpp>
#include <weft/runtime/error.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0::compat {

namespace detail {

template <class R, class... Args>
struct task_state : shared_state<R> {
  virtual ~task_state() = default;
  virtual void run(Args&&... args) = 0;
  /// One that has not run yet, with the same callable, which is taken out of this one.
  [[nodiscard]] virtual std::shared_ptr<task_state> renewed() = 0;
};

template <class F, class Allocator, class R, class... Args>
struct task_state_of final : task_state<R, Args...> {
  template <class From>
  task_state_of(Allocator const& from_where, From&& from) : allocator(from_where), f(std::forward<From>(from)) {}

  void run(Args&&... args) override {
    if (this->ready()) throw fibers::promise_already_satisfied();
    try {
      if constexpr (std::is_void_v<R>) {
        (void)std::invoke(f, std::forward<Args>(args)...);
        this->set_value();
      } else if constexpr (std::is_reference_v<R>) {
        R result = std::invoke(f, std::forward<Args>(args)...);
        this->set_value(std::addressof(result));
      } else {
        this->set_value(std::invoke(f, std::forward<Args>(args)...));
      }
    } catch (cancelled const&) {
      throw;  // ends the fiber; nobody else is to take it for its own
    } catch (...) {
      this->set_exception(std::current_exception());
    }
  }
  std::shared_ptr<task_state<R, Args...>> renewed() override {
    return std::allocate_shared<task_state_of>(allocator, allocator, std::move(f));
  }

  Allocator allocator;
  F f;
};

}  // namespace detail

namespace fibers {

template <class Signature>
class packaged_task;

/// @par Thread safety
/// Used by one fiber or thread at a time, which need not be the one that has the future.
template <class R, class... Args>
class packaged_task<R(Args...)> {
public:
  /// Without a task.
  packaged_task() noexcept = default;
  template <class F>
    requires(!std::is_same_v<std::decay_t<F>, packaged_task>)
  explicit packaged_task(F&& f) : packaged_task(std::allocator_arg, std::allocator<std::byte>(), std::forward<F>(f)) {}
  template <class Allocator, class F>
  packaged_task(std::allocator_arg_t, Allocator const& allocator, F&& f) {
    using held = detail::task_state_of<std::decay_t<F>, Allocator, R, Args...>;
    state_ = std::allocate_shared<held>(allocator, allocator, std::forward<F>(f));
  }
  packaged_task(packaged_task&& other) noexcept
      : state_(std::move(other.state_)), retrieved_(std::exchange(other.retrieved_, false)) {}
  packaged_task& operator=(packaged_task&& other) noexcept {
    packaged_task(std::move(other)).swap(*this);
    return *this;
  }
  /// If it has not run, its future throws `broken_promise`.
  ~packaged_task() {
    if (state_ != nullptr) state_->abandon();
  }

  void swap(packaged_task& other) noexcept {
    state_.swap(other.state_);
    std::swap(retrieved_, other.retrieved_);
  }
  [[nodiscard]] bool valid() const noexcept { return state_ != nullptr; }
  /// Once.  @throws future_already_retrieved, packaged_task_uninitialized
  [[nodiscard]] future<R> get_future() {
    if (retrieved_) throw future_already_retrieved();
    (void)checked();
    retrieved_ = true;
    return detail::future_access::make<R>(state_);
  }
  /// Calls the callable; what it returns, or throws, is the result. Only weft's own `cancelled` passes on.
  /// @throws promise_already_satisfied  if it has run, packaged_task_uninitialized
  void operator()(Args... args) { checked().run(std::forward<Args>(args)...); }
  /// Makes it one that has not run, with the same callable. The future of before, if without a result, is abandoned.
  /// @throws packaged_task_uninitialized
  void reset() {
    packaged_task fresh;
    fresh.state_ = checked().renewed();
    swap(fresh);
  }

private:
  using state = detail::task_state<R, Args...>;

  [[nodiscard]] state& checked() const {
    if (state_ == nullptr) throw packaged_task_uninitialized();
    return *state_;
  }

  std::shared_ptr<state> state_;
  bool retrieved_ = false;
};

template <class Signature>
void swap(packaged_task<Signature>& a, packaged_task<Signature>& b) noexcept {
  a.swap(b);
}

}  // namespace fibers
}  // namespace weft::inline v0::compat
