#pragma once
/// @file
/// Waiting for the first of several things, as Go's `select`:
///
///     weft::select(weft::on_receive(orders, [](std::optional<order> o) { ... }),  // empty: closed
///                  weft::on_send(log, line, [] { ... }),
///                  weft::on_timeout(1s, [] { ... }));
///
/// Exactly one case is chosen and takes effect; its handler is then called, on the caller's fiber, when all else is
/// over, so that it may wait, throw and select again. If several are ready, one is drawn, each with the same chance.
///
/// Anything that a `waiter` can wait for can be a case: see select_case. How it works: detail/select_entry.hpp.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/task_record.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/detail/select_entry.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/semaphore.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::inline v0 {

/// A case of one's own. It has one side that waits: whoever wakes it claims the waiter, under the lock under which it
/// found it, and so commits this case and no other.
///
/// - `bool try_now()` commits if that needs no waiting.
/// - `bool enroll(waiter& w) noexcept`, under the case's own lock: puts `w` where the waking side finds it. If the case
///   is ready by now, it calls `w.claim()` instead, and if that succeeds commits and returns true.
/// - `bool withdraw() noexcept`, under that lock, after each enroll(): takes `w` out if it is still in.
///   @returns whether the waking side has claimed it there, and so committed the case. If the waking side may then free
///   what holds the lock, look at what it has written before taking that: it does not change any more
/// - `void finish()`: the case was chosen; calls its handler.
///
/// It may be moved before it is used, and does not move while it is.
template <class C>
concept waiting_case = requires(C& c, waiter& w) {
  { c.try_now() } -> std::same_as<bool>;
  { c.enroll(w) } noexcept -> std::same_as<bool>;
  { c.withdraw() } noexcept -> std::same_as<bool>;
  { c.finish() } -> std::same_as<void>;
};

/// What select() takes: what the functions here return, and every waiting_case.
template <class C>
concept select_case = std::derived_from<C, detail::select_entry> || waiting_case<C>;

namespace detail {

struct no_handler {
  void operator()() const noexcept {}
};

template <class T, class F>
class receive_case final : public channel_case {
public:
  receive_case(channel<T>* from, F f)
      : channel_case(from != nullptr ? &channel_access::state(*from).lock : nullptr,
                     from != nullptr ? &channel_access::state(*from).receivers : nullptr),
        from_(from),
        handler_(std::move(f)) {}

  void finish() override {
    // Also where the move throws: what this select has received is not for another one.
    struct emptied {
      std::optional<T>& value;
      ~emptied() { value.reset(); }
    } const afterwards{value_};
    std::invoke(handler_, std::move(value_));
  }

private:
  bool attempt(channel_lock::section const& held, wake_afterwards<waiter>& then) override {
    return channel_access::state(*from_).take(held, value_, then) != channel_step::must_wait;
  }
  void* place() noexcept override { return &value_; }

  channel<T>* from_;
  std::optional<T> value_;
  F handler_;
};

template <class T, class F>
class send_case final : public channel_case {
public:
  template <class V>
  send_case(channel<T>* to, V&& value, F f)
      : channel_case(to != nullptr ? &channel_access::state(*to).lock : nullptr,
                     to != nullptr ? &channel_access::state(*to).senders : nullptr),
        to_(to),
        value_(std::in_place, std::forward<V>(value)),  // of an optional, nullopt is a value, too
        handler_(std::move(f)) {}

  /// The value, if it has not been sent: to take it back.
  [[nodiscard]] std::optional<T>& value() noexcept { return value_; }

  void finish() override {
    if (ended_closed()) throw_channel_closed();
    value_.reset();
    retire();
    std::invoke(handler_);
  }

private:
  bool attempt(channel_lock::section const& held, wake_afterwards<waiter>& then) override {
    auto const result = channel_access::state(*to_).put(held, *value_, then);
    if (result == channel_step::closed) end_closed();  // nothing is thrown under the locks
    return result != channel_step::must_wait;
  }
  void* place() noexcept override { return std::addressof(*value_); }
  void let_next_try() noexcept override {
    typename basic_channel_state<T>::place_for_next next{channel_access::state(*to_)};
    next.may_want_it();
  }

  channel<T>* to_;
  std::optional<T> value_;
  F handler_;
};

template <class F>
class timeout_case final : public select_entry {
public:
  timeout_case(time_point at, F f) : at_(at), handler_(std::move(f)) {}
  [[nodiscard]] time_point deadline() const noexcept override { return at_; }
  void finish() override { std::invoke(handler_); }

private:
  time_point at_;
  F handler_;
};

template <class F>
class otherwise_case final : public select_entry {
public:
  explicit otherwise_case(F f) : handler_(std::move(f)) {}
  [[nodiscard]] bool is_otherwise() const noexcept override { return true; }
  void finish() override { std::invoke(handler_); }

private:
  F handler_;
};

/// A waiting_case with its handler.
template <class Wait, class F>
class handled_case : public Wait {
public:
  handled_case(Wait wait, F f) : Wait(std::move(wait)), handler_(std::move(f)) {}
  void finish() { this->call(handler_); }

private:
  F handler_;
};

class event_wait {
public:
  explicit event_wait(event& e) noexcept : event_(&e) {}
  [[nodiscard]] bool try_now() const noexcept { return event_->is_set(); }
  bool enroll(waiter& w) noexcept;
  bool withdraw() noexcept;

protected:
  template <class F>
  void call(F& f) {
    std::invoke(f);
  }

private:
  event* event_;
  wait_node node_{nullptr};
};

class semaphore_wait {
public:
  explicit semaphore_wait(semaphore& s) noexcept : semaphore_(&s) {}
  [[nodiscard]] bool try_now() noexcept { return semaphore_->try_acquire(); }
  bool enroll(waiter& w) noexcept;
  bool withdraw() noexcept;

protected:
  template <class F>
  void call(F& f) {
    if constexpr (std::invocable<F&, scoped_permit>) {
      std::invoke(f, scoped_permit{*semaphore_});
    } else {
      std::invoke(f);
    }
  }

private:
  semaphore* semaphore_;
  wait_node node_{nullptr};
};

/// For the end of a task.
class end_wait {
public:
  explicit end_wait(fiber_record& of) noexcept : record_(&of) {}
  end_wait(end_wait const& other) noexcept : record_(other.record_) {}
  end_wait& operator=(end_wait const&) = delete;
  [[nodiscard]] bool try_now() const;
  bool enroll(waiter& w) noexcept;
  bool withdraw() noexcept;
  bool drive_guest(time_point until) noexcept;

protected:
  template <class F>
  void call(F& f) {
    std::invoke(f);
  }

private:
  struct node final : end_callback {
    bool told() noexcept override;
    void call() override {}
    waiter* waiting = nullptr;
  };

  fiber_record* record_;
  node node_;
};

/// What the engine takes for a case: the case itself, or an object around it.
template <class C>
class entry_around final : public select_entry {
public:
  explicit entry_around(C& c) noexcept : case_(&c) {}
  bool try_now() override { return case_->try_now(); }
  bool enroll(waiter& w) noexcept override { return case_->enroll(w); }
  bool withdraw() noexcept override { return case_->withdraw(); }
  bool drive_guest([[maybe_unused]] time_point until) noexcept override {
    if constexpr (std::derived_from<C, end_wait>) return case_->drive_guest(until);
    return false;
  }
  void finish() override { case_->finish(); }

private:
  C* case_;
};

template <class C>
using entry_for = std::conditional_t<std::derived_from<C, select_entry>, std::reference_wrapper<C>, entry_around<C>>;

template <class C>
select_entry* address_of(std::reference_wrapper<C>& entry) noexcept {
  return &entry.get();
}
template <class C>
select_entry* address_of(entry_around<C>& entry) noexcept {
  return &entry;
}

}  // namespace detail

// --- cases ---

/// Receives from `ch`, and calls `f(std::optional<T>)`: with nothing if `ch` is closed and empty, which is always
/// ready. A null pointer is never ready: so a case can be left out. If moving the value to `f` throws, it is gone.
template <class T, std::invocable<std::optional<T>> F>
[[nodiscard]] detail::receive_case<T, F> on_receive(channel<T>& ch, F f) {
  return {&ch, std::move(f)};
}
template <class T, std::invocable<std::optional<T>> F>
[[nodiscard]] detail::receive_case<T, F> on_receive(channel<T>* ch, F f) {
  return {ch, std::move(f)};
}

/// Sends `value` to `ch`, and calls `f()`. The value is the case's: if that is not chosen, it goes with the case,
/// unless it is taken back by `value()`. If `ch` is closed, the case is ready, and select() throws `channel_closed`. A
/// null pointer is never ready. A case sends once.
template <class T, std::convertible_to<T> V, std::invocable F = detail::no_handler>
[[nodiscard]] detail::send_case<T, F> on_send(channel<T>& ch, V&& value, F f = {}) {
  return {&ch, std::forward<V>(value), std::move(f)};
}
template <class T, std::convertible_to<T> V, std::invocable F = detail::no_handler>
[[nodiscard]] detail::send_case<T, F> on_send(channel<T>* ch, V&& value, F f = {}) {
  return {ch, std::forward<V>(value), std::move(f)};
}

/// Calls `f()` when the task has ended; its result is still to be taken. A thread that waits for a guest's task runs
/// the guest meanwhile.
/// @throws error  for an empty handle; select() throws resource_deadlock_would_occur in the task itself
template <class T, std::invocable F = detail::no_handler>
[[nodiscard]] auto on_done(task<T> const& t, F f = {}) {
  return detail::handled_case<detail::end_wait, F>{detail::end_wait{detail::task_access::record(t)}, std::move(f)};
}

/// Calls `f()` when the event is set.
template <std::invocable F = detail::no_handler>
[[nodiscard]] auto on_event(event& e, F f = {}) {
  return detail::handled_case<detail::event_wait, F>{detail::event_wait{e}, std::move(f)};
}

/// Takes a permit, and calls `f()`, or `f(scoped_permit)` if that is possible.
template <class F>
  requires std::invocable<F&> || std::invocable<F&, scoped_permit>
[[nodiscard]] auto on_acquire(semaphore& s, F f) {
  return detail::handled_case<detail::semaphore_wait, F>{detail::semaphore_wait{s}, std::move(f)};
}

/// Calls `f()` if no other case is ready within `limit` from now; with 0 the others are only tried.
template <class Rep, class Period, std::invocable F = detail::no_handler>
[[nodiscard]] detail::timeout_case<F> on_timeout(std::chrono::duration<Rep, Period> limit, F f = {}) {
  return {detail::deadline_after(detail::to_nanoseconds(limit)), std::move(f)};
}
/// The same until `deadline`.
template <class Clock, class Duration, std::invocable F = detail::no_handler>
[[nodiscard]] detail::timeout_case<F> on_timeout(std::chrono::time_point<Clock, Duration> deadline, F f = {}) {
  return {detail::to_deadline(deadline), std::move(f)};
}

/// Calls `f()` if no other case is ready: then select() does not wait.
template <std::invocable F = detail::no_handler>
[[nodiscard]] detail::otherwise_case<F> otherwise(F f = {}) {
  return detail::otherwise_case<F>{std::move(f)};
}

/// Any case, for ranges in which they differ. Owns it, on the heap.
class any_select_case {
public:
  template <select_case C>
    requires(!std::same_as<C, any_select_case>)
  any_select_case(C c) : held_(std::make_unique<holder<C>>(std::move(c))) {}  // NOLINT: it stands for the case

  /// @throws std::invalid_argument  if it was moved from
  [[nodiscard]] detail::select_entry& entry() const {
    if (held_ == nullptr) throw std::invalid_argument("weft::select: a case was moved from");
    return held_->entry();
  }

private:
  struct any {
    virtual ~any() = default;
    virtual detail::select_entry& entry() noexcept = 0;
  };
  template <class C>
  struct holder final : any {
    explicit holder(C&& c) : held(std::move(c)) {}
    detail::select_entry& entry() noexcept override { return *detail::address_of(around); }
    C held;
    detail::entry_for<C> around{held};
  };

  std::unique_ptr<any> held_;
};

// --- select ---

/// Waits until one of the cases is ready, and goes through with it.
/// @returns the number of that case, from 0
/// @throws channel_closed  if that was to send to a closed channel; what the handler, or moving a value, throws
/// @par Cancellation
/// A cancellation point, even where it need not wait; cancelled means that no case was chosen.
/// @par Fairness
/// If several cases are ready, each is as likely as the others. While it waits it stands in line everywhere; but a
/// thread that runs a guest meanwhile, for on_done() of a task of that, stands in line anew every 2 ms.
/// @par Lifetime
/// What the cases refer to must outlive the call; except what the chosen case alone refers to: as with a plain
/// receive(), wait() and so on, whoever has ended the wait may free that at once. (Not a queue of what throws when it
/// is moved: an item whose move throws goes back.)
template <class... Cases>
  requires(sizeof...(Cases) > 0 && (select_case<std::remove_cvref_t<Cases>> && ...))
std::size_t select(Cases&&... cases) {
  std::tuple<detail::entry_for<std::remove_cvref_t<Cases>>...> entries{cases...};
  return std::apply(
      [](auto&... e) {
        constexpr std::size_t count = sizeof...(e);
        std::array<detail::select_entry*, count> const all{detail::address_of(e)...};
        std::array<detail::select_entry*, count> order;
        std::array<detail::channel_case*, count> channels;
        return detail::select_among(all, {order, channels});
      },
      entries);
}

/// The same for a range of cases, all of one type or `any_select_case`. Allocates.
/// @throws std::invalid_argument  for an empty range
template <std::ranges::input_range Range>
  requires(!select_case<std::remove_cvref_t<Range>> &&
           std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>> &&
           (select_case<std::ranges::range_value_t<Range>> ||
            std::same_as<std::ranges::range_value_t<Range>, any_select_case>))
std::size_t select(Range&& cases) {
  using one = std::ranges::range_value_t<Range>;
  std::vector<detail::select_entry*> all;
  std::vector<std::unique_ptr<detail::select_entry>> around;
  for (auto& c : cases) {
    if constexpr (std::same_as<one, any_select_case>) {
      all.push_back(&c.entry());
    } else if constexpr (std::derived_from<one, detail::select_entry>) {
      all.push_back(&c);
    } else {
      around.push_back(std::make_unique<detail::entry_around<one>>(c));
      all.push_back(around.back().get());
    }
  }
  std::vector<detail::select_entry*> order(all.size());
  std::vector<detail::channel_case*> channels(all.size());
  return detail::select_among(all, {order, channels});
}

}  // namespace weft::inline v0
