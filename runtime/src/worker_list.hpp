#pragma once
/// @file
/// A runtime's workers: those it was made with, and behind them stand-ins, which join while others look (see
/// stand_ins.hpp). None leaves before the end.

#include "worker.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace weft::inline v0::detail {

class worker_list {
public:
  /// @param most  that there may ever be
  explicit worker_list(std::size_t most) : capacity_(most), all_(std::make_unique<std::unique_ptr<worker>[]>(most)) {}
  worker_list(worker_list const&) = delete;

  /// One caller at a time, and no more than `most` times.
  worker& add(std::unique_ptr<worker> w) noexcept {
    auto const index = size_.load(std::memory_order_relaxed);  // only callers of this write it
    all_[index] = std::move(w);
    // release: publishes the worker to the acquire in size().
    size_.store(index + 1, std::memory_order_release);
    return *all_[index];
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }  // pairs with add()
  [[nodiscard]] worker& operator[](std::size_t index) const noexcept { return *all_[index]; }
  [[nodiscard]] std::unique_ptr<worker> const* begin() const noexcept { return all_.get(); }
  [[nodiscard]] std::unique_ptr<worker> const* end() const noexcept { return all_.get() + size(); }

  /// When their threads have ended.
  void clear() noexcept {
    for (auto n = size_.exchange(0, std::memory_order_relaxed); n > 0; --n) all_[n - 1].reset();  // nobody else is left
  }

private:
  std::size_t const capacity_;
  std::unique_ptr<std::unique_ptr<worker>[]> const all_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace weft::inline v0::detail
