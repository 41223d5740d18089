#pragma once
/// @file
/// A number that fibers count up together. That they take turns on one worker is an order, but no synchronisation.

#include <atomic>
#include <cstdint>

namespace weft::test {

/// A copy has what it was at that moment.
class shared_count {
public:
  shared_count(std::uint64_t n = 0) noexcept : n_(n) {}
  shared_count(shared_count const& other) noexcept : n_(other.get()) {}
  shared_count& operator=(shared_count const& other) noexcept {
    n_.store(other.get());
    return *this;
  }
  std::uint64_t operator++() noexcept { return n_.fetch_add(1) + 1; }
  shared_count& operator+=(std::uint64_t more) noexcept {
    n_.fetch_add(more);
    return *this;
  }
  operator std::uint64_t() const noexcept { return get(); }
  [[nodiscard]] std::uint64_t get() const noexcept { return n_.load(); }

private:
  std::atomic<std::uint64_t> n_;
};

}  // namespace weft::test
