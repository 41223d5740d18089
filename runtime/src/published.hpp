#pragma once
/// @file
/// A field that one thread writes and others may look at, at the price of a plain field.

#include <atomic>

namespace weft::detail {

/// Relaxed throughout: the writer reads its own value, and all others get a hint that is a moment old.
template <class T>
class published {
public:
  constexpr published(T value = {}) noexcept : value_(value) {}  // NOLINT: stands for the value
  published(published const&) = delete;
  published& operator=(published const& other) noexcept { return *this = T(other); }
  published& operator=(T value) noexcept {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  operator T() const noexcept { return value_.load(std::memory_order_relaxed); }  // NOLINT: as above
  T operator->() const noexcept { return *this; }
  [[nodiscard]] T get() const noexcept { return *this; }

private:
  std::atomic<T> value_;
};

}  // namespace weft::detail
