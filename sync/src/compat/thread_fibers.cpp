#include "thread_fibers.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/error.hpp>

#include <cstddef>
#include <memory>
#include <new>

namespace weft::inline v0::compat::detail {

namespace {

// Of the calling thread; nothing to construct, so that they can be looked at at any time.
constinit thread_local weft::detail::guest_thread* fibers_here = nullptr;
constinit thread_local bool fibers_are_over = false;
// The thread's context, in place, and never destroyed: when it has ended, others of the thread's destructors may still
// ask for it, such as a fiber_specific_ptr's, and what they have locked must know its owner.
alignas(fibers::context) constinit thread_local std::byte context_room[sizeof(fibers::context)]{};
constinit thread_local fibers::context* context_here = nullptr;

struct context_end {
  context_end() noexcept = default;
  context_end(context_end const&) = delete;
  ~context_end() { fiber_access::end(*context_here); }
};

/// Dies with the thread, before the thread's context, which its last fibers may ask for.
struct fibers_holder {
  fibers_holder() : fibers((static_cast<void>(context_of_thread()), std::make_unique<weft::detail::guest_thread>())) {
    fibers_here = fibers.get();
  }
  fibers_holder(fibers_holder const&) = delete;
  ~fibers_holder() {
    if (on_fiber() || fibers->lost()) {  // exit() was called on one of them, which so cannot end; or after fork
      (void)fibers.release();
      return;
    }
    fibers.reset();
    fibers_here = nullptr;
    fibers_are_over = true;
  }
  std::unique_ptr<weft::detail::guest_thread> fibers;
};

}  // namespace

bool on_fiber() noexcept { return weft::detail::current_fiber() != nullptr; }

fibers::context& context_of_thread() {
  if (context_here == nullptr) {
    context_here = ::new (context_room) fibers::context;
    static thread_local context_end const at_end;
  }
  return *context_here;
}

// Never inlined and opaque, as current_worker() is, so that no fiber keeps the address from one thread to another.
[[gnu::noinline]] weft::detail::guest_thread* fibers_of_thread() noexcept {
  asm volatile("" ::: "memory");
  return fibers_here;
}

weft::detail::guest_thread& make_fibers_of_thread() {
  if (fibers_are_over) throw error("weft::compat: the thread is about to end, and can make no more fibers");
  static thread_local fibers_holder const holder;
  return *holder.fibers;
}

}  // namespace weft::inline v0::compat::detail
