#include "body_stacks.hpp"

#include "generator_body.hpp"
#include "worker.hpp"

#include <atomic>
#include <mutex>
#include <new>

namespace weft::inline v0::detail::body_stacks {

namespace {

/// Of the process. Never destroyed: a generator may be a global object.
struct process_stacks {
  stack_pool pool{guard_bytes, &body_main::loop};
  std::mutex mutex;         // guards the next
  stack_cache cache{pool};  // of all threads that are no workers
};

/// Set once there is one.
std::atomic<process_stacks*> made{nullptr};

/// In static memory, so that it cannot fail, and leak checkers find what hangs on it.
process_stacks& of_process() noexcept {
  alignas(process_stacks) static std::byte memory[sizeof(process_stacks)];  // NOLINT: bytes for a placement new
  static auto* const stacks = [] {
    auto* const s = ::new (static_cast<void*>(memory)) process_stacks;
    made.store(s, std::memory_order_release);  // pairs with if_made()
    return s;
  }();
  return *stacks;
}

process_stacks* if_made() noexcept { return made.load(std::memory_order_acquire); }

/// The worker's own, made when first needed. Under the worker's identity.
stack_cache& cache_of(worker& w) noexcept {
  if (!w.body_stacks) [[unlikely]]
    w.body_stacks.emplace(of_process().pool);
  return *w.body_stacks;
}

}  // namespace

stack* take(std::uint8_t size_class) noexcept {
  if (worker* const w = current_worker(); w != nullptr) [[likely]] {
    under_identity const scheduler_code{w->identity};
    return cache_of(*w).take(size_class);
  }
  auto& stacks = of_process();
  std::lock_guard const lock{stacks.mutex};
  return stacks.cache.take(size_class);
}

void give(stack* s) noexcept {
  if (worker* const w = current_worker(); w != nullptr) [[likely]] {
    under_identity const scheduler_code{w->identity};
    return cache_of(*w).give(s);
  }
  auto& stacks = of_process();
  std::lock_guard const lock{stacks.mutex};
  stacks.cache.give(s);
}

std::size_t release_idle(std::size_t keep_bytes) noexcept {
  auto* const stacks = if_made();
  return stacks != nullptr ? stacks->pool.release_idle(keep_bytes) : 0;
}

std::size_t release_all() noexcept {
  auto* const stacks = if_made();
  return stacks != nullptr ? stacks->pool.release_all() : 0;
}

bool has_used() noexcept {
  auto const* const stacks = if_made();
  return stacks != nullptr && stacks->pool.has_used();
}

std::size_t guard_bytes_of(std::uint8_t size_class) noexcept {
  auto const* const stacks = if_made();
  return stacks != nullptr ? stacks->pool.guard_bytes_of(size_class) : 0;
}

}  // namespace weft::inline v0::detail::body_stacks
