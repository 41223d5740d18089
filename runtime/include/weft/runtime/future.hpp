#pragma once
/// @file
/// `promise`, `future`, `shared_future`: a value that is set elsewhere. Names and meaning are the standard's; waiting
/// parks only the calling fiber, or sleeps on any other thread. (Work that is to run is a `task`.)
///
/// Where they answer differently from the standard's:
/// - A promise that dies without having been set breaks: its futures throw `weft::broken_promise`.
/// - wait_for() and wait_until() return `bool`, as everywhere in weft: a deferred state does not exist.
/// - There is no set_value_at_thread_exit() and there are no allocators.
///
/// Wrong use is a `std::future_error` with the standard's codes: `no_state` for an empty or moved-from object,
/// `promise_already_satisfied`, `future_already_retrieved`.

#include <weft/runtime/detail/future_state.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

template <class T>
class promise;
template <class T>
class shared_future;

namespace detail {

/// What both kinds of future can do.
template <class T>
class future_base {
public:
  /// False for one that is default-constructed or moved from, and after future::get() or share(). All other members
  /// but assignment and destruction need it to be true, and throw `std::future_error` (no_state) otherwise.
  [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(state_); }
  /// Whether there is a value or an exception. Never waits.
  [[nodiscard]] bool ready() const { return state_.checked().is_ready(); }

  /// Waits for the value or the exception, and leaves it there. A cancellation point, even where it need not wait.
  void wait() const { (void)state_.checked().wait(never); }
  /// Waits at most `limit`; with 0 it only looks.  @returns ready(). A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) const {
    return state_.checked().wait(deadline_after(to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns ready(). A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) const {
    return state_.checked().wait(to_deadline(deadline));
  }

protected:
  future_base() noexcept = default;
  explicit future_base(future_owner<T> state) noexcept : state_(std::move(state)) {}

  future_owner<T> state_;
};

/// In the place of `void` where a parameter is declared and never used.
struct no_value {};

}  // namespace detail

/// Receives what a promise is given. As `std::future`: its destructor does not wait.
/// @par Thread safety
/// One fiber or thread at a time, which may be any, in or out of a runtime.
template <class T>
class future : public detail::future_base<T> {
public:
  /// Not valid.
  future() noexcept = default;
  future(future&&) noexcept = default;
  future& operator=(future&&) noexcept = default;
  ~future() = default;

  /// Waits and takes the value, or throws the exception; valid() no longer.
  /// @throws broken_promise  if the promise died before it was set
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled means that nothing has been taken.
  T get() {
    this->wait();
    detail::future_owner<T> const state = std::move(this->state_);
    return state.get()->take();
  }

  /// Hands over to a future that may be copied; valid() no longer.
  [[nodiscard]] shared_future<T> share() noexcept { return shared_future<T>{std::move(*this)}; }

private:
  friend class promise<T>;
  friend class shared_future<T>;
  explicit future(detail::future_owner<T> state) noexcept : detail::future_base<T>(std::move(state)) {}
};

/// A future for several readers.
/// @par Thread safety
/// As `std::shared_future`: one object, one fiber or thread at a time; copies of it, any at once.
template <class T>
class shared_future : public detail::future_base<T> {
public:
  /// Not valid.
  shared_future() noexcept = default;
  /// Takes over from `other`, which is not valid() any more.
  shared_future(future<T>&& other) noexcept : detail::future_base<T>(std::move(other.state_)) {}  // NOLINT: as in std

  /// Waits, and shows the value or throws the exception. The reference is good as long as any of the futures lives.
  /// @returns `T const&`, or `T` itself for a reference or void
  /// @throws broken_promise  if the promise died before it was set (std::bad_alloc, if there was no memory to say so).
  ///   A cancellation point.
  std::add_lvalue_reference_t<T const> get() const {
    this->wait();
    return this->state_.get()->look();
  }
};

/// Gives a value, or an exception, to a future; once.
/// @tparam T  may be void, an lvalue reference, or move-only
/// @par Thread safety
/// As `std::promise`: set_value(), set_exception() and get_future() from any fiber of any runtime and any thread, at
/// once, and one of the setters wins. It may be destroyed as soon as its future is ready, though the setter's call has
/// not returned yet.
/// @par Memory ordering
/// All that was done before the promise was set is visible to whoever saw its future ready.
template <class T>
class promise {
  static_assert(!std::is_rvalue_reference_v<T>, "weft::promise: a value, an lvalue reference or void");
  using parameter = std::conditional_t<std::is_void_v<T>, detail::no_value, T>;

public:
  /// Allocates the state that it will share with its future: the only allocation.
  promise() : state_(new detail::future_value<T>) {}
  promise(promise&& other) noexcept = default;
  /// Breaks the promise held before, unless it was kept.
  promise& operator=(promise&& other) noexcept {
    promise{std::move(other)}.swap(*this);
    return *this;
  }
  /// Breaks the promise, unless it was kept: then its futures throw `broken_promise`.
  ~promise() {
    if (state_) state_.get()->abandon();
  }

  void swap(promise& other) noexcept { std::swap(state_, other.state_); }
  friend void swap(promise& a, promise& b) noexcept { a.swap(b); }

  /// The future, once.
  /// @throws std::future_error  future_already_retrieved, no_state
  [[nodiscard]] future<T> get_future() {
    state_.checked().retrieve();
    return future<T>{state_};
  }

  /// Sets the value and wakes who waits. Does not wait, and is no cancellation point.
  /// @throws std::future_error  promise_already_satisfied, no_state. If making the value throws, that is thrown, and
  /// the
  ///         promise can still be kept.
  template <class U = T>
    requires(!std::is_void_v<T> && !std::is_reference_v<T> && std::convertible_to<U, T>)
  void set_value(U&& value) {
    state_.checked().set(std::forward<U>(value));
  }
  void set_value(parameter value)
    requires std::is_reference_v<T>
  {
    state_.checked().set(std::addressof(value));
  }
  void set_value()
    requires std::is_void_v<T>
  {
    state_.checked().set();
  }

  /// Sets an exception in place of the value.
  /// @throws std::future_error  promise_already_satisfied, no_state; std::invalid_argument for a null pointer
  void set_exception(std::exception_ptr error) { state_.checked().set_exception(std::move(error)); }

private:
  detail::future_owner<T> state_;
};

}  // namespace weft::inline v0
