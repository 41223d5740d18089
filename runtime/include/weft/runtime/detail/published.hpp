#pragma once
/// @file
/// A field that one thread writes and any thread may look at.

#include <atomic>

namespace weft::inline v0::detail {

/// Reads and writes like a plain `T`, at the price of a plain `T`. One thread at a time writes. Others read what it was
/// a moment ago, and learn nothing else by it: all is relaxed, and nothing is published but the value itself.
template <class T>
class published {
public:
  constexpr published() noexcept = default;
  explicit constexpr published(T value) noexcept : value_(value) {}
  published(published const&) = delete;

  [[gnu::always_inline]] T get() const noexcept { return value_.load(std::memory_order_relaxed); }
  [[gnu::always_inline]] operator T() const noexcept { return get(); }  // NOLINT: it stands for the plain field
  [[gnu::always_inline]] T operator->() const noexcept { return get(); }
  [[gnu::always_inline]] published& operator=(T value) noexcept {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  /// For counters. No read-modify-write: there is one writer.  @returns the sum
  [[gnu::always_inline]] T add(T n) noexcept {
    auto const sum = static_cast<T>(get() + n);
    *this = sum;
    return sum;
  }

private:
  std::atomic<T> value_{};
};

}  // namespace weft::inline v0::detail
