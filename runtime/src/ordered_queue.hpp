#pragma once
/// @file
/// Ready fibers in the order in which they became ready, without bound. Touched by one worker only, but for its size.

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/detail/published.hpp>

#include <cstddef>

namespace weft::inline v0::detail {

class ordered_queue {
public:
  void push(fiber_record& fiber) noexcept {
    fiber.next = nullptr;
    (tail_ != nullptr ? tail_->next : head_) = &fiber;
    tail_ = &fiber;
    size_.add(1);
  }

  /// Takes out the one with `index` others before it.  @returns null if there are not so many
  [[nodiscard]] fiber_record* take(std::size_t index) noexcept {
    fiber_record* before = nullptr;
    fiber_record* at = head_;
    for (; at != nullptr && index > 0; --index) {
      before = at;
      at = at->next;
    }
    if (at == nullptr) return nullptr;
    (before != nullptr ? before->next : head_) = at->next;
    if (tail_ == at) tail_ = before;
    at->next = nullptr;
    size_ = size_ - 1;
    return at;
  }

  /// Any thread; to others a hint.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
  fiber_record* head_ = nullptr;
  fiber_record* tail_ = nullptr;
  published<std::size_t> size_{};
};

}  // namespace weft::inline v0::detail
