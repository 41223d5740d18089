#pragma once
/// @file
/// For code in which a fiber must not wait: it holds a `std::mutex`, which another thread could not unlock, or the
/// address of a `thread_local`, which another thread does not have.

#include <mutex>

namespace weft::inline v0 {

namespace detail {
struct fiber_record;
}

/// As long as one lives, a wait of the calling fiber that would suspend it, and yielding, abort with a message that
/// names the fiber and the reason; with `runtime_options::debug` only. Without, and outside of a fiber, it does
/// nothing. Automatic storage. May be nested. A wait that need not suspend passes.
class no_suspend_scope {
public:
  no_suspend_scope() noexcept;
  no_suspend_scope(no_suspend_scope const&) = delete;
  no_suspend_scope& operator=(no_suspend_scope const&) = delete;
  ~no_suspend_scope() {
    if (fiber_ != nullptr) leave();
  }

private:
  void leave() noexcept;

  detail::fiber_record* fiber_ = nullptr;  // null: nothing to undo
};

/// Holds a mutex that belongs to the thread, such as `std::mutex`, within a `no_suspend_scope`.
template <class Mutex>
class no_suspend_lock {
public:
  explicit no_suspend_lock(Mutex& mutex) : lock_(mutex) {}

private:
  no_suspend_scope scope_;
  std::lock_guard<Mutex> lock_;
};

}  // namespace weft::inline v0
