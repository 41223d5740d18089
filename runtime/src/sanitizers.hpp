#pragma once
/// @file
/// What AddressSanitizer and ThreadSanitizer must be told about contexts. Empty in builds without them.
///
/// ThreadSanitizer sees each fiber, and each worker between fibers, as a thread of its own. The scheduler's code always
/// runs under the worker's identity, whoever called it: its plain fields belong to the worker, and a switch is no
/// synchronisation between the two fibers (flag 1), so that a race between two fibers of one worker is still seen.
/// Edges between fibers come from the atomics with which they really synchronise. Besides, what a fiber hands to the
/// scheduler is handed over explicitly, and so is a fiber's record by the worker that resumes it.
///
/// While a worker's code runs on a fiber's stack, the stack's memory is used under two identities between which there
/// is, on purpose, no edge. So the worker's plain accesses are not watched there; its atomics and locks are. On its own
/// stack everything is watched.

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WEFT_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT_TSAN 1
#endif

#if defined(WEFT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(WEFT_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(char const* file, int line);
void AnnotateIgnoreReadsEnd(char const* file, int line);
void AnnotateIgnoreWritesBegin(char const* file, int line);
void AnnotateIgnoreWritesEnd(char const* file, int line);
}
#endif

/// For functions that change the context: the sanitizers' own bookkeeping of calls must not see them half way. (Clang's
/// no_sanitize leaves the calls at entry and exit, which are the ones that matter here.)
#if defined(__clang__)
#define WEFT_UNINSTRUMENTED [[clang::disable_sanitizer_instrumentation]]
#else
#define WEFT_UNINSTRUMENTED [[gnu::no_sanitize_thread, gnu::no_sanitize_address]]
#endif
/// For what changes the identity: under ThreadSanitizer a call of its own, or the caller's instrumentation would take
/// it in.
#if defined(WEFT_TSAN)
#define WEFT_IDENTITY WEFT_UNINSTRUMENTED [[gnu::noinline]]
#else
#define WEFT_IDENTITY [[gnu::always_inline]]
#endif

namespace weft::inline v0::detail {

/// The stack that a context runs on, as AddressSanitizer knows it.
struct stack_bounds {
  void const* bottom = nullptr;
  std::size_t size = 0;
};

/// ThreadSanitizer's handle of a context. (Trivial, for a union; make it by `{}`.)
struct sanitizer_thread {
  void* handle;

#if defined(WEFT_TSAN)
  static unsigned switch_flag() noexcept;
  WEFT_IDENTITY void adopt_current() noexcept { handle = __tsan_get_current_fiber(); }
  WEFT_IDENTITY void create() noexcept { handle = __tsan_create_fiber(0); }
  WEFT_IDENTITY void destroy() noexcept {
    __tsan_destroy_fiber(handle);
    handle = nullptr;
  }
  /// From the worker's identity, on the worker's own stack.
  WEFT_IDENTITY void enter() const noexcept { __tsan_switch_to_fiber(handle, switch_flag()); }
  /// To the worker's identity, on a fiber's stack.
  WEFT_IDENTITY void enter_on_fiber_stack() const noexcept {
    enter();
    ignore_accesses();
  }
  /// For the worker's identity: from here on it is on a fiber's stack.
  WEFT_IDENTITY static void ignore_accesses() noexcept {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  /// The reverse.
  WEFT_IDENTITY static void watch_accesses() noexcept {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  WEFT_IDENTITY static sanitizer_thread current() noexcept { return {__tsan_get_current_fiber()}; }
#else
  void adopt_current() noexcept {}
  void create() noexcept {}
  void destroy() noexcept {}
  void enter() const noexcept {}
  void enter_on_fiber_stack() const noexcept {}
  static void ignore_accesses() noexcept {}
  static void watch_accesses() noexcept {}
  static sanitizer_thread current() noexcept { return {}; }
#endif
};

/// Memory that one party gave up and another takes over, by ways that ThreadSanitizer cannot see.
WEFT_IDENTITY inline void sanitizer_release([[maybe_unused]] void* p) noexcept {
#if defined(WEFT_TSAN)
  __tsan_release(p);
#endif
}
WEFT_IDENTITY inline void sanitizer_acquire([[maybe_unused]] void* p) noexcept {
#if defined(WEFT_TSAN)
  __tsan_acquire(p);
#endif
}

/// For a section of the scheduler's code that a fiber calls: runs it under the worker's identity. Nothing in it
/// suspends.
class under_identity {
public:
  WEFT_IDENTITY explicit under_identity(sanitizer_thread const& of) noexcept : caller_(sanitizer_thread::current()) {
    changes_ = caller_.handle != of.handle;
    if (changes_) of.enter_on_fiber_stack();
  }
  /// @param brought  what the caller made, and the scheduler takes over
  WEFT_IDENTITY under_identity(sanitizer_thread const& of, void* brought) noexcept
      : caller_(sanitizer_thread::current()) {
    changes_ = caller_.handle != of.handle;
    if (!changes_) return;
    sanitizer_release(brought);
    of.enter_on_fiber_stack();
    sanitizer_acquire(brought);
  }
  under_identity(under_identity const&) = delete;
  WEFT_IDENTITY ~under_identity() {
    if (!changes_) return;
    sanitizer_thread::watch_accesses();
    caller_.enter();
  }

private:
  sanitizer_thread caller_;
  bool changes_ = false;
};

/// Before the jump. `save` is null when the context will never run again.
[[gnu::always_inline]] inline void announce_switch([[maybe_unused]] void** save,
                                                   [[maybe_unused]] stack_bounds to) noexcept {
#if defined(WEFT_ASAN)
  __sanitizer_start_switch_fiber(save, to.bottom, to.size);
#endif
}
/// After the jump, on the other side.
[[gnu::always_inline]] inline void complete_switch([[maybe_unused]] void* saved) noexcept {
#if defined(WEFT_ASAN)
  __sanitizer_finish_switch_fiber(saved, nullptr, nullptr);
#endif
}

/// Memory that must not be touched until forget_poison().
inline void poison([[maybe_unused]] void* p, [[maybe_unused]] std::size_t size) noexcept {
#if defined(WEFT_ASAN)
  __asan_poison_memory_region(p, size);
#endif
}
inline void forget_poison([[maybe_unused]] void* p, [[maybe_unused]] std::size_t size) noexcept {
#if defined(WEFT_ASAN)
  __asan_unpoison_memory_region(p, size);
#endif
}

#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace weft::inline v0::detail
