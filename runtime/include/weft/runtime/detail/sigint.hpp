#pragma once
/// @file
/// SIGINT while weft::run() sleeps.

#include <weft/runtime/task.hpp>
#include <weft/runtime/waiter.hpp>

namespace weft::inline v0::detail {

struct sigint_sleeper;

/// Takes SIGINT over, if its disposition is the default, or shares it with the other weft::run()s that have it: one
/// signal is for all of them. The last gives it back. Everything in it is for one thread, which is not a worker; the
/// signal may come to any.
class sigint_scope {
public:
  explicit sigint_scope(bool wanted) noexcept;
  sigint_scope(sigint_scope const&) = delete;
  ~sigint_scope();

  /// Whether `handler` is this file's, and nobody needs it any more: for who has been in front of it meanwhile, and
  /// would put it back.
  [[nodiscard]] static bool is_left_over(void (*handler)(int)) noexcept;

  /// Sleeps until `main` has ended, and cancels it at the first SIGINT. The second finds the default disposition again.
  /// Does nothing if SIGINT was not to be had. A cancellation point, as the wait that follows it.
  /// @throws cancelled
  template <class T>
  void wait_for(task<T> const& main) {
    if (sleeper_ == nullptr) return;
    main.on_done([sleeper = sleeper_]() noexcept { wake(*sleeper); });
    while (!main.ready()) {
      sleep();
      if (interrupted()) main.cancel();
      (void)check_cancelled();
    }
  }

private:
  static void wake(sigint_sleeper& sleeper) noexcept;
  void sleep() noexcept;
  [[nodiscard]] static bool interrupted() noexcept;

  sigint_sleeper* sleeper_ = nullptr;  // null: SIGINT is not ours
};

}  // namespace weft::inline v0::detail
