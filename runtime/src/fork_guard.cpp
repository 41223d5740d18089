#include "fork_guard.hpp"

#include "fatal.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>

#include <cerrno>
#include <pthread.h>
#include <system_error>

namespace weft::inline v0::detail {

namespace {
constexpr char const* refusal =
    "this process was forked while a runtime was running: it may exec or exit, but not use weft";
}  // namespace

fork_watch::fork_watch() {
  // Not before there is a runtime: linking weft alone changes nothing in a process.
  static int const failed = ::pthread_atfork(nullptr, nullptr, [] { enter_child(); });
  if (failed != 0) throw std::system_error(failed, std::generic_category(), "weft: pthread_atfork");
  // relaxed: the thread that forks and is in doubt about runtimes that others start meanwhile has a race of its own.
  running_.fetch_add(1, std::memory_order_relaxed);
}

fork_watch::~fork_watch() { running_.fetch_sub(1, std::memory_order_relaxed); }

void fork_watch::enter_child() noexcept {
  if (running_.load(std::memory_order_relaxed) == 0) return;
  in_child_.store(true, std::memory_order_relaxed);
  if (worker* const w = current_worker()) w->abandon();
}

void refuse_in_child() { throw runtime_stopped(std::string("weft: ") + refusal); }

void die_in_child() noexcept { fatal(refusal); }

}  // namespace weft::inline v0::detail
