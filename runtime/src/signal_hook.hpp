#pragma once
/// @file
/// A handler for a signal of the whole process, shared by all runtimes: installed with the first, taken away with the
/// last.

#include <csignal>
#include <mutex>

namespace weft::inline v0::detail {

class signal_hook {
public:
  using handler = void (*)(int, siginfo_t*, void*);

  /// @param only_if_unused  leaves the signal alone if the program handles it
  constexpr signal_hook(int signal, handler handle, int flags, bool only_if_unused) noexcept
      : signal_(signal), handle_(handle), flags_(flags), only_if_unused_(only_if_unused) {}
  signal_hook(signal_hook const&) = delete;

  void hold() noexcept {
    std::lock_guard const lock{mutex_};
    if (users_++ != 0) return;
    struct sigaction present{};
    ::sigaction(signal_, nullptr, &present);
    bool const used = present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN;
    if (used && placed_) return;
    before_ = present;
    placed_ = !used || !only_if_unused_;
    if (!placed_) return;
    struct sigaction ours{};
    ours.sa_sigaction = handle_;
    ours.sa_flags = SA_SIGINFO | flags_;
    ::sigemptyset(&ours.sa_mask);
    ::sigaction(signal_, &ours, nullptr);
  }

  void release() noexcept {
    std::lock_guard const lock{mutex_};
    if (--users_ != 0 || !installed()) return;
    ::sigaction(signal_, &before_, nullptr);
    placed_ = false;
  }

  /// Whether the signal still comes to us.
  [[nodiscard]] bool installed() const noexcept {
    struct sigaction present{};
    ::sigaction(signal_, nullptr, &present);
    return (present.sa_flags & SA_SIGINFO) != 0 && present.sa_sigaction == handle_;
  }

  /// What was there before. Written before the handler is installed, so that it may read this.
  [[nodiscard]] struct sigaction const& before() const noexcept { return before_; }

private:
  int const signal_;
  handler const handle_;
  int const flags_;
  bool const only_if_unused_;
  std::mutex mutex_;
  unsigned users_ = 0;  // guarded by the mutex, as is the next
  // Installed, and not taken away since: either ours is there, or another was put in front of it, which may call ours.
  // It then stays as it is: once more in front, ours would call that one, and that one ours, without end.
  bool placed_ = false;
  struct sigaction before_{};
};

}  // namespace weft::inline v0::detail
