/// @file
/// What the kernel alone needs for the stacks of W8: their guards, and one page of each. Laid out and asked for as weft
/// does it, without any task; threads take as many each.

#include "../workload.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>
#include <vector>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t guard = 4 * page;
constexpr std::size_t stride = 21 * page;  // a stack of 64 KiB above its guard, and an odd number of pages
constexpr std::size_t at_once = 64;

void install_guards(std::byte* first, std::size_t count) {
  constexpr int self = -10000;  // PIDFD_SELF
  std::array<iovec, at_once> guards;
  for (std::size_t n = 0; n < count; ++n) guards[n] = {first + n * stride, guard};
  auto const done = ::syscall(SYS_process_madvise, self, guards.data(), count, MADV_GUARD_INSTALL, 0);
  if (done == static_cast<ssize_t>(count * guard)) return;
  for (std::size_t n = 0; n < count; ++n) {
    bench::check(::madvise(first + n * stride, guard, MADV_GUARD_INSTALL) == 0, "a guard");
  }
}

void make_stacks(std::byte* first, std::size_t count) {
  for (std::size_t made = 0; made < count; made += at_once) {
    std::byte* const batch = first + made * stride;
    auto const many = std::min(at_once, count - made);
    install_guards(batch, many);
    for (std::size_t n = 0; n < many; ++n) batch[(n + 1) * stride - page] = std::byte{1};
  }
}

bool has_guards() {
  void* const probe = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bench::check(probe != MAP_FAILED, "mapping a page");
  bool const has = ::madvise(probe, page, MADV_GUARD_INSTALL) == 0;
  ::munmap(probe, page);
  return has;
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  if (args.workload != "W8" || !has_guards()) bench::unknown(args);
  auto const count = bench::size("W8_N", 1'000'000);
  auto const before = bench::memory_bytes("VmRSS");
  bench::stopwatch const creation;
  void* const memory = ::mmap(nullptr, count * stride, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  bench::check(memory != MAP_FAILED, "mapping the stacks");
  ::madvise(memory, count * stride, MADV_NOHUGEPAGE);
  auto* const stacks = static_cast<std::byte*>(memory);
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < args.workers; ++t) {
    auto const first = count * t / args.workers;
    threads.emplace_back(make_stacks, stacks + first * stride, count * (t + 1) / args.workers - first);
  }
  make_stacks(stacks, count / args.workers);
  for (auto& thread : threads) thread.join();
  bench::metric("create_park_ms", creation.milliseconds(), "ms");
  auto const after = bench::memory_bytes("VmHWM");
  bench::metric("rss_bytes_per_fiber", static_cast<double>(after - before) / static_cast<double>(count), "B");
}
