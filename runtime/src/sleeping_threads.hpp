#pragma once
/// @file
/// Threads that are no workers and sleep in weft without a limit: they wake nobody before they are woken themselves.

#include <cstddef>
#include <mutex>

namespace weft::inline v0::detail {

/// While it lives, the calling thread sleeps, or has been woken and has not gone on yet.
class sleeping_thread {
public:
  /// @param asleep  asked of `what`, on any thread: whether nobody has woken this one
  sleeping_thread(bool (*asleep)(void* what) noexcept, void* what) noexcept : asleep_(asleep), what_(what) {
    std::lock_guard const lock{mutex_};
    next_ = first_;
    if (next_ != nullptr) next_->prev_ = this;
    first_ = this;
  }
  sleeping_thread(sleeping_thread const&) = delete;
  ~sleeping_thread() {
    std::lock_guard const lock{mutex_};
    (prev_ != nullptr ? prev_->next_ : first_) = next_;
    if (next_ != nullptr) next_->prev_ = prev_;
  }

  /// How many nobody has woken.
  [[nodiscard]] static std::size_t count() noexcept {
    std::lock_guard const lock{mutex_};
    std::size_t n = 0;
    for (auto const* t = first_; t != nullptr; t = t->next_) n += t->asleep_(t->what_) ? 1U : 0U;
    return n;
  }

private:
  inline static std::mutex mutex_;  // guards the links
  inline static sleeping_thread* first_ = nullptr;

  bool (*asleep_)(void*) noexcept;
  void* what_;
  sleeping_thread* next_ = nullptr;
  sleeping_thread* prev_ = nullptr;
};

}  // namespace weft::inline v0::detail
