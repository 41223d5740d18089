#include "signal_inbox.hpp"

#include <weft/runtime/detail/sigint.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <sched.h>
#include <string>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace weft::inline v0::detail {

/// In static storage for good.
struct signal_place {
  static constexpr std::size_t kinds = 64;

  /// Handlers that look at it, or are about to.
  std::atomic<unsigned> visitors{0};
  /// A bit for each signal that counts; 0: none.
  std::atomic<std::uint64_t> wanted{0};
  std::array<std::atomic<std::uint32_t>, kinds> counts{};
  int descriptor = -1;  // written while no signal is wanted and no handler is in here
  bool in_use = false;  // guarded by the table's lock
};

namespace {

constexpr std::uint64_t bit_of(int signal) noexcept { return std::uint64_t{1} << static_cast<unsigned>(signal - 1); }

/// A disposition belongs to the process, and so does all this.
struct signal_table {
  std::array<signal_place, 256> places{};
  /// Places from the first that may be in use.
  std::atomic<std::size_t> used{0};
  std::mutex lock;  // guards what follows, and the dispositions as far as they are ours
  std::array<std::size_t, signal_place::kinds> users{};
  std::array<struct sigaction, signal_place::kinds> before{};
} table;  // NOLINT: a signal's handler has no other way to it
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

void count_signal(int number) {
  int const saved = errno;
  // acquire: pairs with enter(), which has prepared the places.
  auto const used = table.used.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < used; ++i) {
    auto& place = table.places[i];
    // seq_cst, as in leave(): each side writes its own word and then reads the other's. Either leave() sees this
    // visitor, or this one sees that nothing is wanted.
    place.visitors.fetch_add(1);
    if ((place.wanted.load() & bit_of(number)) != 0) {
      // relaxed: the write to the descriptor comes after it, and the reader's read of that before it looks here.
      place.counts[static_cast<std::size_t>(number - 1)].fetch_add(1, std::memory_order_relaxed);
      std::uint64_t const one = 1;
      (void)!::write(place.descriptor, &one, sizeof one);
    }
    place.visitors.fetch_sub(1);
  }
  errno = saved;
}

[[noreturn]] void refuse_signal(int signal, int error) {
  throw std::system_error(error, std::generic_category(),
                          std::string("weft: signal ").append(std::to_string(signal)).append(" cannot be received"));
}

/// Faults: whoever returned from their handler would fault again.
bool tells_of_a_fault(int signal) noexcept {
  for (int const fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    if (signal == fault) return true;
  }
  return false;
}

/// Under the lock.
void take_over(int signal) {
  auto const i = static_cast<std::size_t>(signal - 1);
  if (table.users[i] == 0) {
    struct sigaction ours{};
    ours.sa_handler = &count_signal;
    ours.sa_flags = SA_RESTART | SA_ONSTACK;  // not on a fiber's, where a thread has another
    ::sigemptyset(&ours.sa_mask);
    if (::sigaction(signal, &ours, &table.before[i]) != 0) refuse_signal(signal, errno);
  }
  ++table.users[i];
}

/// Under the lock.
void give_back(int signal) noexcept {
  auto const i = static_cast<std::size_t>(signal - 1);
  if (--table.users[i] != 0) return;
  struct sigaction now{};
  ::sigaction(signal, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != &count_signal) return;  // somebody else's
  auto& before = table.before[i];
  if (signal == SIGINT && (before.sa_flags & SA_SIGINFO) == 0 && sigint_scope::is_left_over(before.sa_handler)) {
    before.sa_handler = SIG_DFL;
  }
  ::sigaction(signal, &before, nullptr);
}

/// Under the lock.
void give_back_all(std::uint64_t which) noexcept {
  for (; which != 0; which &= which - 1) give_back(std::countr_zero(which) + 1);
}

/// Under the lock.
signal_place& free_place() {
  for (std::size_t i = 0; i < table.places.size(); ++i) {
    if (table.places[i].in_use) continue;
    // release: see count_signal().
    if (i >= table.used.load(std::memory_order_relaxed)) table.used.store(i + 1, std::memory_order_release);
    return table.places[i];
  }
  throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                          "weft: there are 256 signal streams already");
}

open_descriptor make_eventfd() {
  int const number = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (number < 0) throw std::system_error(errno, std::generic_category(), "weft: making a signal stream's descriptor");
  return {number, kernel_calls()};
}

}  // namespace

signal_inbox::signal_inbox(std::span<int const> signals) {
  for (int const signal : signals) {
    if (signal < 1 || static_cast<std::size_t>(signal) > signal_place::kinds || tells_of_a_fault(signal)) {
      refuse_signal(signal, EINVAL);
    }
  }
  if (signals.empty()) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument), "weft: a signal stream of no signals");
  }
  descriptor_ = make_eventfd();
  descriptor_.polled()->exhausted(readiness::readable);
  std::lock_guard const held{table.lock};
  auto& place = free_place();
  place.descriptor = descriptor_.number();
  for (auto& count : place.counts) count.store(0, std::memory_order_relaxed);
  try {
    for (int const signal : signals) {
      if ((wanted_ & bit_of(signal)) != 0) continue;
      // Wanted before the handler is there, so that none comes that does not find it.
      place.wanted.fetch_or(bit_of(signal));
      take_over(signal);
      wanted_ |= bit_of(signal);
    }
  } catch (...) {
    place_ = &place;
    leave();
    throw;
  }
  place.in_use = true;
  place_ = &place;
}

/// Under the lock: from here on no handler touches the place, or the descriptor.
void signal_inbox::leave() noexcept {
  place_->wanted.store(0);
  while (place_->visitors.load() != 0) ::sched_yield();
  place_->in_use = false;
  give_back_all(wanted_);
}

signal_inbox::~signal_inbox() {
  std::lock_guard const held{table.lock};
  leave();
}

int signal_inbox::take() noexcept {
  auto const start = static_cast<unsigned>(last_);
  // In turns, so that a flood of one signal does not keep back another.
  for (auto turned = std::rotr(wanted_, static_cast<int>(start)); turned != 0; turned &= turned - 1) {
    auto const i = (static_cast<unsigned>(std::countr_zero(turned)) + start) % signal_place::kinds;
    auto& count = place_->counts[i];
    // relaxed: see count_signal(). Only this fiber makes it less.
    if (count.load(std::memory_order_relaxed) == 0) continue;
    (void)count.fetch_sub(1, std::memory_order_relaxed);
    last_ = static_cast<int>(i) + 1;
    return last_;
  }
  return 0;
}

int signal_inbox::next() {
  std::error_code ec;
  auto const attempt = [this](system_calls& calls, int fd) -> ssize_t {
    if (int const signal = take(); signal != 0) return signal;
    std::uint64_t wakes = 0;
    (void)calls.read(fd, &wakes, sizeof wakes);
    int const signal = take();  // what has come meanwhile, and whose wake has just been taken
    return signal != 0 ? signal : -EAGAIN;
  };
  auto const signal = descriptor_.perform(readiness::readable, 1, ec, attempt);
  return signal > 0 ? static_cast<int>(signal) : 0;
}

}  // namespace weft::inline v0::detail
