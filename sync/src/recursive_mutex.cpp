#include <weft/sync/recursive_mutex.hpp>

#include "refuse.hpp"

#include <weft/runtime/detail/fiber_record.hpp>

namespace weft::inline v0 {

namespace {

/// An address that is the caller's alone, as long as it lives. Never inlined, and opaque: no compiler may keep a
/// thread's over a wait.
[[gnu::noinline]] void const* self() noexcept {
  static thread_local char of_thread;
  asm volatile("" ::: "memory");
  if (auto const* const fiber = detail::current_fiber()) return fiber;
  return &of_thread;
}

}  // namespace

bool recursive_mutex::locked_again() noexcept {
  // relaxed: only the caller itself can have put its own address there.
  if (owner_.load(std::memory_order_relaxed) != self()) return false;
  ++count_;
  return true;
}

bool recursive_mutex::own() noexcept {
  owner_.store(self(), std::memory_order_relaxed);  // as above
  count_ = 1;
  return true;
}

void recursive_mutex::unlock() noexcept {
  if (owner_.load(std::memory_order_relaxed) != self()) {
    detail::refuse("a recursive_mutex is unlocked by who does not hold it");
  }
  if (--count_ != 0) return;
  owner_.store(nullptr, std::memory_order_relaxed);
  mutex_.unlock();
}

}  // namespace weft::inline v0
