#pragma once
/// @file
/// `buffered_channel`: a ring of values with room for one less than its capacity.

#include <weft/compat/channel_op_status.hpp>
#include <weft/compat/errors.hpp>
#include <weft/compat/wait_queue.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/runtime/waiter.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace weft::inline v0::compat {

namespace detail {
/// @throws fiber_error  unless it is a power of two, and at least 2
[[nodiscard]] std::size_t checked_capacity(std::size_t capacity);
[[noreturn]] void throw_channel_closed();
}  // namespace detail

namespace fibers {

/// @par Thread safety
/// Any member, from any fiber and thread, at once; only the destructor needs to be alone.
/// @par Cancellation
/// push(), pop() and their kin are cancellation points on every call, except for try_push() and try_pop(). Cancelled
/// means: nothing pushed or popped. So does an exception that copying or moving a value throws.
template <class T>
class buffered_channel {
public:
  using value_type = std::remove_reference_t<T>;
  using iterator = detail::channel_iterator<buffered_channel>;

  /// @throws fiber_error  invalid_argument, unless `capacity` is a power of two, and at least 2
  explicit buffered_channel(std::size_t capacity)
      : capacity_(detail::checked_capacity(capacity)),
        values_(std::make_unique<std::optional<value_type>[]>(capacity)) {}
  buffered_channel(buffered_channel const&) = delete;
  buffered_channel& operator=(buffered_channel const&) = delete;

  [[nodiscard]] bool is_closed() const noexcept {
    detail::guard_lock const held{guard_};
    return closed_;
  }
  /// Ends all pushes. What is in it can still be popped.
  void close() noexcept {
    detail::guard_lock const held{guard_};
    closed_ = true;
    producers_.notify_all();
    consumers_.notify_all();
  }

  channel_op_status try_push(value_type const& value) { return try_push_(value); }
  /// Leaves `value` alone where it fails; so do all that follow.
  channel_op_status try_push(value_type&& value) { return try_push_(std::move(value)); }
  channel_op_status push(value_type const& value) { return push_until(value, never); }
  channel_op_status push(value_type&& value) { return push_until(std::move(value), never); }
  template <class Rep, class Period>
  channel_op_status push_wait_for(value_type const& value, std::chrono::duration<Rep, Period> const& limit) {
    return push_until(value, after(limit));
  }
  template <class Rep, class Period>
  channel_op_status push_wait_for(value_type&& value, std::chrono::duration<Rep, Period> const& limit) {
    return push_until(std::move(value), after(limit));
  }
  template <class Clock, class Duration>
  channel_op_status push_wait_until(value_type const& value, std::chrono::time_point<Clock, Duration> const& deadline) {
    return push_until(value, weft::detail::to_deadline(deadline));
  }
  template <class Clock, class Duration>
  channel_op_status push_wait_until(value_type&& value, std::chrono::time_point<Clock, Duration> const& deadline) {
    return push_until(std::move(value), weft::detail::to_deadline(deadline));
  }

  channel_op_status try_pop(value_type& value) {
    detail::guard_lock const held{guard_};
    if (empty()) return closed_ ? channel_op_status::closed : channel_op_status::empty;
    removal const at_end{*this};
    value = first();
    return channel_op_status::success;
  }
  channel_op_status pop(value_type& value) { return pop_until(value, never); }
  /// @throws fiber_error  operation_not_permitted, when it is closed and empty
  value_type value_pop() {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    (void)await_value(held, never);
    if (empty()) detail::throw_channel_closed();
    removal const at_end{*this};
    return value_type(first());
  }
  template <class Rep, class Period>
  channel_op_status pop_wait_for(value_type& value, std::chrono::duration<Rep, Period> const& limit) {
    return pop_until(value, after(limit));
  }
  template <class Clock, class Duration>
  channel_op_status pop_wait_until(value_type& value, std::chrono::time_point<Clock, Duration> const& deadline) {
    return pop_until(value, weft::detail::to_deadline(deadline));
  }

  friend iterator begin(buffered_channel& channel) { return iterator(&channel); }
  friend iterator end(buffered_channel&) { return iterator(); }

private:
  friend iterator;

  template <class Rep, class Period>
  static time_point after(std::chrono::duration<Rep, Period> const& limit) noexcept {
    return weft::detail::deadline_after(weft::detail::to_nanoseconds(limit));
  }
  [[nodiscard]] std::size_t following(std::size_t index) const noexcept { return (index + 1) & (capacity_ - 1); }
  [[nodiscard]] bool empty() const noexcept { return first_ == end_; }
  [[nodiscard]] bool full() const noexcept { return following(end_) == first_; }

  template <class V>
  void put_last(V&& value) {
    try {
      values_[end_].emplace(std::forward<V>(value));
    } catch (...) {
      pass_on();
      throw;
    }
    end_ = following(end_);
    consumers_.notify_one();
  }
  /// To be moved from, once, where a removal stands ready.
  [[nodiscard]] value_type&& first() noexcept { return std::move(*values_[first_]); }
  void remove_first() noexcept {
    values_[first_].reset();
    first_ = following(first_);
    producers_.notify_one();
  }
  /// Who was called, and leaves by an exception, calls the next in line.
  void pass_on() noexcept {
    if (!full()) producers_.notify_one();
    if (!empty()) consumers_.notify_one();
  }
  /// The end of a pop: removes the first value if it has been moved to where it goes, and not if that has thrown.
  class removal {
  public:
    explicit removal(buffered_channel& from) noexcept : from_(from) {}
    removal(removal const&) = delete;
    ~removal() { std::uncaught_exceptions() == before_ ? from_.remove_first() : from_.pass_on(); }

  private:
    buffered_channel& from_;
    int const before_ = std::uncaught_exceptions();
  };

  template <class V>
  channel_op_status try_push_(V&& value) {
    detail::guard_lock const held{guard_};
    if (closed_) return channel_op_status::closed;
    if (full()) return channel_op_status::full;
    put_last(std::forward<V>(value));
    return channel_op_status::success;
  }
  template <class V>
  channel_op_status push_until(V&& value, time_point deadline) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    while (!closed_ && full()) {
      if (!producers_.wait_until(held, deadline)) return channel_op_status::timeout;
    }
    if (closed_) return channel_op_status::closed;
    put_last(std::forward<V>(value));
    return channel_op_status::success;
  }
  /// @returns false if `deadline` passed first; true with an empty channel that is closed
  bool await_value(detail::guard_lock& held, time_point deadline) {
    while (empty() && !closed_) {
      if (!consumers_.wait_until(held, deadline)) return false;
    }
    return true;
  }
  channel_op_status pop_until(value_type& value, time_point deadline) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    if (!await_value(held, deadline)) return channel_op_status::timeout;
    if (empty()) return channel_op_status::closed;
    removal const at_end{*this};
    value = first();
    return channel_op_status::success;
  }
  /// Waits for a value, and puts it into `to`, which is empty, and stays so when the channel is closed and empty.
  void pop_into(std::optional<value_type>& to) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    (void)await_value(held, never);
    if (empty()) return;
    removal const at_end{*this};
    to.emplace(first());
  }

  mutable detail::guard guard_;  // guards all that follows
  detail::wait_queue producers_;
  detail::wait_queue consumers_;
  std::size_t const capacity_;
  std::unique_ptr<std::optional<value_type>[]> values_;
  std::size_t first_ = 0;
  std::size_t end_ = 0;
  bool closed_ = false;
};

}  // namespace fibers
}  // namespace weft::inline v0::compat
