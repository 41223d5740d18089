#pragma once
/// @file
/// Records what happens in which order. That one fiber runs before another on the same worker is an order, but no
/// synchronisation: ThreadSanitizer would rightly complain about a plain vector.

#include <mutex>
#include <utility>
#include <vector>

namespace weft::test {

template <class T>
class sequence {
public:
  void add(T step) {
    std::lock_guard const lock{mutex_};
    steps_.push_back(std::move(step));
  }
  [[nodiscard]] std::vector<T> steps() const {
    std::lock_guard const lock{mutex_};
    return steps_;
  }

private:
  mutable std::mutex mutex_;
  std::vector<T> steps_;
};

}  // namespace weft::test
