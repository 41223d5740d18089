#pragma once
/// @file
/// `lifo_queue`: last in, first out. As asyncio's `LifoQueue`.

#include <weft/sync/basic_queue.hpp>

#include <utility>

namespace weft::inline v0 {

namespace detail {

class lifo_store final : public queue_store {
public:
  using link = queue_item;
  void push(queue_item& item) noexcept override { item.next = std::exchange(top_, &item); }
  void put_back(queue_item& item) noexcept override { push(item); }
  queue_item* pop() noexcept override { return top_ == nullptr ? nullptr : std::exchange(top_, top_->next); }
  queue_item* pop_all() noexcept override { return std::exchange(top_, nullptr); }

private:
  queue_item* top_ = nullptr;
};

}  // namespace detail

/// The newest item leaves first. For all else see basic_queue.
template <std::movable T>
class lifo_queue : public basic_queue<T, detail::lifo_store> {
public:
  using basic_queue<T, detail::lifo_store>::basic_queue;
};

}  // namespace weft::inline v0
