#pragma once
/// @file
/// Fibers made ready by threads that are not workers, and what overflows a ring: one list for all workers, first in,
/// first out. Also a worker's mailbox: fibers that only it may run.

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/detail/fiber_record.hpp>

#include <atomic>
#include <cstddef>
#include <mutex>

namespace weft::inline v0::detail {

/// @tparam T        has a `next`
/// @tparam Atomics  see atomics.hpp
template <class T, class Atomics = std_atomics, class Mutex = std::mutex>
class basic_injection_queue {
public:
  void push(T& fiber) noexcept { push_list(&fiber, &fiber, 1); }

  /// Appends `count` fibers, linked by `next` from `first` to `last`.
  void push_list(T* first, T* last, std::size_t count) noexcept {
    last->next = nullptr;
    std::lock_guard const lock{mutex_};
    (tail_ != nullptr ? tail_->next : head_) = first;
    tail_ = last;
    // relaxed: the lock publishes the list; the size alone only says whether to look. (See idle_set for why a parked
    // worker cannot miss it.)
    size_.store(size_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }

  /// Takes up to `most`, linked by `next`.  @returns the first, or null
  [[nodiscard]] T* pop(std::size_t most) noexcept {
    if (empty()) return nullptr;
    std::lock_guard const lock{mutex_};
    T* const first = head_;
    if (first == nullptr) return nullptr;
    T* last = first;
    std::size_t count = 1;
    for (; count < most && last->next != nullptr; ++count) last = last->next;
    head_ = last->next;
    if (head_ == nullptr) tail_ = nullptr;
    last->next = nullptr;
    size_.store(size_.load(std::memory_order_relaxed) - count, std::memory_order_relaxed);
    return first;
  }

  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  /// A hint, without the lock.
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

private:
  typename Atomics::template atomic<std::size_t> size_{0};  // written under the lock
  Mutex mutex_;                                             // guards all below
  typename Atomics::template plain<T*> head_ = nullptr;
  typename Atomics::template plain<T*> tail_ = nullptr;
};

using injection_queue = basic_injection_queue<fiber_record>;

}  // namespace weft::inline v0::detail
