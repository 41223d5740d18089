/// @file
/// Stacks in numbers: mappings (H13), resident memory (H14), and how deep a parked fiber's stack is.

#include "stack_pool.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

std::size_t mappings() {
  std::ifstream maps{"/proc/self/maps"};
  std::size_t n = 0;
  for (std::string line; std::getline(maps, line);) ++n;
  return n;
}

bool kernel_installs_guards() {
  return weft::detail::stack_pool{std::size_t{64} * 1024, nullptr}.guard() == weft::detail::guard_kind::advice;
}

/// One mapping, as /proc/self/smaps has it.
struct mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::size_t resident_kib = 0;
  std::size_t huge_kib = 0;
  std::string flags;
};

std::vector<mapping> read_smaps() {
  std::vector<mapping> all;
  std::ifstream smaps{"/proc/self/smaps"};
  for (std::string line; std::getline(smaps, line);) {
    mapping m;
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {  // NOLINT: the shortest way to parse it
      m.begin = begin;
      m.end = end;
      all.push_back(m);
    } else if (!all.empty()) {
      std::istringstream words{line};
      std::string key;
      words >> key;
      if (key == "Rss:") words >> all.back().resident_kib;
      if (key == "AnonHugePages:") words >> all.back().huge_kib;
      if (key == "VmFlags:") std::getline(words, all.back().flags);
    }
  }
  return all;
}

constexpr std::byte paint{0xA5};
constexpr std::ptrdiff_t painted_bytes = 16 * 1024;

/// Paints what lies below the caller's frame. @returns the lowest painted byte
[[gnu::noinline]] std::byte* paint_stack() {
  auto* const end = static_cast<std::byte*>(__builtin_frame_address(0)) - 512;
  auto* const begin = end - painted_bytes;
  for (auto* at = end - 1; at >= begin; --at) *const_cast<std::byte volatile*>(at) = paint;
  return begin;
}

struct depth_probe {
  std::byte* lowest = nullptr;
  std::byte* top = nullptr;
  /// Bytes of the stack in use, once the fiber is parked.
  [[nodiscard]] std::ptrdiff_t depth() const {
    auto* at = lowest;
    while (at < top && *const_cast<std::byte volatile*>(at) == paint) ++at;
    return top - at;
  }
};

depth_probe probe_here() {
  auto const* const place = weft::detail::current_fiber()->place;
  return {paint_stack(), place->bottom + place->size};
}

}  // namespace

TEST_CASE("H13: 200000 live fibers with guarded stacks take fewer than 200 mappings", "[stack][hazard][H13]") {
  if (under_sanitizer) return;  // the shadow has mappings of its own
  if (!kernel_installs_guards()) {
    WARN("this kernel has no MADV_GUARD_INSTALL: each guard is a mapping");
    return;
  }
  constexpr std::size_t fibers = 200'000;
  weft::runtime rt{on(2, {.stack_size = std::size_t{64} * 1024})};
  weft::event gate;
  std::atomic<std::size_t> parked{0};
  std::size_t counted = 0;
  rt.run([&] {
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < fibers; ++i) {
      tasks.push_back(weft::spawn([&] {
        parked.fetch_add(1);
        gate.wait();
      }));
    }
    while (parked.load() < fibers) weft::yield();
    counted = mappings();
    verify(rt.live_fibers() == fibers + 1);
    gate.set();
    for (auto& t : tasks) t.get();
  });
  CHECK(counted < 200);
  expect_no_leaks(rt);
}

TEST_CASE("H14: stacks are not backed by huge pages, and a parked fiber has two pages at most",
          "[stack][hazard][H14]") {
  if (under_sanitizer) return;
  constexpr std::size_t fibers = 2000;
  weft::event gate;
  std::vector<std::uintptr_t> tops(fibers);
  std::atomic<std::size_t> parked{0};
  std::vector<mapping> smaps;
  run_on(1, [&] {
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < fibers; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        auto const* const place = weft::detail::current_fiber()->place;
        tops[i] = reinterpret_cast<std::uintptr_t>(place->bottom + place->size);
        parked.fetch_add(1);
        gate.wait();
      }));
    }
    while (parked.load() < fibers) weft::yield();
    smaps = read_smaps();
    gate.set();
    for (auto& t : tasks) t.get();
  });
  auto const has_huge_pages = std::filesystem::exists("/sys/kernel/mm/transparent_hugepage/enabled");
  std::size_t found = 0;
  std::size_t resident_kib = 0;
  for (auto const& m : smaps) {
    auto const here = std::count_if(tops.begin(), tops.end(), [&](auto t) { return t >= m.begin && t < m.end; });
    if (here == 0) continue;
    found += static_cast<std::size_t>(here);
    resident_kib += m.resident_kib;
    CHECK(m.huge_kib == 0);
    if (has_huge_pages) CHECK((m.flags + " ").find(" nh ") != std::string::npos);
  }
  CHECK(found == fibers);
  CHECK(resident_kib <= fibers * 8);
}

TEST_CASE("a fiber parked in a plain wait uses at most 2 KiB of stack", "[stack]") {
  if (under_sanitizer) return;  // their frames are larger
  constexpr std::size_t fibers = 65;
  std::vector<depth_probe> probes(fibers * 2);
  std::vector<std::ptrdiff_t> depths;
  weft::event gate;
  run_on(1, [&] {
    std::vector<weft::task<void>> tasks;
    std::atomic<std::size_t> parked{0};
    for (std::size_t i = 0; i < fibers; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        probes[i] = probe_here();
        parked.fetch_add(1);
        gate.wait();
      }));
      tasks.push_back(weft::spawn([&, i] {
        probes[fibers + i] = probe_here();
        parked.fetch_add(1);
        try {
          weft::sleep_for(1h);
        } catch (weft::cancelled const&) {
        }
      }));
    }
    while (parked.load() < tasks.size()) weft::yield();
    weft::yield();
    for (auto const& p : probes) depths.push_back(p.depth());
    gate.set();
    for (auto& t : tasks) {
      t.cancel();
      t.wait();
    }
  });
  for (auto const first : {depths.begin(), depths.begin() + fibers}) {
    std::sort(first, first + fibers);
    INFO("from " << first[0] << " to " << first[fibers - 1] << " bytes");
    CHECK(first[0] > 100);  // or nothing was measured
    CHECK(first[fibers - 1] <= 2048);
  }
}
