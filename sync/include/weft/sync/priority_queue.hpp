#pragma once
/// @file
/// `priority_queue`: the least item first. As asyncio's `PriorityQueue`.

#include <weft/sync/basic_queue.hpp>
#include <weft/sync/detail/leftist_heap.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <utility>

namespace weft::inline v0 {

namespace detail {

template <class T, class Compare>
class priority_store final : public queue_store {
public:
  using link = heap_item;
  explicit priority_store(Compare compare) : heap_(by_value{std::move(compare)}) {}
  void push(queue_item& item) override { heap_.push(static_cast<heap_item&>(item)); }
  void put_back(queue_item& item) noexcept override { heap_.put_back(static_cast<heap_item&>(item)); }
  queue_item* pop() override { return heap_.pop(); }
  queue_item* pop_all() noexcept override { return heap_.pop_all(); }

private:
  struct by_value {
    Compare compare;
    bool operator()(heap_item const& a, heap_item const& b) { return compare(value(a), value(b)); }
    static T const& value(heap_item const& item) noexcept {
      return static_cast<queue_item_of<T, heap_item> const&>(item).value();
    }
  };
  leftist_heap<by_value> heap_;
};

}  // namespace detail

/// The least item leaves first, of equals the oldest. For all else see basic_queue.
/// @tparam Compare  `compare(a, b)`: whether `a` leaves before `b`. With `std::less`, the default, the least does, as
/// in
///   asyncio; `std::priority_queue` has it the other way round. Must not wait. May throw: then the call throws it that
///   puts the item, or was about to get one, and has done nothing.
template <std::movable T, std::strict_weak_order<T const&, T const&> Compare = std::less<T>>
class priority_queue : public basic_queue<T, detail::priority_store<T, Compare>> {
public:
  /// @param capacity  items that it holds before put() waits; 0: as many as there are
  explicit priority_queue(std::size_t capacity = 0, Compare compare = Compare())
      : basic_queue<T, detail::priority_store<T, Compare>>(capacity, std::in_place, std::move(compare)) {}
};

}  // namespace weft::inline v0
