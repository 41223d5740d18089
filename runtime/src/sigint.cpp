#include <weft/runtime/detail/sigint.hpp>

#include "worker.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <semaphore.h>

namespace weft::inline v0::detail {

namespace {

// A disposition belongs to the process, and so does all this. What a handler may touch stays valid for good: it may
// still run, on any thread, when the scope that installed it is gone.
std::atomic<bool> taken{false};  // by the one scope that is active
std::atomic<bool> arrived{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// Posted for each piece of news. (And not a futex of our own, because ThreadSanitizer runs a signal's handler when the
/// thread is in a call that it knows to sleep.)
sem_t& news() noexcept {
  static sem_t semaphore;
  static int const made = ::sem_init(&semaphore, 0, 0);
  (void)made;
  return semaphore;
}
sem_t* news_for_handler = nullptr;  // written before the handler is installed

void on_sigint(int) {
  int const saved = errno;
  arrived.store(true, std::memory_order_release);  // pairs with interrupted()
  ::sem_post(news_for_handler);
  errno = saved;
}

}  // namespace

sigint_scope::sigint_scope(bool wanted) noexcept {
  if (!wanted || current_worker() != nullptr) return;
  if (taken.exchange(true, std::memory_order_acq_rel)) return;  // pairs with the scope's end: one at a time
  struct sigaction before{};
  ::sigaction(SIGINT, nullptr, &before);
  if (before.sa_handler != SIG_DFL) {
    taken.store(false, std::memory_order_release);
    return;
  }
  news_for_handler = &news();
  while (::sem_trywait(&news()) == 0) {  // left from the one before
  }
  arrived.store(false, std::memory_order_relaxed);
  struct sigaction action{};
  action.sa_handler = &on_sigint;
  // RESETHAND: the second one ends the process exactly as it would without us.
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  active_ = ::sigaction(SIGINT, &action, nullptr) == 0;
  if (!active_) taken.store(false, std::memory_order_release);
}

sigint_scope::~sigint_scope() {
  if (!active_) return;
  struct sigaction now{};
  ::sigaction(SIGINT, nullptr, &now);
  if (now.sa_handler == &on_sigint) ::signal(SIGINT, SIG_DFL);  // else it came, or the program has put in its own
  taken.store(false, std::memory_order_release);
}

void sigint_scope::wake() noexcept { ::sem_post(&news()); }

void sigint_scope::sleep() noexcept { ::sem_wait(&news()); }

bool sigint_scope::interrupted() noexcept { return arrived.load(std::memory_order_acquire); }

}  // namespace weft::inline v0::detail
