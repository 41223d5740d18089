#pragma once
/// @file
/// A heap linked through its nodes (C. A. Crane, "Linear lists and priority queues as balanced binary trees", 1972): to
/// push and to pop is to merge two heaps along their right edges, which are no longer than the logarithm of their
/// sizes. It allocates nothing, and all comparisons of a merge come before its first change, so that one which throws
/// leaves the heap as it was.

#include <weft/sync/detail/queue_core.hpp>

#include <cstdint>
#include <utility>

namespace weft::inline v0::detail {

struct heap_item : queue_item {
  heap_item* left = nullptr;
  heap_item* right = nullptr;
  unsigned rank = 1;         // nodes on the way right, this one included; on no other way down are there fewer
  std::uint64_t number = 0;  // in the order of arrival
};

/// @tparam Before  whether one item leaves before another; may throw
template <class Before>
class leftist_heap {
public:
  explicit leftist_heap(Before before) : before_(std::move(before)) {}

  void push(heap_item& item) {
    item.number = arrivals_;
    root_ = merge(root_, &item);
    ++arrivals_;
  }

  heap_item* pop() {
    heap_item* const first = root_;
    if (first == nullptr) return nullptr;
    root_ = merge(first->left, first->right);
    first->left = first->right = nullptr;
    first->rank = 1;
    return first;
  }

  void put_back(heap_item& item) noexcept {
    try {
      root_ = merge(root_, &item);  // by its old number
    } catch (...) {
      item.left = std::exchange(root_, &item);  // it was the first when it left
    }
  }

  /// @returns all, linked by `next`
  heap_item* pop_all() noexcept {
    heap_item* all = nullptr;
    heap_item* node = std::exchange(root_, nullptr);
    while (node != nullptr) {
      if (heap_item* const left = node->left) {  // turned right, until nothing is left of it
        node->left = std::exchange(left->right, node);
        node = left;
      } else {
        node->next = std::exchange(all, node);
        node = node->right;
      }
    }
    return all;
  }

private:
  static unsigned rank(heap_item const* heap) noexcept { return heap == nullptr ? 0 : heap->rank; }

  [[nodiscard]] bool in_order(heap_item const& a, heap_item const& b) {
    if (before_(a, b)) return true;
    return !before_(b, a) && a.number < b.number;
  }

  heap_item* merge(heap_item* a, heap_item* b) {
    if (a == nullptr) return b;
    if (b == nullptr) return a;
    if (in_order(*b, *a)) std::swap(a, b);
    a->right = merge(a->right, b);
    if (rank(a->left) < rank(a->right)) std::swap(a->left, a->right);
    a->rank = rank(a->right) + 1;
    return a;
  }

  Before before_;
  heap_item* root_ = nullptr;
  std::uint64_t arrivals_ = 0;
};

}  // namespace weft::inline v0::detail
