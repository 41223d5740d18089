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
    ::sigaction(signal_, nullptr, &before_);
    bool const used = before_.sa_handler != SIG_DFL && before_.sa_handler != SIG_IGN;
    if (used && only_if_unused_) return;
    struct sigaction ours{};
    ours.sa_sigaction = handle_;
    ours.sa_flags = SA_SIGINFO | flags_;
    ::sigemptyset(&ours.sa_mask);
    ::sigaction(signal_, &ours, nullptr);
  }

  void release() noexcept {
    std::lock_guard const lock{mutex_};
    if (--users_ == 0 && installed()) ::sigaction(signal_, &before_, nullptr);
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
  unsigned users_ = 0;  // guarded by the mutex
  struct sigaction before_{};
};

}  // namespace weft::inline v0::detail
