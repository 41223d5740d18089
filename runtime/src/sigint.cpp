#include <weft/runtime/detail/sigint.hpp>

#include "scopes.hpp"
#include "sleeping_threads.hpp"
#include "worker.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <mutex>
#include <optional>
#include <semaphore.h>

namespace weft::inline v0::detail {

/// One weft::run() that sleeps. In static storage for good: a handler may still run, on any thread, when the scope that
/// it tells is gone.
struct sigint_sleeper {
  /// Posted for each piece of news; one too many is one look too many. (And not a futex of our own, because
  /// ThreadSanitizer runs a signal's handler when the thread is in a call that it knows to sleep.)
  sem_t news{};
  std::atomic<bool> active{false};  // written under sharing.lock; read by the handler
  bool made = false;                // under sharing.lock
};

namespace {

// A disposition belongs to the process, and so does all this.
struct sigint_sharing {
  std::mutex lock;  // guards `users`, and the disposition as far as it is ours
  std::size_t users = 0;
  std::atomic<bool> arrived{false};
  std::array<sigint_sleeper, 64> sleepers{};
} sharing;  // NOLINT: a signal's handler has no other way to it
static_assert(std::atomic<bool>::is_always_lock_free);

void on_sigint(int) {
  int const saved = errno;
  sharing.arrived.store(true, std::memory_order_release);  // pairs with interrupted()
  for (auto& sleeper : sharing.sleepers) {
    // acquire: pairs with the scope that made the semaphore.
    if (sleeper.active.load(std::memory_order_acquire)) ::sem_post(&sleeper.news);
  }
  errno = saved;
}

/// Under the lock.  @returns whether the first signal that comes is ours
bool take_over_sigint() noexcept {
  struct sigaction before{};
  ::sigaction(SIGINT, nullptr, &before);
  // The handler is there as long as no signal has come. One who begins later is not to be cancelled by a signal from
  // before; and to put the handler in again would take the meaning of the second signal from the others.
  if (sharing.users > 0) return before.sa_handler == &on_sigint;
  if (before.sa_handler != SIG_DFL) return false;
  sharing.arrived.store(false, std::memory_order_relaxed);
  struct sigaction action{};
  action.sa_handler = &on_sigint;
  // RESETHAND: the second one ends the process exactly as it would without us.
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  return ::sigaction(SIGINT, &action, nullptr) == 0;
}

}  // namespace

sigint_scope::sigint_scope(bool wanted) noexcept {
  if (!wanted || current_worker() != nullptr) return;
  std::lock_guard const lock{sharing.lock};
  sigint_sleeper* free = nullptr;
  for (auto& sleeper : sharing.sleepers) {
    if (free == nullptr && !sleeper.active.load(std::memory_order_relaxed)) free = &sleeper;
  }
  if (free == nullptr) return;
  if (!free->made) free->made = ::sem_init(&free->news, 0, 0) == 0;
  while (::sem_trywait(&free->news) == 0) {  // left from the one before
  }
  // release: pairs with the handler. Before the handler is there, so that none comes that does not know us.
  free->active.store(true, std::memory_order_release);
  if (free->made && take_over_sigint()) {
    ++sharing.users;
    sleeper_ = free;
  } else {
    free->active.store(false, std::memory_order_relaxed);
  }
}

sigint_scope::~sigint_scope() {
  if (sleeper_ == nullptr) return;
  std::lock_guard const lock{sharing.lock};
  sleeper_->active.store(false, std::memory_order_relaxed);
  if (--sharing.users > 0) return;
  struct sigaction now{};
  ::sigaction(SIGINT, nullptr, &now);
  if (now.sa_handler == &on_sigint) ::signal(SIGINT, SIG_DFL);  // else it came, or the program has put in its own
}

bool sigint_scope::is_left_over(void (*handler)(int)) noexcept {
  std::lock_guard const lock{sharing.lock};
  return handler == &on_sigint && sharing.users == 0;
}

void sigint_scope::wake(sigint_sleeper& sleeper) noexcept { ::sem_post(&sleeper.news); }

void sigint_scope::sleep() noexcept {
  auto const no_news = [](void* news) noexcept {
    int value = 0;
    return ::sem_getvalue(static_cast<sem_t*>(news), &value) == 0 && value == 0;
  };
  auto const self = current_context();
  auto scopes = survey_scopes(self);
  std::optional<sleeping_thread> here;  // as long as no deadline is known, and without a gap between two looks
  if (scopes.limit == never) here.emplace(no_news, &sleeper_->news);
  if (*self.innermost == nullptr) {
    ::sem_wait(&sleeper_->news);
    return;
  }
  // In a scope, whose cancellation posts nothing: it is looked for now and then, and the deadline is known.
  constexpr std::chrono::milliseconds until_next_look{10};
  while (scopes.cancelled == 0) {
    auto const until = std::min(scopes.limit, deadline_after(until_next_look)).time_since_epoch();
    auto const seconds = std::chrono::floor<std::chrono::seconds>(until);
    timespec const at{static_cast<std::time_t>(seconds.count()),
                      static_cast<long>(std::chrono::nanoseconds{until - seconds}.count())};
    if (::sem_clockwait(&sleeper_->news, CLOCK_MONOTONIC, &at) == 0 || errno != ETIMEDOUT) return;
    scopes = survey_scopes(self);
    if (scopes.limit != never) {
      here.reset();
    } else if (!here) {
      here.emplace(no_news, &sleeper_->news);
    }
  }
}

bool sigint_scope::interrupted() noexcept { return sharing.arrived.load(std::memory_order_acquire); }

}  // namespace weft::inline v0::detail
