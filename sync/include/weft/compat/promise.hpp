#pragma once
/// @file
/// `promise`: a result that is set elsewhere.

#include <weft/compat/errors.hpp>
#include <weft/compat/future.hpp>

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0::compat {

namespace detail {

template <class R>
class promise_base {
public:
  promise_base() : state_(std::make_shared<shared_state<R>>()) {}
  template <class Allocator>
  promise_base(std::allocator_arg_t, Allocator const& allocator)
      : state_(std::allocate_shared<shared_state<R>>(allocator)) {}
  promise_base(promise_base&& other) noexcept
      : state_(std::move(other.state_)), retrieved_(std::exchange(other.retrieved_, false)) {}
  promise_base& operator=(promise_base&& other) noexcept {
    promise_base(std::move(other)).swap(*this);
    return *this;
  }
  /// Without a result, its future throws `broken_promise`.
  ~promise_base() {
    if (state_ != nullptr) state_->abandon();
  }

  /// Once.  @throws future_already_retrieved, promise_uninitialized
  [[nodiscard]] fibers::future<R> get_future() {
    if (retrieved_) throw fibers::future_already_retrieved();
    (void)checked();
    retrieved_ = true;
    return future_access::make<R>(state_);
  }
  /// @throws promise_already_satisfied, promise_uninitialized; fiber_error (invalid_argument)  for a null pointer
  void set_exception(std::exception_ptr error) { checked().set_exception(std::move(error)); }

protected:
  [[nodiscard]] shared_state<R>& checked() const {
    if (state_ == nullptr) throw fibers::promise_uninitialized();
    return *state_;
  }
  void swap(promise_base& other) noexcept {
    state_.swap(other.state_);
    std::swap(retrieved_, other.retrieved_);
  }

private:
  state_ptr<R> state_;
  bool retrieved_ = false;
};

}  // namespace detail

namespace fibers {

/// set_value() throws `promise_already_satisfied` the second time, and `promise_uninitialized` after a move.
/// @par Thread safety
/// Used by one fiber or thread at a time, which need not be the one that has the future.
template <class R>
class promise : detail::promise_base<R> {
  using base = detail::promise_base<R>;

public:
  promise() = default;
  template <class Allocator>
  promise(std::allocator_arg_t tag, Allocator const& allocator) : base(tag, allocator) {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&&) noexcept = default;

  void set_value(R const& value) { this->checked().set_value(value); }
  void set_value(R&& value) { this->checked().set_value(std::move(value)); }
  void swap(promise& other) noexcept { base::swap(other); }

  using base::get_future;
  using base::set_exception;
};

template <class R>
class promise<R&> : detail::promise_base<R&> {
  using base = detail::promise_base<R&>;

public:
  promise() = default;
  template <class Allocator>
  promise(std::allocator_arg_t tag, Allocator const& allocator) : base(tag, allocator) {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&&) noexcept = default;

  void set_value(R& value) { this->checked().set_value(std::addressof(value)); }
  void swap(promise& other) noexcept { base::swap(other); }

  using base::get_future;
  using base::set_exception;
};

template <>
class promise<void> : detail::promise_base<void> {
  using base = detail::promise_base<void>;

public:
  promise() = default;
  template <class Allocator>
  promise(std::allocator_arg_t tag, Allocator const& allocator) : base(tag, allocator) {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&&) noexcept = default;

  void set_value() { this->checked().set_value(); }
  void swap(promise& other) noexcept { base::swap(other); }

  using base::get_future;
  using base::set_exception;
};

template <class R>
void swap(promise<R>& a, promise<R>& b) noexcept {
  a.swap(b);
}

}  // namespace fibers
}  // namespace weft::inline v0::compat
