/// @file
/// Thread identity under forced migration (H1, H2, H3): what weft knows of the present thread, and what a user reads by
/// an accessor that is not inlined, must be the present thread's after each of 10^6 migrations. Such bugs are made by
/// the optimiser: CMakeLists.txt here compiles this file together with all of the library as one translation unit, so
/// that nothing but weft's own discipline keeps the compiler from carrying an address over a wait.

#include "identity.hpp"

#include "support/scale.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace weft::test {

namespace {

thread_local std::uint64_t canary = 0;

// What the documents ask of users: reached out of line, and opaque to the optimiser.
[[gnu::noinline]] std::uint64_t* canary_address() {
  asm volatile("" ::: "memory");
  return &canary;
}
[[gnu::noinline]] int* errno_address() {
  asm volatile("" ::: "memory");
  return &errno;
}
[[gnu::noinline]] pthread_t thread_handle() {
  asm volatile("" ::: "memory");
  return ::pthread_self();
}
/// The kernel's word, which no compiler can know.
long thread_id() { return ::syscall(SYS_gettid); }

/// The error code in the same leaf as the call that failed.
[[gnu::noinline]] int failing_call() {
  asm volatile("" ::: "memory");
  return ::close(-1) == 0 ? 0 : errno;
}

#define WEFT_MUST(condition)                                                       \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

/// All the ways to tell a worker's thread, as they were when a fiber was first seen on it.
struct face {
  std::atomic<long> id{0};
  std::atomic<std::uint64_t*> canary{nullptr};
  std::atomic<int*> error{nullptr};
  std::atomic<pthread_t> handle{};
};

constexpr std::size_t workers = 2;
std::array<face, workers> faces;        // NOLINT: the threads' own
std::atomic<std::uint64_t> migrations;  // NOLINT

/// Run by each fiber after each wait. All answers must name the same thread.
[[gnu::noinline]] void register_or_compare(int worker) {
  WEFT_MUST(worker >= 0 && static_cast<std::size_t>(worker) < workers);
  auto& f = faces[static_cast<std::size_t>(worker)];
  long unseen = 0;
  if (f.id.compare_exchange_strong(unseen, thread_id())) {  // only fibers on this worker, one after the other
    *canary_address() = static_cast<std::uint64_t>(thread_id());
    f.canary = canary_address();
    f.error = errno_address();
    f.handle = thread_handle();
  }
  WEFT_MUST(f.id == thread_id());
  WEFT_MUST(f.canary == canary_address());
  WEFT_MUST(*canary_address() == static_cast<std::uint64_t>(thread_id()));
  WEFT_MUST(f.error == errno_address());
  WEFT_MUST(::pthread_equal(f.handle, thread_handle()) != 0);
}

/// One wait of each kind, inlined as far as the compiler likes, with questions on both sides of it.
void wander(std::size_t rounds) {
  auto const id = this_fiber::get_id();
  std::uint64_t moved = 0;
  for (std::size_t i = 0; i < rounds; ++i) {
    int const before = this_fiber::worker();
    long const thread_before = thread_id();
    register_or_compare(before);
    *errno_address() = 77 + before;  // a sentinel on the thread that is left
    switch (i % 64) {
      case 1: this_fiber::sleep_for(std::chrono::microseconds{1}); break;
      case 2: {
        event e;
        auto setter = spawn([&e] { e.set(); });
        e.wait();
        setter.get();
        break;
      }
      case 3: spawn([] { this_fiber::yield(); }).get(); break;
      default: this_fiber::yield();
    }
    int const after = this_fiber::worker();
    WEFT_MUST((after != before) == (thread_id() != thread_before));
    moved += after != before ? 1 : 0;
    register_or_compare(after);
    WEFT_MUST(failing_call() == EBADF);
    WEFT_MUST(*errno_address() == EBADF);
    WEFT_MUST(this_fiber::get_id() == id);
  }
  migrations.fetch_add(moved);
}

}  // namespace

int check_identity() {
  constexpr std::size_t fibers = 8;
  auto const wanted = scaled(1'000'000);
  runtime rt{testing::forced_migration({.workers = workers})};
  rt.run([wanted] {
    std::vector<task<void>> tasks;
    for (std::size_t f = 0; f < fibers; ++f)
      tasks.push_back(spawn([wanted] { wander(wanted / fibers + wanted / 64); }));
    for (auto& t : tasks) t.get();
  });
  WEFT_MUST(rt.live_fibers() == 0);
  WEFT_MUST(migrations.load() >= wanted);
  WEFT_MUST(this_fiber::worker() == -1 && this_fiber::get_id() == fiber_id{});
  std::printf("%llu migrations\n", static_cast<unsigned long long>(migrations.load()));
  return 0;
}

}  // namespace weft::test
