#include "faults.hpp"

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <dlfcn.h>
#include <new>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

namespace weft::test::faults {

std::atomic<void (*)() noexcept> when_failing{nullptr};
std::atomic<bool> no_guard_advice{false};
std::atomic<bool> no_protection{false};
std::atomic<std::uint64_t> mappings_made{0};
std::atomic<std::uint64_t> protections_made{0};

namespace {

// Written by arm() and disarm(), when nothing else goes on that could strike; read by all.
std::atomic<int> armed{-1};
std::atomic<std::uint64_t> first{0};
std::atomic<bool> persistent{false};
std::atomic<std::uint64_t> seen{0};
std::atomic<std::uint64_t> struck{0};
std::atomic<std::int64_t> blocks{0};

bool strikes(kind which) noexcept {
  if (armed.load() != static_cast<int>(which)) return false;
  auto const number = seen.fetch_add(1) + 1;
  if (number < first.load() || (number > first.load() && !persistent.load())) return false;
  struck.fetch_add(1);
  if (auto* const call = when_failing.load()) call();
  return true;
}

/// Looked up anew each time it is not known: calls come from before main().
template <class F>
F next(std::atomic<F>& known, char const* name) noexcept {
  F found = known.load(std::memory_order_relaxed);
  if (found == nullptr) {
    found = reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
    known.store(found, std::memory_order_relaxed);
  }
  return found;
}

template <class R>
R fail(int code, R result) noexcept {
  errno = code;
  return result;
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  if (strikes(kind::memory)) return nullptr;
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return std::malloc(size != 0 ? size : 1);
  void* memory = nullptr;
  return ::posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  void* const memory = allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc{};
  return memory;
}

}  // namespace

void arm(kind which, std::uint64_t n, bool on_and_on) noexcept {
  first.store(n);
  persistent.store(on_and_on);
  seen.store(0);
  struck.store(0);
  armed.store(static_cast<int>(which));
}

std::uint64_t disarm() noexcept {
  armed.store(-1);
  return struck.load();
}

std::uint64_t failed_so_far() noexcept { return struck.load(); }

std::int64_t blocks_in_use() noexcept { return blocks.load(); }

}  // namespace weft::test::faults

namespace faults = weft::test::faults;
using faults::kind;

// --- operator new: the array forms call these ---

void* operator new(std::size_t size) { return faults::allocate_or_throw(size, 1); }
void* operator new(std::size_t size, std::align_val_t a) {
  return faults::allocate_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, std::nothrow_t const&) noexcept { return faults::allocate(size, 1); }
void* operator new(std::size_t size, std::align_val_t a, std::nothrow_t const&) noexcept {
  return faults::allocate(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

extern "C" {

// --- malloc and its kin: glibc's own, by the names under which it exports them for this purpose ---

void* __libc_malloc(std::size_t size);                           // NOLINT
void* __libc_calloc(std::size_t count, std::size_t size);        // NOLINT
void* __libc_realloc(void* memory, std::size_t size);            // NOLINT
void* __libc_memalign(std::size_t alignment, std::size_t size);  // NOLINT
void __libc_free(void* memory);                                  // NOLINT

static void* counted(void* memory) noexcept {
  if (memory != nullptr) faults::blocks.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
void* malloc(std::size_t size) { return counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return counted(__libc_calloc(count, size)); }
void* realloc(void* memory, std::size_t size) {
  if (memory == nullptr) return malloc(size);
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  if (faults::strikes(kind::memory)) return faults::fail(ENOMEM, nullptr);
  return counted(__libc_memalign(alignment, size));
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = counted(__libc_memalign(alignment, size));
  return *memory != nullptr ? 0 : ENOMEM;
}
void free(void* memory) {
  if (memory != nullptr) faults::blocks.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(memory);
}

// --- system calls ---

void* mmap(void* at, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
  static std::atomic<void* (*)(void*, std::size_t, int, int, int, off_t)> real{nullptr};
  faults::mappings_made.fetch_add(1);
  if (faults::strikes(kind::system)) return faults::fail(ENOMEM, MAP_FAILED);
  return faults::next(real, "mmap")(at, size, protection, flags, file, offset);
}

int madvise(void* at, std::size_t size, int advice) noexcept {
  static std::atomic<int (*)(void*, std::size_t, int)> real{nullptr};
  if (advice == MADV_GUARD_INSTALL && faults::no_guard_advice.load()) return faults::fail(EINVAL, -1);
  if (faults::strikes(kind::system)) return faults::fail(ENOMEM, -1);
  return faults::next(real, "madvise")(at, size, advice);
}

int mprotect(void* at, std::size_t size, int protection) noexcept {
  static std::atomic<int (*)(void*, std::size_t, int)> real{nullptr};
  faults::protections_made.fetch_add(1);
  if (faults::no_protection.load() || faults::strikes(kind::system)) return faults::fail(ENOMEM, -1);
  return faults::next(real, "mprotect")(at, size, protection);
}

long syscall(long number, ...) noexcept {
  static std::atomic<long (*)(long, ...)> real{nullptr};
  std::va_list rest;
  va_start(rest, number);
  long a[6];
  for (long& argument : a) argument = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_process_madvise) {
    if (faults::no_guard_advice.load()) return faults::fail(EINVAL, -1);
    if (faults::strikes(kind::system)) return faults::fail(ENOMEM, -1);
  }
  return faults::next(real, "syscall")(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int pthread_create(pthread_t* thread, pthread_attr_t const* attributes, void* (*start)(void*), void* with) noexcept {
  static std::atomic<int (*)(pthread_t*, pthread_attr_t const*, void* (*)(void*), void*)> real{nullptr};
  if (faults::strikes(kind::system)) return EAGAIN;
  return faults::next(real, "pthread_create")(thread, attributes, start, with);
}

int timerfd_create(int clock, int flags) noexcept {
  static std::atomic<int (*)(int, int)> real{nullptr};
  if (faults::strikes(kind::system)) return faults::fail(EMFILE, -1);
  return faults::next(real, "timerfd_create")(clock, flags);
}

int eventfd(unsigned count, int flags) noexcept {
  static std::atomic<int (*)(unsigned, int)> real{nullptr};
  if (faults::strikes(kind::system)) return faults::fail(EMFILE, -1);
  return faults::next(real, "eventfd")(count, flags);
}

int epoll_create1(int flags) noexcept {
  static std::atomic<int (*)(int)> real{nullptr};
  if (faults::strikes(kind::system)) return faults::fail(EMFILE, -1);
  return faults::next(real, "epoll_create1")(flags);
}

}  // extern "C"
