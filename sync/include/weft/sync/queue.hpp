#pragma once
/// @file
/// `queue`: first in, first out. As asyncio's `Queue`.

#include <weft/sync/basic_queue.hpp>

#include <utility>

namespace weft::inline v0 {

namespace detail {

class fifo_store final : public queue_store {
public:
  using link = queue_item;
  void push(queue_item& item) noexcept override {
    item.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &item;
    last_ = &item;
  }
  void put_back(queue_item& item) noexcept override {
    if (first_ == nullptr) last_ = &item;
    item.next = std::exchange(first_, &item);
  }
  queue_item* pop() noexcept override { return first_ == nullptr ? nullptr : std::exchange(first_, first_->next); }
  queue_item* pop_all() noexcept override { return std::exchange(first_, nullptr); }

private:
  queue_item* first_ = nullptr;
  queue_item* last_ = nullptr;  // dangles while there is no first one
};

}  // namespace detail

/// Items leave in the order in which they came. For all else see basic_queue.
template <std::movable T>
class queue : public basic_queue<T, detail::fifo_store> {
public:
  using basic_queue<T, detail::fifo_store>::basic_queue;
};

}  // namespace weft::inline v0
