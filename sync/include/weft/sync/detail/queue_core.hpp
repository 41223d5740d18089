#pragma once
/// @file
/// What all queues are made of: a store of items behind a lock, and a line of those who wait. The order in which items
/// leave is the store's; all else is here, and knows nothing of their type.
///
/// Each item has a box of its own, made before the lock is taken and unmade after it is released. Who puts boxes a
/// reference to the value; the value itself goes in when it is certain that it is wanted. So a value that was not put
/// is still its owner's, whatever its moves throw, and what passes from hand to hand is a pointer, which cannot fail.
///
/// Invariants, when the lock is free. Somebody waits to get: the store is empty, so that the next item is the first in
/// any order, and goes past the store to who has waited longest. Somebody waits to put: the store is full. So one line
/// serves for both. After a shutdown nobody waits.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

namespace weft::inline v0::detail {

/// The box of an item. load() and unload() move the value, and throw what that throws.
class queue_item {
public:
  queue_item() noexcept = default;
  queue_item(queue_item const&) = delete;
  virtual ~queue_item() = default;
  virtual void load() = 0;    ///< takes the value from who puts it
  virtual void unload() = 0;  ///< gives it back

  queue_item* next = nullptr;  ///< the store's
};

using boxed_item = std::unique_ptr<queue_item>;

/// @tparam Link  a queue_item, with what a store needs to keep it
template <class T, class Link>
class queue_item_of final : public Link {
public:
  explicit queue_item_of(T& from) noexcept : from_(&from) {}
  void load() override { value_.emplace(std::move(*from_)); }
  void unload() override { *from_ = *std::move(value_); }
  [[nodiscard]] T& value() noexcept { return *value_; }
  [[nodiscard]] T const& value() const noexcept { return *value_; }

private:
  T* from_;
  std::optional<T> value_;
};

/// Where the items are for which nobody waits. Called under the lock: nothing in it may wait.
class queue_store {
public:
  /// Owns `item` from now on. What it throws leaves all as it was.
  virtual void push(queue_item& item) = 0;
  /// Takes back an item that has left already.
  virtual void put_back(queue_item& item) noexcept = 0;
  /// @returns the first, or null. What it throws leaves all as it was.
  virtual queue_item* pop() = 0;
  /// @returns all, linked by `next`
  virtual queue_item* pop_all() noexcept = 0;

protected:
  ~queue_store() = default;
};

/// A party in line. Who ends its wait has left an item here for a getter, or has taken a putter's. If not, the queue
/// has been shut down, or there is a failure.
struct queue_node : wait_node {
  using wait_node::wait_node;
  boxed_item item;
  std::exception_ptr failure;  // what a putter's move, or its comparison, threw
};

class queue_core {
public:
  /// @param capacity  0: without bounds
  queue_core(std::size_t capacity, queue_store& store) noexcept
      : limit_(capacity == 0 ? unbounded : capacity), store_(store) {}
  queue_core(queue_core const&) = delete;
  ~queue_core();

  /// @returns false if `deadline` passed first.  @throws queue_shutdown, cancelled, and what moves and the order throw
  bool put(boxed_item item, time_point deadline);
  /// @returns false if the queue is full.  @throws as put(), but for cancelled
  bool try_put(boxed_item item) { return try_put_(item); }
  /// @returns null if `deadline` passed first.  @throws queue_shutdown, cancelled, and what the order throws
  [[nodiscard]] boxed_item get(time_point deadline);
  /// @returns null if the queue is empty.  @throws as get(), but for cancelled
  [[nodiscard]] boxed_item try_get();
  // get() in parts, for select.
  /// Puts `w` in line; or claims it and takes an item, if there is one.  @returns whether it has been claimed
  bool enroll(waiter& w, queue_node& node) noexcept;
  /// Takes it out again.  @returns whether it has been claimed
  bool withdraw(queue_node& node) noexcept;
  /// What has come of a wait.  @throws queue_shutdown, and what the order throws
  [[nodiscard]] static boxed_item outcome(queue_node& node);

  /// Takes back what get() gave, as what is first.
  void put_back(boxed_item item) noexcept;

  void shutdown(bool immediate) noexcept;
  void task_done();
  /// @returns false if `deadline` passed first.  @throws cancelled
  [[nodiscard]] bool join(time_point deadline);

  /// Whether every item that was put is task_done.
  [[nodiscard]] bool all_done() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return limit_ == unbounded ? 0 : limit_; }

private:
  using section = wait_list::section;
  static constexpr auto unbounded = std::numeric_limits<std::size_t>::max();
  enum class phase : unsigned char { open, draining, dropped };

  bool try_put_(boxed_item& item);
  bool offer(section& line, boxed_item& item, wait_node*& getter);
  bool take(section& line, boxed_item& item, wait_node*& putters);
  void keep(boxed_item& item);
  wait_node* refill(section& line) noexcept;
  std::size_t count_out(std::size_t items, wait_node*& joiners) noexcept;

  mutable wait_list line_;
  std::size_t const limit_;
  // Guarded by the line's lock, all of them.
  queue_store& store_;
  std::size_t size_ = 0;
  phase phase_ = phase::open;
  std::size_t unfinished_ = 0;  // items that were put and are not task_done
  wait_list joiners_;           // its own lock guards nothing
};

}  // namespace weft::inline v0::detail
