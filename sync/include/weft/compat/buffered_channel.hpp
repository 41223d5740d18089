#pragma once
/// @file
/// `buffered_channel`: values in the order in which they came, with room for one less than its capacity. What the
/// values themselves do while they are copied, moved and destroyed is done unlocked, and so may use the channel; only
/// not wait for the end of the very push or pop that it is a part of.

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
/// means: nothing pushed or popped. So does an exception that copying or moving a value throws; a value that so comes
/// back to the channel is its first again.
template <class T>
class buffered_channel {
public:
  using value_type = std::remove_reference_t<T>;
  using iterator = detail::channel_iterator<buffered_channel>;

  /// @throws fiber_error  invalid_argument, unless `capacity` is a power of two, and at least 2
  explicit buffered_channel(std::size_t capacity)
      : cells_(std::make_unique<cell[]>(detail::checked_capacity(capacity) - 1)) {
    for (std::size_t i = 0; i + 1 < capacity; ++i) release(cells_[i]);
  }
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
    detail::guard_lock held{guard_};
    if (empty()) return ended() ? channel_op_status::closed : channel_op_status::empty;
    value = removal(*this, held).value();
    return channel_op_status::success;
  }
  channel_op_status pop(value_type& value) { return pop_until(value, never); }
  /// @throws fiber_error  operation_not_permitted, when it is closed and empty
  value_type value_pop() {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    (void)await_value(held, never);
    if (empty()) detail::throw_channel_closed();
    return value_type(removal(*this, held).value());
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
  /// A place for a value: in the line of values, among the free ones, or in the hands of one push or pop.
  struct cell {
    std::optional<value_type> value;
    cell* next = nullptr;
  };

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] bool full() const noexcept { return free_ == nullptr; }
  /// Whether no value will come any more: from a push that is under way, or back from a pop.
  [[nodiscard]] bool ended() const noexcept { return closed_ && under_way_ == 0; }

  void release(cell& emptied) noexcept {
    emptied.next = std::exchange(free_, &emptied);
    producers_.notify_one();
  }
  void append(cell& filled) noexcept {
    filled.next = nullptr;
    (empty() ? first_ : last_->next) = &filled;
    last_ = &filled;
  }
  void prepend(cell& filled) noexcept {
    filled.next = first_;
    if (empty()) last_ = &filled;
    first_ = &filled;
  }
  void note_end() noexcept {
    --under_way_;
    if (ended()) consumers_.notify_all();
  }

  /// The end of a push, when it is not closed and has room. Closed meanwhile, it takes this one still.
  template <class V>
  void put_last(detail::guard_lock& held, V&& value) {
    cell& to = *std::exchange(free_, free_->next);
    ++under_way_;
    held.unlock();
    try {
      to.value.emplace(std::forward<V>(value));
    } catch (...) {
      held.lock();
      release(to);
      note_end();
      throw;
    }
    held.lock();
    append(to);
    consumers_.notify_one();
    note_end();
  }

  /// The end of a pop, when there is a value: holds the first one, to be moved from once, and unlocks until its end.
  /// That puts the value back if moving it has thrown.
  class removal {
  public:
    removal(buffered_channel& from, detail::guard_lock& held) noexcept
        : from_(from), held_(held), taken_(*std::exchange(from.first_, from.first_->next)) {
      ++from_.under_way_;
      held_.unlock();
    }
    removal(removal const&) = delete;
    ~removal() {
      bool const moved = std::uncaught_exceptions() == before_;
      if (moved) taken_.value.reset();
      held_.lock();
      if (moved) {
        from_.release(taken_);
      } else {
        from_.prepend(taken_);
        from_.consumers_.notify_one();
      }
      from_.note_end();
    }
    [[nodiscard]] value_type&& value() noexcept { return std::move(*taken_.value); }

  private:
    buffered_channel& from_;
    detail::guard_lock& held_;
    cell& taken_;
    int const before_ = std::uncaught_exceptions();
  };

  template <class V>
  channel_op_status try_push_(V&& value) {
    detail::guard_lock held{guard_};
    if (closed_) return channel_op_status::closed;
    if (full()) return channel_op_status::full;
    put_last(held, std::forward<V>(value));
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
    put_last(held, std::forward<V>(value));
    return channel_op_status::success;
  }
  /// @returns false if `deadline` passed first; true with an empty channel that is closed
  bool await_value(detail::guard_lock& held, time_point deadline) {
    while (empty() && !ended()) {
      if (!consumers_.wait_until(held, deadline)) return false;
    }
    return true;
  }
  channel_op_status pop_until(value_type& value, time_point deadline) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    if (!await_value(held, deadline)) return channel_op_status::timeout;
    if (empty()) return channel_op_status::closed;
    value = removal(*this, held).value();
    return channel_op_status::success;
  }
  /// Waits for a value, and puts it into `to`, which is empty, and stays so when the channel is closed and empty.
  void pop_into(std::optional<value_type>& to) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    (void)await_value(held, never);
    if (empty()) return;
    to.emplace(removal(*this, held).value());
  }

  mutable detail::guard guard_;  // guards all that follows
  detail::wait_queue producers_;
  detail::wait_queue consumers_;
  std::unique_ptr<cell[]> cells_;
  cell* free_ = nullptr;
  cell* first_ = nullptr;
  cell* last_ = nullptr;       // if there is a first
  std::size_t under_way_ = 0;  // pushes and pops that copy, move or destroy a value
  bool closed_ = false;
};

}  // namespace fibers
}  // namespace weft::inline v0::compat
