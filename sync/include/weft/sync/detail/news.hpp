#pragma once
/// @file
/// What `broadcast` and `watch` are made of: how often something was sent, whether more may come, and who waits for
/// either. What was sent is theirs; it is guarded by the same lock.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <cstdint>

namespace weft::inline v0::detail {

class news {
public:
  /// Calls `store(n)` for the n-th time, counted from 0, and wakes everyone.
  /// @param store  under the lock: it neither waits nor allocates, nor destroys what is the user's
  /// @returns false, having done nothing, after close()
  template <class Store>
  bool publish(Store&& store) {
    wait_node* waiting = nullptr;
    {
      wait_list::section line{line_};
      if (closed_) return false;
      store(count_++);
      waiting = everyone(line);
    }
    wake(waiting);
    return true;
  }

  /// Calls `look(count, closed)` under the lock.
  template <class Look>
  auto read(Look&& look) const {
    wait_list::section const line{line_};
    return look(count_, closed_);
  }

  /// There will be no more. Wakes everyone.
  void close() noexcept;

  /// Waits until more than `seen` has been sent, or until the end. A cancellation point, even where it need not wait.
  /// @returns false if `deadline` passed first
  [[nodiscard]] bool wait_past(std::uint64_t seen, time_point deadline);

private:
  static wait_node* everyone(wait_list::section& line) noexcept;
  static void wake(wait_node* claimed) noexcept;

  mutable wait_list line_;
  std::uint64_t count_ = 0;  // guarded by the line's lock, as is closed_
  bool closed_ = false;
};

}  // namespace weft::inline v0::detail
