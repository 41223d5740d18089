/// Counts beside times, because counts do not wobble: how often an operation allocates, calls the system and switches
/// the context. Prints `metric value unit` lines. With --check it ends with status 1 unless a yield and a warm spawn
/// and join need neither memory nor the system.
///
/// - Allocations: this program has its own malloc, calloc, realloc and aligned_alloc, which count and pass on; operator
///   new and the libraries come by them.
/// - System calls: each scenario runs in a process of its own that the parent traces (ptrace), all its threads. The
///   child marks beginning and end by a system call that does not exist. Calls that need no kernel (vDSO) do not count.
/// - Switches: the linker leads every call of jump_fcontext by a counter (--wrap, see CMakeLists.txt).
///
/// Without the right to trace, or where the jump cannot be wrapped, those lines are missing.

#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {
std::atomic<std::uint64_t> allocations{0};
}

// glibc's own, by the names under which it exports them for this purpose.
extern "C" {
void* __libc_malloc(std::size_t size);                           // NOLINT
void* __libc_calloc(std::size_t count, std::size_t size);        // NOLINT
void* __libc_realloc(void* memory, std::size_t size);            // NOLINT
void* __libc_memalign(std::size_t alignment, std::size_t size);  // NOLINT

void* malloc(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  *memory = __libc_memalign(alignment, size);
  return *memory != nullptr ? 0 : ENOMEM;
}
}

#if defined(WEFT_COUNTS_SWITCHES) && (defined(__x86_64__) || defined(__aarch64__))
constexpr bool counts_switches = true;
extern "C" {
extern std::uint64_t switches_counted;  // its name is the assembler's
std::uint64_t switches_counted = 0;
}
// The switch hands over in registers and on the stack: the counter may change neither.
#if defined(__x86_64__)
asm(".text\n.globl __wrap_jump_fcontext\n.type __wrap_jump_fcontext, @function\n"
    "__wrap_jump_fcontext:\n"
    "  lock incq switches_counted(%rip)\n"
    "  jmp __real_jump_fcontext@PLT\n"
    ".size __wrap_jump_fcontext, .-__wrap_jump_fcontext\n");
#else
asm(".text\n.globl __wrap_jump_fcontext\n.type __wrap_jump_fcontext, %function\n"
    "__wrap_jump_fcontext:\n"
    "  adrp x16, switches_counted\n"
    "  add x16, x16, :lo12:switches_counted\n"
    "  ldr x17, [x16]\n"
    "  add x17, x17, #1\n"
    "  str x17, [x16]\n"  // one worker, one thread that switches
    "  b __real_jump_fcontext\n"
    ".size __wrap_jump_fcontext, .-__wrap_jump_fcontext\n");
#endif
#else
constexpr bool counts_switches = false;
constexpr std::uint64_t switches_counted = 0;
#endif

namespace {

using namespace std::chrono_literals;

constexpr long marker = 0x7EF7;  // no system call has this number

/// What a child tells its parent; in memory that both share.
struct report {
  std::uint64_t operations;
  std::uint64_t allocations;
  std::uint64_t switches;
  bool traced;
  bool done;
};
report* shared = nullptr;

/// Runs `f`, which does that many operations, and reports what happened meanwhile.
template <class F>
void counted(std::uint64_t operations, F&& f) {
  std::uint64_t const allocations_before = allocations.load(std::memory_order_relaxed);
  std::uint64_t const switches_before = switches_counted;
  ::syscall(marker);
  std::forward<F>(f)();
  ::syscall(marker);
  shared->operations = operations;
  shared->allocations = allocations.load(std::memory_order_relaxed) - allocations_before;
  shared->switches = switches_counted - switches_before;
  shared->done = true;
}

// --- what is counted; each runs on a fiber, on one worker ---

void yields() {
  constexpr int fibers = 100;
  constexpr int rounds = 1000;
  bool stop = false;
  std::vector<weft::task<void>> others;
  for (int i = 1; i < fibers; ++i) {
    others.push_back(weft::spawn([&stop] {
      while (!stop) weft::yield();
    }));
  }
  weft::yield();
  counted(std::uint64_t{fibers} * rounds, [] {
    for (int i = 0; i < rounds; ++i) weft::yield();
  });
  stop = true;
  for (auto& other : others) other.get();
}

void spawns(weft::spawn_options const& options) {
  constexpr int operations = 100'000;
  int ran = 0;
  auto const one = [&ran, &options] { weft::spawn(options, [&ran] { ++ran; }).get(); };
  for (int i = 0; i < 1000; ++i) one();
  counted(operations, [&one] {
    for (int i = 0; i < operations; ++i) one();
  });
}
void queued_spawns() { spawns({}); }
void eager_spawns() { spawns({.start = weft::start::eager}); }

void batches() {
  constexpr int size = 1000;
  constexpr int rounds = 100;
  int ran = 0;
  std::vector<weft::task<void>> tasks;
  tasks.reserve(size);
  auto const batch = [&] {
    for (int i = 0; i < size; ++i) tasks.push_back(weft::spawn([&ran] { ++ran; }));
    for (auto& task : tasks) task.get();
    tasks.clear();
  };
  for (int i = 0; i < 10; ++i) batch();
  counted(std::uint64_t{size} * rounds, [&batch] {
    for (int i = 0; i < rounds; ++i) batch();
  });
}

/// Two parties that wake each other by events.
struct court {
  weft::event serve;
  weft::event reply;
  bool over = false;  // written before `serve` is set, read after

  void answer() {
    for (;;) {
      serve.wait();
      serve.reset();
      if (over) return;
      reply.set();
    }
  }
  void play(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      serve.set();
      reply.wait();
      reply.reset();
    }
  }
  void end() {
    over = true;
    serve.set();
  }
};

void wakes() {
  constexpr int rounds = 50'000;
  court c;
  auto other = weft::spawn([&c] { c.answer(); });
  c.play(100);
  counted(std::uint64_t{2} * rounds, [&c] { c.play(rounds); });
  c.end();
  other.get();
}

void timed_wakes() {
  constexpr int rounds = 100'000;
  weft::event event;
  bool stop = false;
  auto other = weft::spawn([&] {
    while (!stop) {
      event.set();
      weft::yield();
    }
  });
  auto const wait = [&event] {
    event.reset();
    (void)event.wait_for(1h);
  };
  for (int i = 0; i < 100; ++i) wait();
  counted(rounds, [&wait] {
    for (int i = 0; i < rounds; ++i) wait();
  });
  stop = true;
  other.get();
}

void sleeps() {
  constexpr int rounds = 1000;
  weft::sleep_for(1ms);
  counted(rounds, [] {
    for (int i = 0; i < rounds; ++i) weft::sleep_for(100us);
  });
}

void offloads() {
  constexpr int rounds = 1000;
  auto const one = [] { weft::offload([] {}); };
  for (int i = 0; i < 100; ++i) one();
  counted(rounds, [&one] {
    for (int i = 0; i < rounds; ++i) one();
  });
}

void generator_items() {
  constexpr int items = 100'000;
  weft::generator<int> g([](auto& yield) {
    for (int i = 0;; ++i) yield(i);
  });
  auto it = g.begin();
  counted(items, [&it] {
    for (int i = 0; i < items; ++i) ++it;
  });
}

void generators() {
  constexpr int rounds = 10'000;
  auto const one = [] {
    weft::generator<int> g([](auto& yield) { yield(1); });
    for (int const v : g) (void)v;
  };
  for (int i = 0; i < 100; ++i) one();
  counted(rounds, [&one] {
    for (int i = 0; i < rounds; ++i) one();
  });
}

void scopes() {
  constexpr int rounds = 100'000;
  counted(rounds, [] {
    for (int i = 0; i < rounds; ++i) {
      weft::cancel_scope const plain;
      weft::cancel_scope const limited{std::chrono::hours{1}};
      weft::cancel_shield const shield;
    }
  });
}

void locks() {
  constexpr int rounds = 100'000;
  weft::mutex mutex;
  weft::semaphore permits{1};
  counted(rounds, [&] {
    for (int i = 0; i < rounds; ++i) {
      mutex.lock();
      permits.acquire();
      permits.release();
      mutex.unlock();
    }
  });
}

void channel_values() {
  constexpr int rounds = 100'000;
  weft::channel<int> channel{16};
  counted(rounds, [&channel] {
    for (int i = 0; i < rounds; ++i) {
      channel.send(i);
      (void)channel.receive();
    }
  });
}

void channel_meetings() {
  constexpr int rounds = 50'000;
  weft::channel<int> ping;
  weft::channel<int> pong;
  auto other = weft::spawn([&] {
    while (auto const value = ping.receive()) pong.send(*value);
  });
  auto const play = [&](int n) {
    for (int i = 0; i < n; ++i) {
      ping.send(i);
      (void)pong.receive();
    }
  };
  play(100);
  counted(std::uint64_t{2} * rounds, [&play] { play(rounds); });
  ping.close();
  other.get();
}

struct scenario {
  char const* name;
  void (*body)();
  bool must_be_free;       // --check: no allocation and no system call
  bool one_thread = true;  // else system calls and switches depend on who is quicker, and are left out
};
constexpr std::array scenarios{
    scenario{"yield", yields, true},
    scenario{"spawn_join", queued_spawns, true},
    scenario{"spawn_join_eager", eager_spawns, true},
    scenario{"spawn_join_in_batch", batches, true},
    scenario{"event_wake", wakes, true},
    scenario{"event_wake_with_limit", timed_wakes, true},
    scenario{"generator_item", generator_items, true},
    scenario{"generator_made_and_iterated_once", generators, false},
    scenario{"scopes_entered_and_left", scopes, true},
    scenario{"uncontended_locks", locks, true},
    scenario{"channel_value", channel_values, true},
    scenario{"channel_meeting", channel_meetings, true},
    scenario{"sleep_100us", sleeps, false},
    scenario{"offload", offloads, false, false},
};

// --- tracing ---

[[noreturn]] void be_child(scenario const& what) {
  shared->traced = ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0;
  if (shared->traced) ::raise(SIGSTOP);  // the parent sets its options now
  ::alarm(30);                           // a scenario that hangs ends with a message, not with the caller's patience
  weft::runtime_options options;
  options.workers = 1;
  // No monitor: what it does is not done for the operations that are counted.
  options.slow_callback_duration = {};
  options.stack_release.after = std::chrono::nanoseconds::max();
  weft::run(what.body, options);
  ::_exit(0);
}

/// Lets the child run to its end.  @returns the system calls that it and its threads made between the markers
std::uint64_t follow(pid_t child) {
  std::uint64_t calls = 0;
  bool counting = false;
  for (;;) {
    int status = 0;
    pid_t const stopped = ::waitpid(-1, &status, __WALL);
    if (stopped < 0) return calls;
    if (!WIFSTOPPED(status)) {
      if (stopped == child) return calls;
      continue;
    }
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, stopped, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        bool const marks = info.entry.nr == static_cast<std::uint64_t>(marker);
        if (marks) counting = !counting;
        if (counting && !marks) ++calls;
      }
      signal = 0;
    } else if (signal == SIGSTOP && stopped == child) {
      ::ptrace(PTRACE_SETOPTIONS, stopped, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
      signal = 0;
    } else if (signal == SIGSTOP || signal == SIGTRAP) {
      signal = 0;  // a new thread, or the notice of one
    }
    ::ptrace(PTRACE_SYSCALL, stopped, nullptr, signal);
  }
}

/// @returns whether the scenario ran, and was free if it must be
bool run(scenario const& what, bool check) {
  *shared = {};
  std::fflush(stdout);
  pid_t const child = ::fork();
  if (child < 0) return false;
  if (child == 0) be_child(what);
  std::uint64_t const calls = follow(child);
  if (!shared->done) {
    std::fprintf(stderr, "counts: %s did not end\n", what.name);
    return false;
  }
  auto const print = [&what](char const* of, std::uint64_t n, char const* unit) {
    std::printf("%s_per_%s %.4g %s\n", of, what.name, static_cast<double>(n) / static_cast<double>(shared->operations),
                unit);
  };
  print("allocations", shared->allocations, "allocations");
  if (shared->traced && what.one_thread) print("system_calls", calls, "calls");
  if (counts_switches && what.one_thread) print("switches", shared->switches, "switches");
  bool const is_free = shared->allocations == 0 && (!shared->traced || calls == 0);
  if (check && what.must_be_free && !is_free) {
    std::fprintf(stderr, "counts: %s is to be free of allocations and system calls: %llu and %llu in %llu operations\n",
                 what.name, static_cast<unsigned long long>(shared->allocations),
                 static_cast<unsigned long long>(calls), static_cast<unsigned long long>(shared->operations));
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  bool const check = argc > 1 && std::string_view{argv[1]} == "--check";
  void* const memory = ::mmap(nullptr, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  shared = ::new (memory) report{};
  bool fine = true;
  for (auto const& what : scenarios) fine = run(what, check) && fine;
  return fine ? 0 : 1;
}
