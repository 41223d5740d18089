#pragma once
/// @file
/// What a plain thread has when it uses the names of Boost.Fiber: a context that stands for the thread itself, and,
/// once it has made a fiber, a runtime of its own, in which it counts as one of the fibers.

#include <weft/compat/context.hpp>
#include <weft/runtime/detail/guest_thread.hpp>

namespace weft::inline v0::compat::detail {

/// Whether the caller runs on a fiber, of any runtime. All below is for callers that do not.
[[nodiscard]] bool on_fiber() noexcept;

struct fiber_access {
  static void end(fibers::context& of) noexcept { of.end(); }
};

/// The calling thread's own. It ends with the thread, and can be used to the thread's last destructor.
[[nodiscard]] fibers::context& context_of_thread();

/// The calling thread's runtime, or null if it has none.
[[nodiscard]] weft::detail::guest_thread* fibers_of_thread() noexcept;
/// The same, made if there is none.  @throws error  when the thread is about to end
[[nodiscard]] weft::detail::guest_thread& make_fibers_of_thread();

/// Calls `f()`, which waits: here, or on the fiber that stands for the calling thread.
template <class F>
void wait_in(F&& f) {
  auto* const own = on_fiber() ? nullptr : fibers_of_thread();
  if (own == nullptr) {
    f();
  } else {
    own->carry_out(f);
  }
}

}  // namespace weft::inline v0::compat::detail
