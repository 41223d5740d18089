#pragma once
/// @file
/// Channels between fibers and threads. One lock guards the ring and both lines of those who wait; a value goes past
/// the ring where somebody waits for it. See detail/channel_state.hpp for the invariants, which are those of Go's
/// channels.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/jump_back.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/detail/channel_state.hpp>
#include <weft/sync/detail/channel_wait.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

namespace detail {
struct channel_access;
}

/// Passes values of type `T`, first in, first out, between any number of senders and receivers. As Go's `chan`.
///
/// `T` is move-constructible. If moving throws, that leaves whoever moved, a sender with its value; nothing is lost.
/// Values are moved under the channel's lock: a move constructor that takes long keeps others out, and one that waits
/// or uses the channel must not be.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that was done before send() is visible to whoever receives that value; without a buffer, all that was done
/// before receive() is visible to whoever sent the value, too.
/// @par Fairness
/// Senders and receivers are served in the order in which they came. A receiver that has been chosen for a value whose
/// move then throws stands first again; others may have come before it meanwhile.
template <class T>
  requires std::is_object_v<T> && std::move_constructible<T> && (!std::is_const_v<T>)
class alignas(detail::cache_line) channel {  // where moving does not throw it is one line: all that two CPUs exchange
public:
  using value_type = T;
  class iterator;

  /// @param capacity  values that it holds before a sender has to wait; 0: each send() meets a receive(). The memory
  ///   for them is taken here, and no more later.
  /// @throws std::length_error, std::bad_alloc
  explicit channel(std::size_t capacity = 0) : state_(capacity) {}
  channel(channel const&) = delete;
  channel& operator=(channel const&) = delete;
  /// Aborts if anyone waits.
  ~channel() { detail::check_channel_unused(!state_.receivers.empty() || !state_.senders.empty()); }

  /// Sends `value`; waits while the channel is full.
  /// @throws channel_closed  if the channel is closed before somebody took the value, or before it had a place
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled means: not sent.
  /// Whatever is thrown, the caller still has the value.
  [[gnu::always_inline]] void send(T&& value) { (void)send_until_(value, never); }
  /// The same with a copy.
  [[gnu::always_inline]] void send(T const& value)
    requires std::copy_constructible<T>
  {
    T copy(value);
    (void)send_until_(copy, never);
  }

  /// Sends `value` if that needs no waiting. Never waits, and is no cancellation point.
  /// @returns false, leaving `value` alone, if there is no room and nobody waits; if moving a `T` may throw, also while
  ///   the room is kept for a sender that has been woken  @throws channel_closed
  [[nodiscard]] bool try_send(T& value) { return offer(value, state_.lock.enter(detail::current_worker())); }
  [[nodiscard]] bool try_send(T&& value) { return offer(value, state_.lock.enter(detail::current_worker())); }

  /// Sends `value`, waiting at most `limit`; with 0 it only tries.
  /// @returns false, leaving `value` alone, if that was too short  @throws channel_closed  A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool send_for(T& value, std::chrono::duration<Rep, Period> limit) {
    return send_until_(value, detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  template <class Rep, class Period>
  [[nodiscard]] bool send_for(T&& value, std::chrono::duration<Rep, Period> limit) {
    return send_for(value, limit);
  }
  /// The same, waiting at most until `deadline`.
  template <class Clock, class Duration>
  [[nodiscard]] bool send_until(T& value, std::chrono::time_point<Clock, Duration> deadline) {
    return send_until_(value, detail::to_deadline(deadline));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool send_until(T&& value, std::chrono::time_point<Clock, Duration> deadline) {
    return send_until(value, deadline);
  }

  /// Takes the oldest value; waits while there is none.
  /// @returns nothing if the channel is closed, and all that was sent before has been taken
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled means that nothing was taken.
  [[nodiscard]] [[gnu::always_inline]] std::optional<T> receive() {
    if constexpr (returns_in_parts) {
      return receive_in_parts();
    } else {
      return receive_as_it_is();
    }
  }

  /// Takes the oldest value, if there is one. Never waits, and is no cancellation point.
  /// @returns nothing if there is none, closed or not. If moving a `T` may throw, a woken sender moves its value into
  ///   the buffer itself: until it has, there may be none though senders wait
  [[nodiscard]] std::optional<T> try_receive() {
    std::optional<T> value;
    (void)accept(value, state_.lock.enter(detail::current_worker()));
    return value;
  }

  /// As receive(), waiting at most `limit`; with 0 it only tries.
  /// @throws timeout_error  if that was too short. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<T> receive_for(std::chrono::duration<Rep, Period> limit) {
    return receive_in_time(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// As receive(), waiting at most until `deadline`.
  /// @throws timeout_error  if that was too soon. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<T> receive_until(std::chrono::time_point<Clock, Duration> deadline) {
    return receive_in_time(detail::to_deadline(deadline));
  }

  /// Takes no more values: send() throws, of those that wait, too; receive() still gets what was sent before, and then
  /// nothing. To close again does nothing. Does not wait.
  void close() noexcept { detail::wake_closed(state_.close()); }
  [[nodiscard]] bool closed() const noexcept { return state_.closed(); }

  /// Values that have a place and have not been taken. A hint where others use the channel.
  [[nodiscard]] std::size_t size() const noexcept { return state_.count(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return state_.capacity(); }

  /// An input range of all that is received until the channel is closed and empty: `for (auto& value : channel)`. To
  /// begin and to go on is to receive(); several may do so at once, and each value goes to one of them.
  [[nodiscard]] iterator begin() { return iterator{*this}; }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
  friend struct detail::channel_access;
  using state = detail::basic_channel_state<T>;
  using step = detail::channel_step;
  using fate = typename state::fate;
  using entry = typename state::entry;
  static constexpr auto served = decltype(detail::channel_node::party)::answer::served;
  /// Such a value is returned in registers, if it is small.
  static constexpr bool returns_in_parts = std::is_trivially_copyable_v<T> && std::copy_constructible<T> &&
                                           state::is_nothrow;

  /// One attempt. What is simple is inlined, and so needs the value in registers only: stores to it would have to reach
  /// the cache before a lock's exchange.
  /// @param inside  how the lock has been entered, by bias; null: it has not been
  [[gnu::always_inline]] bool offer(T& value, entry inside) {
    if (inside == nullptr) return offer_plainly(value);
    if constexpr (state::is_nothrow) {
      if (state_.put_simply(value, inside)) [[likely]]
        return true;
    }
    return meet_receiver(value, inside);
  }
  [[gnu::always_inline]] bool offer_plainly(T& value) {
    auto const put = [&] {
      typename state::woken then;
      typename state::plain_section const held{state_.lock};
      return state_.put(held, value, then);
    };
    auto const result = put();
    if (result == step::closed) detail::throw_channel_closed();
    return result == step::done;
  }
  [[gnu::always_inline]] bool meet_receiver(T& value, entry inside) noexcept(state::is_nothrow) {
    if constexpr (state::is_nothrow) {
      if (state_.give_simply(value, inside)) [[likely]]
        return true;
    }
    return offer_inside(value, inside);
  }
  /// Not inlined, as below: what few calls need would cost the others the saving of registers.
  [[gnu::noinline]] bool offer_inside(T& value, entry inside) noexcept(state::is_nothrow) {
    typename state::woken then;
    typename state::bias_section const held{inside};
    return state_.put(held, value, then) == step::done;
  }
  [[gnu::always_inline]] bool accept(std::optional<T>& value, entry inside) {
    if (inside == nullptr) return accept_plainly(value);
    if constexpr (state::is_nothrow) {
      if (state_.take_simply([&](T& oldest) { value.emplace(std::move(oldest)); }, inside)) [[likely]]
        return true;
    }
    return meet_sender(value, inside);
  }
  [[gnu::always_inline]] bool accept_plainly(std::optional<T>& value) {
    typename state::woken then;
    typename state::plain_section const held{state_.lock};
    return state_.take(held, value, then) != step::must_wait;
  }
  [[gnu::always_inline]] bool meet_sender(std::optional<T>& value, entry inside) noexcept(state::is_nothrow) {
    if constexpr (state::is_nothrow) {
      if (state_.receive_simply(value, inside)) [[likely]]
        return true;
    }
    return accept_inside(value, inside);
  }
  [[gnu::noinline]] bool accept_inside(std::optional<T>& value, entry inside) noexcept(state::is_nothrow) {
    typename state::woken then;
    typename state::bias_section const held{inside};
    return state_.take(held, value, then) != step::must_wait;
  }

  /// Inlined, for its return would be mispredicted after a wait: see jump_back().
  [[gnu::always_inline]] bool send_until_(T& value, time_point deadline) {
    if (!state_.seems_full()) [[likely]] {
      if (offer(value, detail::check_cancelled_and_enter(state_.lock))) return true;
    }
    return send_slowly(value, deadline);
  }
  /// @returns whether there was a value, or none will come
  [[gnu::always_inline]] bool receive_until_(std::optional<T>& value, time_point deadline) {
    if (!state_.seems_empty()) [[likely]] {
      if (accept(value, detail::check_cancelled_and_enter(state_.lock))) return true;
    }
    return receive_slowly(value, deadline);
  }
  std::optional<T> receive_in_time(time_point deadline) {
    std::optional<T> value;
    if (!receive_until_(value, deadline)) detail::throw_channel_timeout();
    return value;
  }

  /// Nothing but the one object is returned, so that it is made where the caller wants it: one more move, and a value
  /// that has left the channel would be lost if that throws.
  std::optional<T> receive_as_it_is() {
    std::optional<T> value;
    (void)receive_until_(value, never);
    return value;
  }
  [[gnu::always_inline]] std::optional<T> receive_in_parts()
    requires(returns_in_parts)
  {
    if (!state_.seems_empty()) [[likely]] {
      auto const inside = detail::check_cancelled_and_enter(state_.lock);
      if (inside == nullptr) {
        std::optional<T> value;  // an own one in each case, and in two its address is not taken: they are not in memory
        if (accept_plainly(value)) return rebuilt(value);
      } else if (std::optional<T> value; state_.take_simply([&](T const& oldest) { value.emplace(oldest); }, inside))
          [[likely]] {
        return rebuilt(value);
      } else {
        std::optional<T> met;
        if (meet_sender(met, inside)) return rebuilt(met);
      }
    }
    std::optional<T> value;
    (void)receive_slowly(value, never);
    return rebuilt(value);
  }
  /// From its two parts. As a whole it would be copied by a load that is wider than the stores just made, which has to
  /// wait until those have reached the cache: as long as all the rest of a receive() takes.
  static std::optional<T> rebuilt(std::optional<T> const& from) noexcept
    requires std::copy_constructible<T>
  {
    if (from) return std::optional<T>(std::in_place, *from);
    return std::nullopt;
  }

  /// For who has opened a wait: puts it in line if it must wait.
  step line_up_to_receive(detail::channel_node& node, detail::worker const* here) {
    if constexpr (state::is_nothrow) {
      if (state_.line_up_receiver(node, here)) [[likely]]
        return step::must_wait;
    }
    return line_up_to_receive_in_section(node, here);
  }
  /// @throws channel_closed
  step line_up_to_send(detail::channel_node& node, detail::worker const* here, typename state::place_for_next& next) {
    if constexpr (state::is_nothrow) {
      if (state_.line_up_sender(node, here)) [[likely]]
        return step::must_wait;
    }
    return line_up_to_send_in_section(node, here, next);
  }
  [[gnu::noinline]] step line_up_to_receive_in_section(detail::channel_node& node, detail::worker const* here) {
    typename state::woken then;
    typename state::section held{state_.lock, here};
    auto const result = state_.take(held, *static_cast<std::optional<T>*>(node.place), then);
    if (result != step::must_wait) return result;
    held.count(here);
    node.end == fate::again ? state_.receivers.push_front(node) : state_.receivers.push_back(node);
    return result;
  }
  [[gnu::noinline]] step line_up_to_send_in_section(detail::channel_node& node, detail::worker const* here,
                                                    typename state::place_for_next& next) {
    auto const put_or_queue = [&] {
      typename state::woken then;
      typename state::section held{state_.lock, here};
      auto const result = state_.put(held, *static_cast<T*>(node.place), then, next.told());
      next.settle(held);
      if (result != step::must_wait) return result;
      held.count(here);
      node.end == fate::again ? state_.senders.push_front(node) : state_.senders.push_back(node);
      return result;
    };
    auto const result = put_or_queue();
    if (result == step::closed) detail::throw_channel_closed();
    return result;
  }

  bool send_slowly(T& value, time_point deadline) {
    return detail::jump_back(this, std::addressof(value), deadline,
                             deadline == never ? wait_to_send_at_all : wait_to_send);
  }
  bool receive_slowly(std::optional<T>& value, time_point deadline) {
    return detail::jump_back(this, std::addressof(value), deadline,
                             deadline == never ? wait_to_receive_at_all : wait_to_receive);
  }
  // For jump_back(). As `value` the receiving ones are given the optional that it is to go into.
  static bool wait_to_send_at_all(void* self, void* value, time_point) {
    return static_cast<channel*>(self)->send_giving_way(value) || wait_to_send(self, value, never);
  }
  static bool wait_to_receive_at_all(void* self, void* value, time_point) {
    return static_cast<channel*>(self)->receive_giving_way(value) || wait_to_receive(self, value, never);
  }
  [[gnu::noinline]] static bool wait_to_send(void* self, void* value, time_point deadline);
  [[gnu::noinline]] static bool wait_to_receive(void* self, void* value, time_point deadline);

  /// Who is next on this worker has often just been woken here, and is about to come for what this one waits for. So it
  /// is let run first, while this one stands in line without a wait that would have to be claimed, and woken.
  /// @returns false, being in no line, where there is nobody to give way to
  bool send_giving_way(void* value) {
    if constexpr (state::is_nothrow) {
      if (!state_.lock.biased()) [[unlikely]]
        return false;
      auto const turn = detail::may_give_way();
      if (turn.here == nullptr) [[unlikely]]
        return false;
      detail::channel_node node{value};
      node.party.has_none(*turn.ticket);
      if (!state_.line_up_sender(node, turn.here)) return false;
      detail::give_way();
      return node.party.look() == served || wait_to_send_after_all(node);
    }
    return false;
  }
  [[gnu::noinline]] bool wait_to_send_after_all(detail::channel_node& node) {
    if (!detail::wait_in_line(state_.lock, state_.senders, node, "channel (to send)")) return false;
    if (node.end == fate::closed) detail::throw_channel_closed();
    return true;
  }
  /// As above.  @param value  where it is to go
  bool receive_giving_way(void* value) {
    if constexpr (state::is_nothrow) {
      if (!state_.lock.biased()) [[unlikely]]
        return false;
      auto const turn = detail::may_give_way();
      if (turn.here == nullptr) [[unlikely]]
        return false;
      detail::channel_node node{value};
      node.party.has_none(*turn.ticket);
      if (!state_.line_up_receiver(node, turn.here)) return false;
      detail::give_way();
      return node.party.look() == served || wait_to_receive_after_all(node);
    }
    return false;
  }
  [[gnu::noinline]] bool wait_to_receive_after_all(detail::channel_node& node) {
    return detail::wait_in_line(state_.lock, state_.receivers, node, "channel (to receive)");
  }

  state state_;
};

/// Where a loop over a channel is. Move-only if the values are.
template <class T>
  requires std::is_object_v<T> && std::move_constructible<T> && (!std::is_const_v<T>)
class channel<T>::iterator {
public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  explicit iterator(channel& from) : from_(&from), value_(from.receive()) {}
  [[nodiscard]] T& operator*() const noexcept { return *value_; }
  [[nodiscard]] T* operator->() const noexcept { return std::addressof(*value_); }
  /// A cancellation point.
  iterator& operator++() {
    value_.reset();
    (void)from_->receive_until_(value_, never);
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(iterator const& at, std::default_sentinel_t) noexcept { return !at.value_.has_value(); }

private:
  channel* from_;
  mutable std::optional<T> value_;
};

template <class T>
  requires std::is_object_v<T> && std::move_constructible<T> && (!std::is_const_v<T>)
bool channel<T>::wait_to_receive(void* self, void* into, time_point deadline) {
  auto& ch = *static_cast<channel*>(self);
  auto& value = *static_cast<std::optional<T>*>(into);
  if (deadline != never && detail::channel_only_tries(deadline)) {
    return ch.accept(value, detail::check_cancelled_and_enter(ch.state_.lock));
  }
  detail::channel_node node{into};
  do {
    waiter wait{"channel (to receive)"};
    node.party.has_wait(wait);
    if (ch.line_up_to_receive(node, wait.on()) != step::must_wait) return true;
    if (auto const cause = wait.wait(deadline); cause != wake_cause::notified) [[unlikely]] {
      detail::leave_channel(ch.state_.lock, ch.state_.receivers, node, wait, cause);
      return false;
    }
  } while (!state::is_nothrow && node.end == fate::again);
  return true;
}

template <class T>
  requires std::is_object_v<T> && std::move_constructible<T> && (!std::is_const_v<T>)
bool channel<T>::wait_to_send(void* self, void* value, time_point deadline) {
  auto& ch = *static_cast<channel*>(self);
  if (deadline != never && detail::channel_only_tries(deadline)) {
    return ch.offer(*static_cast<T*>(value), detail::check_cancelled_and_enter(ch.state_.lock));
  }
  detail::channel_node node{value};
  typename state::place_for_next next{ch.state_};
  for (;;) {
    waiter wait{"channel (to send)"};
    node.party.has_wait(wait);
    if (ch.line_up_to_send(node, wait.on(), next) != step::must_wait) return true;
    if (auto const cause = wait.wait(deadline); cause != wake_cause::notified) [[unlikely]] {
      detail::leave_channel(ch.state_.lock, ch.state_.senders, node, wait, cause);
      return false;
    }
    if (node.end == fate::done) [[likely]]
      return true;
    if (state::is_nothrow || node.end == fate::closed) detail::throw_channel_closed();
    next.may_want_it();
  }
}

namespace detail {

/// For select().
struct channel_access {
  template <class T>
  [[nodiscard]] static auto& state(channel<T>& of) noexcept {
    return of.state_;
  }
};

}  // namespace detail

}  // namespace weft::inline v0
