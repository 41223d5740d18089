#pragma once
/// @file
/// What lies unused between the workers, linked by `next`: each keeps some of its own and exchanges batches with this
/// list. Last in, first out, for the last is the warmest.

#include <weft/runtime/detail/atomics.hpp>

#include <cstddef>
#include <mutex>

namespace weft::inline v0::detail {

/// Thread-safe. What is in the list belongs to the list; what has been taken, to who took it.
/// @tparam T        has a `next`
/// @tparam Atomics  see atomics.hpp
template <class T, class Atomics = std_atomics, class Mutex = std::mutex>
class basic_shared_list {
public:
  /// Takes up to `most`, linked by `next`.  @returns the first, or null
  [[nodiscard]] T* take(std::size_t most) noexcept {
    std::lock_guard const lock{mutex_};
    T* const first = head_;
    if (first == nullptr) return nullptr;
    T* last = first;
    for (std::size_t n = 1; n < most && last->next != nullptr; ++n) last = last->next;
    head_ = last->next;
    last->next = nullptr;
    return first;
  }

  /// Takes in what is linked from `first` to `last`.
  void give(T* first, T* last) noexcept {
    std::lock_guard const lock{mutex_};
    last->next = head_;
    head_ = first;
  }

private:
  Mutex mutex_;  // guards head_, and the links of what is in the list
  typename Atomics::template plain<T*> head_ = nullptr;
};

}  // namespace weft::inline v0::detail
