#pragma once
/// @file
/// Cancel scopes: the parts of a program that can be cancelled, nested like its blocks.
///
///     weft::cancel_scope scope{2s};
///     bool const done = scope.run([&] { ...waits... });  // false: cancelled, by time or by scope.cancel()
///
/// Once a scope has been cancelled, every wait inside of it throws `cancelled`, until control leaves it; there is no
/// way back. What is thrown carries the outermost scope that has been cancelled, and only that one's run() absorbs it.
/// A task is in a scope of its own, the outermost, which task::cancel() cancels; plain threads may be in scopes, too.
///
/// Not counted are, for a wait that is made while an exception unwinds the stack, the scopes that were entered before:
/// so destructors may wait, and a scope opened in one works; and, inside a `cancel_shield`, those outside of it.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/scope_node.hpp>
#include <weft/runtime/error.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

class cancel_scope;

namespace detail {

[[noreturn]] void refuse_second_run() noexcept;

/// `f(scope)` if `f` takes that, or else `f()`.
template <class F>
decltype(auto) call_in_scope(F&& f, cancel_scope& scope) {
  if constexpr (std::invocable<F, cancel_scope&>) {
    return std::invoke(std::forward<F>(f), scope);
  } else {
    return std::invoke(std::forward<F>(f));
  }
}

template <class F>
using result_in_scope = decltype(call_in_scope(std::declval<F>(), std::declval<cancel_scope&>()));

/// What is left of a result that may be missing: whether it is there, or what it is.
template <class T>
struct maybe_result {
  using type = std::optional<T>;
};
template <class T>
struct maybe_result<T&> {
  using type = std::optional<std::reference_wrapper<T>>;
};
template <>
struct maybe_result<void> {
  using type = bool;
};

}  // namespace detail

/// What a cancel scope runs: a callable without parameters, or one that takes the scope.
template <class F>
concept scope_callable = std::invocable<F> || std::invocable<F, cancel_scope&>;

/// What became of a call that may have been cancelled: `bool` for one that returns nothing, and otherwise `optional`,
/// of a `reference_wrapper` for a reference. Missing means: cancelled.
template <scope_callable F>
using maybe_result_t = typename detail::maybe_result<detail::result_in_scope<F>>::type;

/// The waits of the block in which it lives, from here on, or up to the end of run(). Automatic storage: it is left in
/// order, by the fiber or thread that entered it, or the process is aborted with a message.
/// @par Thread safety
/// cancel(), cancel_requested(), owns(), reschedule() and deadline() by any fiber and thread, at once, while it lives:
/// whoever lets others call them joins them before it dies.
/// @par Cost
/// Nothing is allocated, and no timer is armed: a deadline is what waits inside of it look at.
class cancel_scope {
public:
  /// One that only cancel() cancels.
  cancel_scope() noexcept : node_(detail::scope_node::kind::scope) { detail::enter_scope(node_); }
  /// It is cancelled, with reason deadline, when `deadline` passes: then a wait that is under way ends, and otherwise
  /// the next one throws. One that has passed already cancels at once.
  explicit cancel_scope(time_point deadline) noexcept : node_(detail::scope_node::kind::scope, deadline) {
    enter_with_deadline(deadline != never && deadline <= detail::deadline_after(std::chrono::nanoseconds{0}));
  }
  template <class Clock, class Duration>
  explicit cancel_scope(std::chrono::time_point<Clock, Duration> deadline) noexcept
      : cancel_scope(detail::to_deadline(deadline)) {}
  /// The same with the deadline `limit` from now. Zero or less cancels at once.
  template <class Rep, class Period>
  explicit cancel_scope(std::chrono::duration<Rep, Period> limit) noexcept
      : node_(detail::scope_node::kind::scope, detail::deadline_after(detail::to_nanoseconds(limit))) {
    enter_with_deadline(limit <= limit.zero());
  }
  /// It is cancelled, with reason user, when `token` is stopped.
  explicit cancel_scope(std::stop_token token) : cancel_scope() { follow(std::move(token)); }
  cancel_scope(cancel_scope const&) = delete;
  cancel_scope& operator=(cancel_scope const&) = delete;
  /// Leaves the scope, unless run() has. What was thrown for it passes on: run() absorbs that.
  ~cancel_scope() {
    if (!left_) leave();
    if (node_.relay.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
      delete_relay();
  }
  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;

  /// Calls `f(*this)` or `f()` inside of the scope, absorbs its cancellation, and leaves the scope: waits that follow
  /// are outside of it. Once; a second call aborts with a message.
  /// @returns what `f` returns; of a cancelled call, false or nothing. A call that returns although the scope has been
  ///   cancelled has not been: its value counts.
  /// Throws what else `f` throws, a cancellation of another scope included.
  template <scope_callable F>
  [[nodiscard]] maybe_result_t<F> run(F&& f) {
    if (left_) detail::refuse_second_run();
    leaving const at_the_end{*this};
    try {
      if constexpr (std::is_void_v<detail::result_in_scope<F>>) {
        detail::call_in_scope(std::forward<F>(f), *this);
        return true;
      } else {
        return maybe_result_t<F>{detail::call_in_scope(std::forward<F>(f), *this)};
      }
    } catch (cancelled const& c) {
      if (!owns(c)) throw;
      return maybe_result_t<F>{};
    }
  }

  /// From now on waits inside of the scope throw. Does not wait. Only the first reason counts.
  void cancel(cancel_reason reason = cancel_reason::user) noexcept;
  /// Whether it has been cancelled, or its deadline has passed, which then counts as noticed.
  [[nodiscard]] bool cancel_requested() const noexcept;
  /// Whether `c` was thrown for this scope.
  [[nodiscard]] bool owns(cancelled const& c) const noexcept {
    // acquire: as in cancel_requested(), and so that no order is needed of who asks.
    auto const state = node_.state.load(std::memory_order_acquire);
    return state != 0 && detail::cancelled_access::scope(c) == detail::id_of(state);
  }

  /// Moves the deadline; `never` takes it away. A scope that has been cancelled stays so; but a deadline that has
  /// passed and that no wait has met yet can still be moved.
  void reschedule(time_point deadline) noexcept;
  template <class Clock, class Duration>
  void reschedule(std::chrono::time_point<Clock, Duration> deadline) noexcept {
    reschedule(detail::to_deadline(deadline));
  }
  /// To `limit` from now.
  template <class Rep, class Period>
  void reschedule(std::chrono::duration<Rep, Period> limit) noexcept {
    reschedule(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Its own; `never` if it has none.
  [[nodiscard]] time_point deadline() const noexcept {
    return time_point{std::chrono::nanoseconds{node_.deadline.load(std::memory_order_relaxed)}};
  }

  /// A token that is stopped when the scope is cancelled, or when its deadline passes, for code that knows nothing of
  /// waits. Callbacks registered with it run on a fiber of their own, or on the one that leaves the scope, before it is
  /// left. They must not wait: `std::stop_callback` tells threads apart, not fibers. In a scope of a plain thread, and
  /// in one of a generator's body that lay suspended when its runtime stopped, they run on the fiber or thread that
  /// cancels, and when a wait meets the deadline, or an `on_done` callback cancels, on a thread that is started for
  /// them. A cancellation of an outer scope does not stop it. To be called by who is in the scope. The first call
  /// allocates, and starts a fiber that lives as long as the scope. It gives way to others then, and is no cancellation
  /// point.
  /// @throws std::bad_alloc, stack_unavailable
  [[nodiscard]] std::stop_token stop_token();

private:
  struct canceller {
    cancel_scope* scope;
    void operator()() const noexcept { scope->cancel(); }
  };

  struct leaving {
    cancel_scope& scope;
    ~leaving() { scope.leave(); }
  };

  void leave() noexcept {
    left_ = true;
    if (from_) unfollow();
    if (node_.relay.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
      leave_relay();
    detail::leave_scope(node_);
  }
  void enter_with_deadline(bool has_passed) noexcept;
  void follow(std::stop_token token);
  void unfollow() noexcept;
  void tell_relay() const noexcept;
  void leave_relay() noexcept;
  void delete_relay() noexcept;

  mutable detail::scope_node node_;
  std::optional<std::stop_callback<canceller>> from_;
  bool left_ = false;
};

/// The waits of the block in which it lives ignore scopes that are outside of it: those are as far away as if they had
/// not been cancelled, until it is left. Scopes inside of it work. For cleaning up that must be done; it should be
/// short. Automatic storage, as for cancel_scope.
class cancel_shield {
public:
  cancel_shield() noexcept { detail::enter_scope(node_); }
  cancel_shield(cancel_shield const&) = delete;
  cancel_shield& operator=(cancel_shield const&) = delete;
  ~cancel_shield() { detail::leave_scope(node_); }
  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;

private:
  detail::scope_node node_{detail::scope_node::kind::shield};
};

/// Calls `f()` inside of a `cancel_shield`.  @returns what `f` returns, also if a scope has been cancelled meanwhile:
/// the next wait throws
template <std::invocable F>
decltype(auto) shield(F&& f) {
  cancel_shield const shielded;
  return std::invoke(std::forward<F>(f));
}

/// The earliest deadline of the scopes that count here; `never` if none has one.
[[nodiscard]] time_point current_deadline() noexcept;

}  // namespace weft::inline v0
