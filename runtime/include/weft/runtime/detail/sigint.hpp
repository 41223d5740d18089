#pragma once
/// @file
/// SIGINT while weft::run() sleeps.

#include <weft/runtime/task.hpp>

namespace weft::inline v0::detail {

/// Takes SIGINT over, if its disposition is the default and no other weft::run() of the process has it, and gives it
/// back at its end. Everything in it is for one thread, which is not a worker; the signal may come to any.
class sigint_scope {
public:
  explicit sigint_scope(bool wanted) noexcept;
  sigint_scope(sigint_scope const&) = delete;
  ~sigint_scope();

  /// Sleeps until `main` has ended, and cancels it at the first SIGINT. The second finds the default disposition again.
  /// Does nothing if SIGINT was not to be had.
  template <class T>
  void wait_for(task<T> const& main) {
    if (!active_) return;
    main.on_done(&sigint_scope::wake);
    while (!main.ready()) {
      sleep();
      if (interrupted()) main.cancel();
    }
  }

private:
  static void wake() noexcept;
  static void sleep() noexcept;
  [[nodiscard]] static bool interrupted() noexcept;

  bool active_ = false;
};

}  // namespace weft::inline v0::detail
