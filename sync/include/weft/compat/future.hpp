#pragma once
/// @file
/// `future` and `shared_future`, and the state that they share with a `promise` or a `packaged_task`.

#include <weft/compat/errors.hpp>
#include <weft/compat/wait_queue.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/runtime/waiter.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace weft::inline v0::compat {

namespace fibers {
enum class future_status { ready = 1, timeout, deferred };

template <class R>
class shared_future;
}  // namespace fibers

namespace detail {

/// Whether there is a result, and who waits for it. Once set, the result does not change.
class shared_state_base {
public:
  void set_exception(std::exception_ptr error);
  /// The promise is gone: if there is no result, there will be none.
  void abandon() noexcept;
  [[nodiscard]] bool ready() const noexcept {
    guard_lock const held{guard_};
    return ready_;
  }
  /// @returns false if `deadline` passed first.  A cancellation point.
  bool wait_until(time_point deadline) const;
  /// The exception that is the result, or null. Only when ready.
  [[nodiscard]] std::exception_ptr const& error() const noexcept { return error_; }

protected:
  /// Sets what `put()` puts, unlocked: a value's copy may wait, or use the promise.
  /// @throws promise_already_satisfied  and what `put()` throws
  template <class Put>
  void set(Put&& put) {
    guard_lock held{guard_};
    if (std::exchange(being_set_, true)) throw fibers::promise_already_satisfied();
    held.unlock();
    try {
      put();
    } catch (...) {
      held.lock();
      being_set_ = false;
      throw;
    }
    held.lock();
    ready_ = true;
    waiting_.notify_all();
  }

private:
  mutable guard guard_;
  mutable wait_queue waiting_;
  bool being_set_ = false;  // or has been
  bool ready_ = false;
  std::exception_ptr error_;
};

/// A reference is kept as a pointer.
template <class R>
class shared_state : public shared_state_base {
public:
  using stored = std::conditional_t<std::is_void_v<R>, std::monostate,
                                    std::conditional_t<std::is_reference_v<R>, std::remove_reference_t<R>*, R>>;

  template <class... From>
  void set_value(From&&... from) {
    set([&] { value_.emplace(std::forward<From>(from)...); });
  }
  /// The result, or it is thrown. Only when ready.
  [[nodiscard]] stored& result() {
    if (error()) std::rethrow_exception(error());
    return *value_;
  }

private:
  std::optional<stored> value_;
};

template <class R>
using state_ptr = std::shared_ptr<shared_state<R>>;

struct future_access;

/// What both kinds of future have.
template <class R>
class future_base {
public:
  [[nodiscard]] bool valid() const noexcept { return state_ != nullptr; }
  /// Waits for the result.  @returns the exception that is the result, or null
  std::exception_ptr get_exception_ptr() {
    wait();
    return state_->error();
  }
  void wait() const { (void)checked().wait_until(never); }
  template <class Rep, class Period>
  fibers::future_status wait_for(std::chrono::duration<Rep, Period> const& limit) const {
    return status(weft::detail::deadline_after(weft::detail::to_nanoseconds(limit)));
  }
  template <class Clock, class Duration>
  fibers::future_status wait_until(std::chrono::time_point<Clock, Duration> const& deadline) const {
    return status(weft::detail::to_deadline(deadline));
  }

protected:
  future_base() noexcept = default;
  explicit future_base(state_ptr<R> state) noexcept : state_(std::move(state)) {}

  [[nodiscard]] shared_state<R>& checked() const {
    if (state_ == nullptr) throw fibers::future_uninitialized();
    return *state_;
  }

  state_ptr<R> state_;

private:
  fibers::future_status status(time_point deadline) const {
    return checked().wait_until(deadline) ? fibers::future_status::ready : fibers::future_status::timeout;
  }
};

}  // namespace detail

namespace fibers {

/// All members but valid(), assignment and destruction throw `future_uninitialized` where there is no state. Those that
/// wait are cancellation points on every call; cancelled, the future still has its result to get.
/// @par Thread safety
/// Used by one fiber or thread at a time.
template <class R>
class future : detail::future_base<R> {
  using base = detail::future_base<R>;

public:
  future() noexcept = default;
  future(future const&) = delete;
  future& operator=(future const&) = delete;
  future(future&& other) noexcept = default;
  future& operator=(future&& other) noexcept = default;

  /// Waits for the result and takes it: returns it, or throws it. valid() no longer.
  R get() {
    detail::state_ptr<R> const ours = this->state_;  // so that it dies here, after it has been moved from
    this->wait();
    this->state_.reset();  // from here on nothing waits: who is cancelled now has the result all the same
    auto& value = ours->result();
    if constexpr (std::is_reference_v<R>) {
      return *value;
    } else if constexpr (!std::is_void_v<R>) {
      return std::move(value);
    }
  }
  /// valid() no longer.
  [[nodiscard]] shared_future<R> share() {
    (void)this->checked();
    return shared_future<R>(std::move(*this));
  }

  using base::get_exception_ptr;
  using base::valid;
  using base::wait;
  using base::wait_for;
  using base::wait_until;

private:
  friend struct detail::future_access;
  friend class shared_future<R>;
  explicit future(detail::state_ptr<R> state) noexcept : base(std::move(state)) {}
};

/// The same for many: copies refer to the same result, and get() any number of times.
template <class R>
class shared_future : detail::future_base<R> {
  using base = detail::future_base<R>;

public:
  shared_future() noexcept = default;
  shared_future(shared_future const&) = default;
  shared_future& operator=(shared_future const&) = default;
  shared_future(shared_future&&) noexcept = default;
  shared_future& operator=(shared_future&&) noexcept = default;
  shared_future(future<R>&& other) noexcept : base(std::move(other.state_)) {}  // NOLINT: converts, as Boost's
  shared_future& operator=(future<R>&& other) noexcept {
    this->state_ = std::move(other.state_);
    return *this;
  }

  /// Waits for the result and returns it, or throws it.
  std::conditional_t<std::is_void_v<R> || std::is_reference_v<R>, R, std::add_lvalue_reference_t<R const>> get() const {
    this->wait();
    auto& value = this->state_->result();
    if constexpr (std::is_reference_v<R>) {
      return *value;
    } else if constexpr (!std::is_void_v<R>) {
      return value;
    }
  }

  using base::get_exception_ptr;
  using base::valid;
  using base::wait;
  using base::wait_for;
  using base::wait_until;
};

}  // namespace fibers

namespace detail {

/// For what makes futures.
struct future_access {
  template <class R>
  [[nodiscard]] static fibers::future<R> make(state_ptr<R> state) noexcept {
    return fibers::future<R>(std::move(state));
  }
};

}  // namespace detail
}  // namespace weft::inline v0::compat
