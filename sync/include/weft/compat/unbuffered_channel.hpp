#pragma once
/// @file
/// `unbuffered_channel`: whoever pushes waits until its value has been popped. One offer at a time lies in the channel,
/// and refers to the value where that is; further producers stand in line. A value is moved unlocked, so that its moves
/// may use the channel; only not wait for the end of the very pop that they are a part of.

#include <weft/compat/buffered_channel.hpp>
#include <weft/compat/channel_op_status.hpp>
#include <weft/compat/wait_queue.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft::inline v0::compat::fibers {

/// @par Thread safety
/// Any member, from any fiber and thread, at once; only the destructor needs to be alone.
/// @par Cancellation
/// Every push and pop is a cancellation point on every call. Cancelled means: nothing pushed or popped.
/// So does an exception that moving a value throws.
template <class T>
class unbuffered_channel {
public:
  using value_type = std::remove_reference_t<T>;
  using iterator = detail::channel_iterator<unbuffered_channel>;

  unbuffered_channel() = default;
  unbuffered_channel(unbuffered_channel const&) = delete;
  unbuffered_channel& operator=(unbuffered_channel const&) = delete;

  [[nodiscard]] bool is_closed() const noexcept {
    detail::guard_lock const held{guard_};
    return closed_;
  }
  /// Ends all pushes and pops. A value that nobody has popped is withdrawn.
  void close() noexcept {
    detail::guard_lock const held{guard_};
    closed_ = true;
    if (has_offer()) finish(*offered_);
    producers_.notify_all();
    consumers_.notify_all();
  }

  /// Waits until the value has been popped.
  channel_op_status push(value_type const& value) { return push_until(value_type(value), never); }
  /// Leaves `value` alone where it fails; so do all that follow.
  channel_op_status push(value_type&& value) { return push_until(std::move(value), never); }
  template <class Rep, class Period>
  channel_op_status push_wait_for(value_type const& value, std::chrono::duration<Rep, Period> const& limit) {
    return push_until(value_type(value), after(limit));
  }
  template <class Rep, class Period>
  channel_op_status push_wait_for(value_type&& value, std::chrono::duration<Rep, Period> const& limit) {
    return push_until(std::move(value), after(limit));
  }
  template <class Clock, class Duration>
  channel_op_status push_wait_until(value_type const& value, std::chrono::time_point<Clock, Duration> const& deadline) {
    return push_until(value_type(value), weft::detail::to_deadline(deadline));
  }
  template <class Clock, class Duration>
  channel_op_status push_wait_until(value_type&& value, std::chrono::time_point<Clock, Duration> const& deadline) {
    return push_until(std::move(value), weft::detail::to_deadline(deadline));
  }

  channel_op_status pop(value_type& value) { return pop_until(value, never); }
  /// @throws fiber_error  operation_not_permitted, when it is closed
  value_type value_pop() {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    (void)await_offer(held, never);
    if (!has_offer()) detail::throw_channel_closed();
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

  friend iterator begin(unbuffered_channel& channel) { return iterator(&channel); }
  friend iterator end(unbuffered_channel&) { return iterator(); }

private:
  friend iterator;

  /// On the stack of who pushes, who waits in it until it has been taken or withdrawn.
  struct offer {
    value_type& value;
    detail::wait_queue producer{};
    bool being_taken = false;  // somebody moves the value
    bool taken = false;
  };
  /// Whether there is one for whoever comes.
  [[nodiscard]] bool has_offer() const noexcept { return offered_ != nullptr && !offered_->being_taken; }

  template <class Rep, class Period>
  static time_point after(std::chrono::duration<Rep, Period> const& limit) noexcept {
    return weft::detail::deadline_after(weft::detail::to_nanoseconds(limit));
  }

  channel_op_status push_until(value_type&& value, time_point deadline) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    while (!closed_ && offered_ != nullptr) {
      if (!producers_.wait_until(held, deadline)) return channel_op_status::timeout;
    }
    if (closed_) return channel_op_status::closed;
    offer mine{value};
    offered_ = &mine;
    consumers_.notify_one();
    bool in_time = true;
    try {
      while (in_time && !mine.taken && !closed_) in_time = mine.producer.wait_until(held, deadline);
    } catch (...) {
      if (withdraw(held, mine)) throw;
      return channel_op_status::success;  // taken before the end was known: the next wait throws
    }
    if (!withdraw(held, mine)) return channel_op_status::success;
    return closed_ ? channel_op_status::closed : channel_op_status::timeout;
  }
  /// @returns false if it has been taken
  bool withdraw(detail::guard_lock& held, offer& mine) {
    cancel_shield const while_it_is_moved;
    while (mine.being_taken) mine.producer.wait(held);
    if (offered_ == &mine) finish(mine);
    return !mine.taken;
  }
  /// Makes room for the next offer.
  void finish(offer& over) noexcept {
    offered_ = nullptr;
    producers_.notify_one();
    over.producer.notify_one();
  }

  /// @returns false if `deadline` passed first; true without an offer when it is closed
  bool await_offer(detail::guard_lock& held, time_point deadline) {
    while (!has_offer() && !closed_) {
      if (!consumers_.wait_until(held, deadline)) return false;
    }
    return true;
  }
  /// The end of a pop, when there is an offer: holds it, its value to be moved from once, and unlocks until its end.
  /// The offer is taken then; or, if moving the value has thrown, there for the next in line.
  class removal {
  public:
    removal(unbuffered_channel& from, detail::guard_lock& held) noexcept
        : from_(from), held_(held), offered_(*from.offered_) {
      offered_.being_taken = true;
      held_.unlock();
    }
    removal(removal const&) = delete;
    ~removal() {
      held_.lock();
      offered_.being_taken = false;
      offered_.taken = std::uncaught_exceptions() == before_;
      if (offered_.taken || from_.closed_) {
        from_.finish(offered_);
      } else {
        offered_.producer.notify_one();  // its time may be up
        from_.consumers_.notify_one();
      }
    }
    [[nodiscard]] value_type&& value() noexcept { return std::move(offered_.value); }

  private:
    unbuffered_channel& from_;
    detail::guard_lock& held_;
    offer& offered_;
    int const before_ = std::uncaught_exceptions();
  };
  channel_op_status pop_until(value_type& value, time_point deadline) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    if (!await_offer(held, deadline)) return channel_op_status::timeout;
    if (!has_offer()) return channel_op_status::closed;
    value = removal(*this, held).value();
    return channel_op_status::success;
  }
  /// Waits for a value, and puts it into `to`, which is empty, and stays so when the channel is closed.
  void pop_into(std::optional<value_type>& to) {
    weft::detail::check_cancelled();
    detail::guard_lock held{guard_};
    (void)await_offer(held, never);
    if (!has_offer()) return;
    to.emplace(removal(*this, held).value());
  }

  mutable detail::guard guard_;  // guards all that follows, offers included
  detail::wait_queue producers_;
  detail::wait_queue consumers_;
  offer* offered_ = nullptr;
  bool closed_ = false;
};

}  // namespace weft::inline v0::compat::fibers
