#pragma once
/// @file
/// Signals and weft's threads: a thread inherits its creator's mask, so asynchronous signals are blocked while threads
/// are made, and stay with the program's own threads. CPUs that a worker is pinned to are not passed on either.

#include "affinity.hpp"

#include <csignal>
#include <pthread.h>

namespace weft::inline v0::detail {

class blocked_signals {
public:
  blocked_signals() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    // Faults belong to the thread that made them.
    for (int const fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) ::sigdelset(&all, fault);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  blocked_signals(blocked_signals const&) = delete;
  ~blocked_signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
  sigset_t before_;
  unpinned cpus_;
};

}  // namespace weft::inline v0::detail
