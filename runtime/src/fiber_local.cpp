#include <weft/runtime/fiber_local.hpp>

#include "sanitizers.hpp"
#include "stack_pool.hpp"
#include "task_end.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/fiber_record.hpp>

#include <atomic>
#include <utility>

namespace weft::inline v0::detail {

namespace {

/// The values of a thread, for code outside of any fiber.
struct thread_values {
  thread_values() noexcept = default;
  thread_values(thread_values const&) = delete;
  ~thread_values() {
    while (newest != nullptr) destroy_local(newest, *newest);
  }
  local_node* newest = nullptr;
};

/// In a function, for who marks that it has been made, as context_var.cpp's.
WEFT_UNINSTRUMENTED [[gnu::noinline]] thread_values& values_of_thread() noexcept {
  static thread_local thread_values here;
  return here;
}

}  // namespace

// Never inlined and opaque, as current_worker() is: only the address on a fiber's stack may be kept over a wait.
WEFT_UNINSTRUMENTED [[gnu::noinline]] local_node*& local_nodes() noexcept {
  asm volatile("" ::: "memory");
  fiber_record* const self = current_fiber();
  if (self == nullptr) return values_of_thread().newest;
  self->leaves_things = true;  // where there is no value yet, one is about to be made
  return self->place->locals;
}

std::uint64_t new_local_key() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: it need only be unique
}

void destroy_local(local_node*& newest, local_node& node) noexcept {
  if (node.destroy_value == nullptr) return;
  {
    cancel_shield const shielded;  // there is no caller that `cancelled` could reach
    std::exchange(node.destroy_value, nullptr)(node);
  }
  // Only now, so that a destructor that asks for its own value does not make new ones without end; and what others it
  // has made lies in front.
  local_node** at = &newest;
  while (*at != &node) at = &(*at)->older;
  *at = node.older;
  node.free(&node);
}

void destroy_locals(stack& of) noexcept {
  while (of.locals != nullptr) destroy_local(of.locals, *of.locals);
}

}  // namespace weft::inline v0::detail
