#include "overflow_report.hpp"

#include "body_stacks.hpp"
#include "generator_body.hpp"
#include "scheduler.hpp"
#include "signal_hook.hpp"
#include "signal_text.hpp"
#include "worker.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <sys/mman.h>
#include <unistd.h>

namespace weft::inline v0::detail {

namespace {

/// Room for the handlers of others too, to which faults are passed on; used page by page.
std::size_t signal_stack_bytes() noexcept {
  constexpr std::size_t ours = std::size_t{128} * 1024;
  auto const least = ::sysconf(_SC_MINSIGSTKSZ);
  return ours + static_cast<std::size_t>(std::max(least, 0L));
}

// Under AddressSanitizer, whose instrumentation must not meet a stack that is full.

[[nodiscard]] WEFT_UNINSTRUMENTED bool is_in_guard(stack const& of, std::size_t guard_bytes,
                                                   std::byte const* address) noexcept {
  return address < of.bottom && address >= of.bottom - guard_bytes;
}

WEFT_UNINSTRUMENTED void say_which(signal_text& text, fiber_record const* fiber) noexcept {
  if (fiber == nullptr) return;
  text << "fiber " << fiber->id;
  if (char const* const name = fiber->name(); name != nullptr) text << " '" << name << "'";
}

WEFT_UNINSTRUMENTED void report(fiber_record const& fiber) noexcept {
  signal_text text;
  text << "weft: stack overflow in ";
  say_which(text, &fiber);
  text << ": its stack of " << stack_pool::size_of(fiber.stack_class)
       << " bytes is used up. Remedy: a larger spawn_options::stack_size, or runtime_options::stack_size; or less on "
          "the stack.\n";
  text.write_to(STDERR_FILENO);
}

/// @param fiber  for which the body runs, or null
WEFT_UNINSTRUMENTED void report_body(stack const& of, fiber_record const* fiber) noexcept {
  signal_text text;
  text << "weft: stack overflow in a generator's body";
  if (fiber != nullptr) text << ", which ran for ";
  say_which(text, fiber);
  text << ": its stack of " << stack_pool::size_of(of.size_class)
       << " bytes is used up. Remedy: a larger generator_options::stack_size, or runtime_options::stack_size; or less "
          "on the stack.\n";
  text.write_to(STDERR_FILENO);
}

/// One line, if the calling context has run into the guard of its stack.
WEFT_UNINSTRUMENTED void report_overflow(std::byte const* address) noexcept {
  fiber_record const* const fiber = current_fiber();
  if (auto const* const body = generator_body::running(); body != nullptr) {
    stack const& of = body->own_stack();
    if (is_in_guard(of, body_stacks::guard_bytes_of(of.size_class), address)) report_body(of, fiber);
  } else if (fiber != nullptr && fiber->place != nullptr &&
             is_in_guard(*fiber->place, fiber->home->stacks.guard_bytes_of(fiber->stack_class), address)) {
    report(*fiber);
  }
}

void pass_on(struct sigaction const& before, int signal, siginfo_t* info, void* context) noexcept {
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  // Back to the default, and the fault comes again; a signal that was sent must be sent again.
  struct sigaction fall_back{};
  fall_back.sa_handler = SIG_DFL;
  ::sigaction(signal, &fall_back, nullptr);
  if (info->si_code <= 0) ::raise(signal);
}

void on_fault(int signal, siginfo_t* info, void* context) noexcept;

constinit signal_hook segmentation_faults{SIGSEGV, &on_fault, SA_ONSTACK, false};
constinit signal_hook bus_errors{SIGBUS, &on_fault, SA_ONSTACK, false};

WEFT_UNINSTRUMENTED void on_fault(int signal, siginfo_t* info, void* context) noexcept {
  int const error = errno;
  // si_code > 0: a fault, not a signal that somebody sent.
  if (info->si_code > 0) report_overflow(static_cast<std::byte const*>(info->si_addr));
  errno = error;
  pass_on((signal == SIGSEGV ? segmentation_faults : bus_errors).before(), signal, info, context);
}

}  // namespace

signal_stack::signal_stack() noexcept {
  stack_t present{};
  if (::sigaltstack(nullptr, &present) != 0 || (present.ss_flags & SS_DISABLE) == 0) return;
  auto const bytes = signal_stack_bytes();
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                              0);
  if (memory == MAP_FAILED) return;
  stack_t ours{};
  ours.ss_sp = memory;
  ours.ss_size = bytes;
  if (::sigaltstack(&ours, nullptr) != 0) {
    ::munmap(memory, bytes);
    return;
  }
  memory_ = memory;
}

signal_stack::~signal_stack() {
  if (memory_ == nullptr) return;
  stack_t present{};
  if (::sigaltstack(nullptr, &present) == 0 && present.ss_sp == memory_) {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
  }
  ::munmap(memory_, signal_stack_bytes());
}

overflow_report::overflow_report() noexcept {
  segmentation_faults.hold();
  bus_errors.hold();
}

overflow_report::~overflow_report() {
  bus_errors.release();
  segmentation_faults.release();
}

}  // namespace weft::inline v0::detail
