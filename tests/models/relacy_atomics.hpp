#pragma once
/// @file
/// The policy (see weft/runtime/detail/atomics.hpp) under which Relacy runs weft's structures. Relacy executes a
/// model's threads one step at a time, in an order drawn at random, and lets a load return an older value where the
/// memory model allows it. Races on plain variables, and threads that all sleep, are reported.
///
/// What it cannot show: a load that returns a value stored later, or one more than two stores old. A seq_cst fence
/// orders plain variables too, which is more than the standard gives.

#include <weft/runtime/detail/atomics.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <source_location>

// The parts of <relacy/relacy.hpp>, without the macros by which the whole redefines `new`, `malloc` and the orders.
// clang-format off
#include <relacy/base.hpp>
#include <relacy/context.hpp>
#include <relacy/context_base_impl.hpp>
#include <relacy/atomic_fence.hpp>
#include <relacy/atomic.hpp>
#include <relacy/var.hpp>
#include <relacy/backoff.hpp>
#include <relacy/test_suite.hpp>
#include <relacy/stdlib/semaphore.hpp>
#include <relacy/stdlib/event.hpp>
#include <relacy/stdlib/mutex.hpp>
#include <relacy/stdlib/condition_variable.hpp>
// clang-format on

namespace weft::models {

/// Where Relacy's history says that a step was taken: in the structure, not here. (The line tells enough: a template's
/// full name fills the screen.)
[[nodiscard]] inline rl::debug_info place(std::source_location const& at) noexcept {
  return {"weft", at.file_name(), at.line()};
}

[[nodiscard]] constexpr rl::memory_order translate(std::memory_order order) noexcept {
  switch (order) {
    case std::memory_order_relaxed: return rl::mo_relaxed;
    case std::memory_order_consume: return rl::mo_consume;
    case std::memory_order_acquire: return rl::mo_acquire;
    case std::memory_order_release: return rl::mo_release;
    case std::memory_order_acq_rel: return rl::mo_acq_rel;
    case std::memory_order_seq_cst: break;
  }
  return rl::mo_seq_cst;
}

// ---------------------------------------------------------------------------------------------------------------------
// Which orders the operations get: those that the structure asks for, or, for a weakened copy, less.
// ---------------------------------------------------------------------------------------------------------------------

enum class access : std::uint8_t { load, store, exchange };

struct as_written {
  static constexpr bool indivisible = true;
  static constexpr std::memory_order order(std::memory_order asked, access) noexcept { return asked; }
};

/// No total order: seq_cst is acquire and release.
struct without_total_order {
  static constexpr bool indivisible = true;
  static constexpr std::memory_order order(std::memory_order asked, access kind) noexcept {
    if (asked != std::memory_order_seq_cst) return asked;
    if (kind == access::load) return std::memory_order_acquire;
    return kind == access::store ? std::memory_order_release : std::memory_order_acq_rel;
  }
};

/// Nothing is published.
struct all_relaxed {
  static constexpr bool indivisible = true;
  static constexpr std::memory_order order(std::memory_order, access) noexcept { return std::memory_order_relaxed; }
};

/// A compare-and-swap is a load and then a store.
struct divisible : as_written {
  static constexpr bool indivisible = false;
};

// ---------------------------------------------------------------------------------------------------------------------
// Atomic and plain variables, mutex, event
// ---------------------------------------------------------------------------------------------------------------------

/// The part of std::atomic's interface that weft's structures use.
template <class T, class Orders>
class atomic {
  using from = std::source_location;
  static constexpr auto seq_cst = std::memory_order_seq_cst;
  static constexpr rl::memory_order as(std::memory_order asked, access kind) noexcept {
    return translate(Orders::order(asked, kind));
  }

public:
  atomic() : atomic(T{}) {}
  atomic(T value) : value_(value) {}  // NOLINT: implicit, as std::atomic's

  T load(std::memory_order order = seq_cst, from at = from::current()) const {
    return value_.load(as(order, access::load), place(at));
  }
  void store(T value, std::memory_order order = seq_cst, from at = from::current()) {
    value_.store(value, as(order, access::store), place(at));
  }
  T exchange(T value, std::memory_order order = seq_cst, from at = from::current()) {
    return value_.exchange(value, as(order, access::exchange), place(at));
  }
  T fetch_add(T value, std::memory_order order = seq_cst, from at = from::current()) {
    return value_.fetch_add(value, as(order, access::exchange), place(at));
  }
  T fetch_sub(T value, std::memory_order order = seq_cst, from at = from::current()) {
    return value_.fetch_sub(value, as(order, access::exchange), place(at));
  }
  T fetch_or(T value, std::memory_order order = seq_cst, from at = from::current()) {
    return value_.fetch_or(value, as(order, access::exchange), place(at));
  }
  T fetch_and(T value, std::memory_order order = seq_cst, from at = from::current()) {
    return value_.fetch_and(value, as(order, access::exchange), place(at));
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order order, std::memory_order failure,
                             from at = from::current()) {
    if constexpr (!Orders::indivisible) return load_then_store(expected, desired, at);
    return value_.compare_exchange(rl::bool_t<true>{}, expected, desired, as(order, access::exchange),
                                   as(failure, access::load), place(at));
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order order, std::memory_order failure,
                               from at = from::current()) {
    if constexpr (!Orders::indivisible) return load_then_store(expected, desired, at);
    return value_.compare_exchange(rl::bool_t<false>{}, expected, desired, as(order, access::exchange),
                                   as(failure, access::load), place(at));
  }

  /// Sleeps while the value is `old`: as a futex does, which compares and falls asleep in one step.
  void wait(T old, std::memory_order order, from at = from::current()) const {
    rl::context& c = rl::ctx();
    c.sched();
    c.atomic_thread_fence_seq_cst();  // the kernel reads the newest value
    {
      rl::preemption_disabler const in_one_step{c};
      if (value_.load(as(order, access::load), place(at)) != old) return;
    }
    (void)value_.wait(c, false, true, place(at));  // may return for no reason, which std::atomic's would not
  }
  void notify_one(from at = from::current()) {
    rl::context& c = rl::ctx();
    c.sched();
    c.atomic_thread_fence_seq_cst();
    (void)value_.wake(c, 1, place(at));
  }

private:
  bool load_then_store(T& expected, T desired, from const& at) {
    T const seen = load(seq_cst, at);
    bool const same = seen == expected;
    expected = seen;
    if (same) store(desired, seq_cst, at);
    return same;
  }

  mutable rl::atomic<T> value_;
};

/// A variable that is no atomic: two accesses of which one writes, and neither comes first, are reported as a race.
template <class T>
class plain {
public:
  plain(T value = T{}) : value_(value) {}  // NOLINT: implicit, it stands for a T
  plain(plain const& other) : plain(static_cast<T>(other)) {}
  operator T() const { return value_(place(std::source_location::current())).load(); }  // NOLINT: as above
  plain& operator=(T value) {
    value_(place(std::source_location::current())).store(value);
    return *this;
  }
  plain& operator=(plain const& other) { return *this = static_cast<T>(other); }
  T operator->() const { return *this; }
  T operator++() { return set(*this + T{1}); }
  T operator--() { return set(*this - T{1}); }
  T operator++(int) { return set(*this + T{1}) - T{1}; }

private:
  T set(T value) {
    *this = value;
    return value;
  }

  rl::var<T> value_;
};

class mutex {
public:
  void lock(std::source_location at = std::source_location::current()) { mutex_.lock(place(at)); }
  bool try_lock(std::source_location at = std::source_location::current()) { return mutex_.try_lock(place(at)); }
  void unlock(std::source_location at = std::source_location::current()) { mutex_.unlock(place(at)); }

private:
  rl::mutex mutex_;
};

/// Weakened: keeps nobody out.
struct open_mutex {
  void lock() noexcept {}
  void unlock() noexcept {}
};

/// What a thread sleeps on: set() ends one wait(), now or later; several before it count as one, and those after the
/// first publish nothing. Such is libuv's uv_async_send().
class event {
public:
  event() { event_.init(false, false, place(std::source_location::current())); }
  ~event() { event_.deinit(place(std::source_location::current())); }
  event(event const&) = delete;
  void set(std::source_location at = std::source_location::current()) { event_.set(place(at)); }
  void wait(std::source_location at = std::source_location::current()) { (void)event_.wait(false, false, place(at)); }
  /// Without waiting.
  void reset(std::source_location at = std::source_location::current()) { (void)event_.wait(true, false, place(at)); }

private:
  rl::generic_event event_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Barriers
// ---------------------------------------------------------------------------------------------------------------------

/// membarrier(2), not stronger than it is: light() is nothing at all, and during heavy() each of the other threads runs
/// a full barrier, one after the other, wherever it happens to be.
class membarrier {
public:
  static bool asymmetric() noexcept { return true; }
  static void light() noexcept {}
  static void heavy() {
    rl::context& c = rl::ctx();
    c.atomic_thread_fence_seq_cst();
    rl::thread_info_base* const self = c.threadx_;
    for (unsigned i = 0; i != count_; ++i) {
      if (threads_[i] == self) continue;
      c.sched();
      c.disable_preemption();
      c.threadx_ = threads_[i];
      c.atomic_thread_fence_seq_cst();
      c.threadx_ = self;
      c.enable_preemption();
    }
    c.atomic_thread_fence_seq_cst();
  }

  /// No thread has begun.
  static void begin() noexcept { count_ = 0; }
  /// The calling thread begins. A barrier that ran before it did was for it too.
  static void enter() {
    rl::ctx().atomic_thread_fence_seq_cst();
    threads_[count_++] = rl::ctx().threadx_;
  }

private:
  static inline std::array<rl::thread_info_base*, 8> threads_{};
  static inline unsigned count_ = 0;
};

/// Kernels without it: the structures take their other path.
struct no_barrier {
  static bool asymmetric() noexcept { return false; }
  static void light() noexcept {}
  static void heavy() noexcept {}
  static void begin() noexcept {}
  static void enter() noexcept {}
};

/// Weakened: says that it is there, and does nothing.
struct broken_barrier : no_barrier {
  static bool asymmetric() noexcept { return true; }
};

template <class Barrier, class Orders = as_written>
struct relacy_atomics {
  template <class T>
  using atomic = models::atomic<T, Orders>;
  template <class T>
  using plain = models::plain<T>;
  using barrier = Barrier;
  static void pause(unsigned) { rl::yield(1, place(std::source_location::current())); }
  static void back_off(unsigned) { rl::yield(1, place(std::source_location::current())); }
};

}  // namespace weft::models
