#pragma once
/// @file
/// `basic_queue`: what `queue`, `lifo_queue` and `priority_queue` have in common, which is all but the order in which
/// items leave. What it is made of is in detail/queue_core.hpp.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/detail/queue_core.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace weft::inline v0 {

namespace detail {
template <class T, class Store, class F>
class get_case;
}

/// Items on their way from those who put them to those who get them, as asyncio's queues.
/// @tparam T      its moves must not wait. They may throw: then the item stays where it was
/// @tparam Store  see detail::queue_store
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone. To destroy
/// a queue for which somebody waits aborts. Who has been given an item may still need the queue if moves of `T` throw.
/// @par Memory ordering
/// All that was done before an item was put is visible to whoever gets it; all that was done before task_done(), to
/// whose join() returns for it.
/// @par Cancellation
/// put(), get() and join() are cancellation points in all their forms that take time, even where they need not wait.
/// Cancelled means: not put, and nothing taken. An item that was handed over first is got.
/// @par Fairness
/// First come, first served, among those who put and among those who get.
template <std::movable T, class Store>
class basic_queue {
public:
  /// @param capacity  items that it holds before put() waits; 0: as many as there are
  explicit basic_queue(std::size_t capacity = 0)
    requires std::default_initializable<Store>
      : core_(capacity, store_) {}
  basic_queue(basic_queue const&) = delete;
  basic_queue& operator=(basic_queue const&) = delete;

  /// Puts `value`, waiting while the queue is full. Whatever is thrown, the caller still has the value;
  /// except that one which cannot be kept (a comparison throws), and whose move back throws too, is lost.
  /// @throws queue_shutdown  if the queue is shut down before there is room
  void put(T&& value) { (void)core_.put(box(value), never); }
  /// The same with a copy.
  void put(T const& value)
    requires std::copy_constructible<T>
  {
    put(T(value));
  }
  /// Puts `value` if there is room. Never waits.
  /// @returns false, leaving `value` alone, if the queue is full.  @throws queue_shutdown, and likewise
  [[nodiscard]] bool try_put(T& value) { return core_.try_put(box(value)); }
  [[nodiscard]] bool try_put(T&& value) { return core_.try_put(box(value)); }
  /// Waits at most `limit`; with 0 it only tries.
  /// @returns false, leaving `value` alone, if there was no room in time.  @throws queue_shutdown, and likewise
  template <class Rep, class Period>
  [[nodiscard]] bool put_for(T& value, std::chrono::duration<Rep, Period> limit) {
    return core_.put(box(value), detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  template <class Rep, class Period>
  [[nodiscard]] bool put_for(T&& value, std::chrono::duration<Rep, Period> limit) {
    return put_for(value, limit);
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] bool put_until(T& value, std::chrono::time_point<Clock, Duration> deadline) {
    return core_.put(box(value), detail::to_deadline(deadline));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool put_until(T&& value, std::chrono::time_point<Clock, Duration> deadline) {
    return put_until(value, deadline);
  }

  /// Takes the first item, waiting while there is none.
  /// @throws queue_shutdown  if the queue has been shut down and is empty
  [[nodiscard]] T get() { return unbox<T>(core_.get(never)); }
  /// Takes the first item. Never waits.  @returns nothing if the queue is empty.  @throws queue_shutdown  as get()
  [[nodiscard]] std::optional<T> try_get() {
    auto item = core_.try_get();
    if (item == nullptr) return std::nullopt;
    return unbox<std::optional<T>>(std::move(item));
  }
  /// Waits at most `limit`; with 0 it only tries.  @throws timeout_error, and queue_shutdown as get()
  template <class Rep, class Period>
  [[nodiscard]] T get_for(std::chrono::duration<Rep, Period> limit) {
    return get_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] T get_until(std::chrono::time_point<Clock, Duration> deadline) {
    return get_until_(detail::to_deadline(deadline));
  }

  /// Says that an item which somebody got has been dealt with.
  /// @throws std::invalid_argument  if it is called more often than items were put
  void task_done() { core_.task_done(); }
  /// Waits until every item that was put has been dealt with, and says so.
  void join() { (void)core_.join(never); }
  /// Whether all have been dealt with. Never waits.
  [[nodiscard]] bool try_join() const noexcept { return core_.all_done(); }
  /// Waits at most `limit`; with 0 it only looks.  @returns whether all have been dealt with
  template <class Rep, class Period>
  [[nodiscard]] bool join_for(std::chrono::duration<Rep, Period> limit) {
    return core_.join(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] bool join_until(std::chrono::time_point<Clock, Duration> deadline) {
    return core_.join(detail::to_deadline(deadline));
  }

  /// From now on nothing can be put. What is in can be got; who waits for more, or for room, gets `queue_shutdown`. May
  /// be called again. Does not wait, unless an item's destructor does.
  /// @param immediate  drops what is in, as if it had been got and dealt with. The items are destroyed when all who
  ///   waited, in join(), too, have been woken
  void shutdown(bool immediate = false) noexcept { core_.shutdown(immediate); }

  /// Hints, where others use the queue at the same time.
  [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] bool full() const noexcept { return size() >= core_.limit(); }
  /// 0: without bounds.
  [[nodiscard]] std::size_t capacity() const noexcept { return core_.capacity(); }

protected:
  /// For a store that is made of something.
  template <class... Args>
  basic_queue(std::size_t capacity, std::in_place_t, Args&&... args)
      : store_(std::forward<Args>(args)...), core_(capacity, store_) {}

private:
  template <class, class, class>
  friend class detail::get_case;
  using item_type = detail::queue_item_of<T, typename Store::link>;

  static detail::boxed_item box(T& value) { return std::make_unique<item_type>(value); }

  /// Makes the result where the caller wants it: there is no second move that could fail.
  template <class Result>
  Result unbox(detail::boxed_item item) {
    try {
      return Result(std::move(static_cast<item_type&>(*item).value()));
    } catch (...) {
      core_.put_back(std::move(item));
      throw;
    }
  }

  T get_until_(time_point deadline) {
    auto item = core_.get(deadline);
    if (item == nullptr) throw timeout_error("weft::queue: nothing came in time");
    return unbox<T>(std::move(item));
  }

  Store store_;  // lives longer than the core, which empties it
  detail::queue_core core_;
};

namespace detail {

/// A waiting_case: see select.hpp.
template <class T, class Store, class F>
class get_case {
public:
  get_case(basic_queue<T, Store>& from, F f) : from_(&from), handler_(std::move(f)) {}
  bool try_now() {
    node_.item = from_->core_.try_get();
    return node_.item != nullptr;
  }
  bool enroll(waiter& w) noexcept { return from_->core_.enroll(w, node_); }
  bool withdraw() noexcept { return from_->core_.withdraw(node_); }
  void finish() { std::invoke(handler_, from_->template unbox<T>(queue_core::outcome(node_))); }

private:
  basic_queue<T, Store>* from_;
  queue_node node_{nullptr};
  F handler_;
};

}  // namespace detail

/// A case of select(): takes the first item, and calls `f(T)`. A queue that has been shut down and is empty is ready,
/// and select() throws `queue_shutdown`.
template <std::movable T, class Store, std::invocable<T> F>
[[nodiscard]] detail::get_case<T, Store, F> on_get(basic_queue<T, Store>& from, F f) {
  return {from, std::move(f)};
}

}  // namespace weft::inline v0
