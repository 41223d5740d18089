#pragma once
/// @file
/// fork without exec. Only the thread that forks goes on in the child: no other worker does, and what their threads had
/// locked stays locked for good. So in the child of a process with a running runtime nothing of weft works any more,
/// and it says so: calls throw, or abort with a message where they cannot. The child may exec or exit.
///
/// What is on hot paths does not look. If a worker forked, the child finds no fiber on it and queues that lead to the
/// slow paths, which look (worker::abandon()).

#include <atomic>

namespace weft::inline v0::detail {

/// Lives as long as a running runtime. The first of a process registers with the system.
class fork_watch {
public:
  fork_watch();
  fork_watch(fork_watch const&) = delete;
  ~fork_watch();

  /// Whether this process was forked from one with a running runtime.
  [[nodiscard]] static bool in_child() noexcept {
    return in_child_.load(std::memory_order_relaxed);  // set before any code but the handler runs in the child
  }

private:
  static void enter_child() noexcept;
  inline static std::atomic<bool> in_child_{false};
  inline static std::atomic<int> running_{0};
};

/// @throws runtime_stopped
[[noreturn]] void refuse_in_child();
[[noreturn]] void die_in_child() noexcept;

/// For calls that can throw.  @throws runtime_stopped  in a forked child
inline void check_not_forked() {
  if (fork_watch::in_child()) [[unlikely]]
    refuse_in_child();
}
/// For those that cannot: aborts in a forked child.
inline void expect_not_forked() noexcept {
  if (fork_watch::in_child()) [[unlikely]]
    die_in_child();
}

}  // namespace weft::inline v0::detail
