#pragma once
/// @file
/// A plain thread that takes part in a runtime of its own as if it were one of its fibers. The runtime is a guest with
/// strict order, and this thread alone runs its fibers: whenever it waits.
///
/// A thread cannot stand in the line of ready fibers, so a fiber stands there for it. What the thread wants to wait for
/// is called on this stand-in, which goes before all others; what then runs is what is ready, in its order; and when
/// the stand-in is through, which may be when its turn has come again, the thread goes on and nothing else runs.

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/task.hpp>

#include <concepts>
#include <exception>

namespace weft::inline v0::detail {

/// Made, used and destroyed on one thread, outside of any fiber.
class guest_thread {
public:
  /// @throws as runtime's constructor and spawn(); aborts with a message on a worker of another runtime
  guest_thread();
  guest_thread(guest_thread const&) = delete;
  /// Runs the fibers until all have ended, however long that takes; every five seconds a report says which remain.
  ~guest_thread();

  /// For spawning. A fiber that is spawned from here runs when the thread next waits.
  [[nodiscard]] runtime& home() noexcept { return home_; }

  /// Whether this is a child made by fork: then it cannot be used, nor destroyed.
  [[nodiscard]] static bool lost() noexcept;

  /// Calls `f()` on the stand-in, and runs fibers while `f` waits.
  /// @throws what `f` throws; error  in a child made by fork
  template <std::invocable F>
  void carry_out(F&& f) {
    struct call_of {
      F& f;
      std::exception_ptr error;
    } call{f, nullptr};
    carry_out_on_stand_in(
        [](void* what) noexcept {
          auto& c = *static_cast<call_of*>(what);
          try {
            (void)c.f();
          } catch (...) {
            c.error = std::current_exception();
          }
        },
        &call);
    if (call.error) std::rethrow_exception(call.error);
  }

private:
  using function = void(void*) noexcept;

  void carry_out_on_stand_in(function* call, void* what);
  void stand_in() noexcept;

  runtime home_;
  task<void> task_;                 // of the stand-in
  fiber_record* record_ = nullptr;  // the stand-in's, once it waits to be needed
  // Between the thread and its stand-in, which never run at the same time.
  function* call_ = nullptr;  // null: it is to end
  void* what_ = nullptr;
  bool done_ = false;
};

}  // namespace weft::inline v0::detail
