#include "stack_probe.hpp"

#include "sanitizers.hpp"
#include "signal_hook.hpp"
#include "worker.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <execinfo.h>
#include <mutex>
#include <thread>

namespace weft::inline v0::detail {

namespace {

/// One question at a time. Who asks writes `thread` and sets `asked`; the handler takes it to `answering`, writes the
/// sample and sets `answered`; who asked takes it back to `none`, from `asked` too when the time is up.
enum class state : unsigned char { none, asked, answering, answered };
struct {
  std::mutex one_at_a_time;
  std::atomic<state> now{state::none};
  pthread_t thread{};
  stack_sample sample;
} question;  // NOLINT: a signal's handler has no other way to it

void answer() noexcept {
  // acquire: pairs with the release in ask(): `thread` is there. The exchange makes sure that nobody takes it back.
  auto expected = state::asked;
  bool mine = question.now.compare_exchange_strong(expected, state::answering, std::memory_order_acquire,
                                                   std::memory_order_relaxed);
  if (mine && ::pthread_equal(question.thread, ::pthread_self()) == 0) {
    question.now.store(state::asked, std::memory_order_release);  // a late signal: this question is for another
    mine = false;
  }
  if (mine) {
    stack_sample& sample = question.sample;
    fiber_record const* const fiber = current_fiber();
    sample.fiber = fiber != nullptr ? fiber->id : 0;
    sample.name[0] = '\0';
    if (char const* const name = fiber != nullptr ? fiber->name() : nullptr; name != nullptr) {
      std::strncpy(sample.name.data(), name, sample.name.size() - 1);
    }
    sample.depth = ::backtrace(sample.frames.data(), static_cast<int>(sample.frames.size()));
    question.now.store(state::answered, std::memory_order_release);  // publishes the sample to ask()
  }
}

/// Uninstrumented, for it writes what the fiber that it interrupts reads, and others that ran on this thread have read:
/// `errno` is the thread's, and to ThreadSanitizer each fiber is a thread.
WEFT_UNINSTRUMENTED void on_question(int, siginfo_t*, void*) {
  int const error = errno;
  answer();
  errno = error;
}

constinit signal_hook questions{SIGURG, &on_question, SA_ONSTACK | SA_RESTART, true};

}  // namespace

stack_probe::stack_probe() noexcept {
  questions.hold();
  void* frame = nullptr;
  (void)::backtrace(&frame, 1);  // the first call loads a library, which a handler must not
}

stack_probe::~stack_probe() { questions.release(); }

void stack_probe::admit() noexcept {
  if (!questions.installed()) return;
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGURG);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

bool stack_probe::ask(pthread_t thread, std::chrono::milliseconds limit, stack_sample& sample) const {
  using namespace std::chrono_literals;
  if (!questions.installed()) return false;
  std::lock_guard const lock{question.one_at_a_time};
  question.thread = thread;
  question.now.store(state::asked, std::memory_order_release);  // publishes `thread` to answer()
  if (::pthread_kill(thread, SIGURG) == 0) {
    // Asked for once in a stall, so that a coarse wait is good enough. acquire: pairs with answer().
    for (auto waited = 0ms; waited < limit; waited += 1ms) {
      if (question.now.load(std::memory_order_acquire) == state::answered) break;
      std::this_thread::sleep_for(1ms);
    }
  }
  auto expected = state::asked;
  if (question.now.compare_exchange_strong(expected, state::none, std::memory_order_relaxed)) return false;
  // It has begun to answer, and ends within microseconds unless it lost its CPU. acquire: as above.
  while (question.now.load(std::memory_order_acquire) != state::answered) std::this_thread::yield();
  sample = question.sample;
  question.now.store(state::none, std::memory_order_relaxed);
  return true;
}

}  // namespace weft::inline v0::detail
