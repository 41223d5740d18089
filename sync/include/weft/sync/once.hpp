#pragma once
/// @file
/// `call_once`: what all need, and the first does. As in `std`, for fibers and threads.

#include <weft/runtime/detail/wait_list.hpp>

#include <concepts>
#include <functional>
#include <utility>

namespace weft::inline v0 {

/// Whether something has been done. One for each thing to do.
class once_flag {
public:
  constexpr once_flag() noexcept = default;
  once_flag(once_flag const&) = delete;
  once_flag& operator=(once_flag const&) = delete;

private:
  template <class F, class... Args>
    requires std::invocable<F, Args...>
  friend void call_once(once_flag& flag, F&& f, Args&&... args);

  /// On behalf of a caller: it is to do it. Otherwise it has been done.
  struct turn {
    explicit turn(once_flag& of) noexcept : flag(of) {}
    turn(turn const&) = delete;
    ~turn() { flag.end(done); }
    once_flag& flag;
    bool done = false;
  };

  static constexpr auto done_flag = detail::wait_list::flag_a;
  static constexpr auto busy_flag = detail::wait_list::flag_b;
  [[nodiscard]] bool is_done() const noexcept { return (list_.flags() & done_flag) != 0; }
  /// @returns whether the caller is to do it
  bool begin();
  void end(bool done) noexcept;

  detail::wait_list list_;
};

/// Calls `f(args...)` if no earlier call has returned for `flag`. Who comes while another calls waits for that; if it
/// throws, the exception goes to that caller, and the next in line calls.
/// @par Cancellation
/// A cancellation point, except where it has been done already. Who is cancelled while it waits leaves the call to
/// others.
/// @par Memory ordering
/// All that the call did is visible to whoever returns.
template <class F, class... Args>
  requires std::invocable<F, Args...>
void call_once(once_flag& flag, F&& f, Args&&... args) {
  if (flag.is_done() || !flag.begin()) return;
  once_flag::turn turn{flag};
  std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
  turn.done = true;
}

}  // namespace weft::inline v0
