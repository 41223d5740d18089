#include "stack_pool.hpp"

#include "floating_point.hpp"
#include "page_size.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

namespace weft::inline v0::detail {

namespace {

std::size_t round_up(std::size_t n, std::size_t unit) noexcept { return (n + unit - 1) / unit * unit; }

guard_kind probe_guard(std::size_t guard_bytes) noexcept {
  if (guard_bytes == 0) return guard_kind::none;
  void* const page = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                            -1, 0);
  if (page == MAP_FAILED) return guard_kind::protection;
  bool const works = ::madvise(page, page_size(), MADV_GUARD_INSTALL) == 0;
  ::munmap(page, page_size());
  return works ? guard_kind::advice : guard_kind::protection;
}

constexpr std::size_t most_at_once = 64;

/// Guards of `count` stacks by one call of process_madvise(2) on ourselves (Linux 6.13; PIDFD_SELF, 6.14).
/// @returns how many have been installed
std::size_t advise_many(std::byte* first, std::size_t guard_bytes, std::size_t stride, std::size_t count) noexcept {
  constexpr int self = -10000;  // PIDFD_SELF
  std::array<iovec, most_at_once> guards;
  for (std::size_t n = 0; n < count; ++n) guards[n] = {first + n * stride, guard_bytes};
  auto const bytes = ::syscall(SYS_process_madvise, self, guards.data(), count, MADV_GUARD_INSTALL, 0);
  return bytes > 0 ? static_cast<std::size_t>(bytes) / guard_bytes : 0;
}

/// What an idle stack can do without: all below the page of its suspended context.
iovec releasable(stack const& s) noexcept {
  auto const context = reinterpret_cast<std::uintptr_t>(s.context);
  auto const bottom = reinterpret_cast<std::uintptr_t>(s.bottom);
  return {s.bottom, context / page_size() * page_size() - bottom};
}

/// How many pages of `part` are in memory.
std::uint32_t resident_pages(iovec part) noexcept {
  constexpr std::size_t pages_at_once = 1024;
  std::array<unsigned char, pages_at_once> resident;
  auto* const bytes = static_cast<std::byte*>(part.iov_base);
  std::uint32_t pages = 0;
  for (std::size_t at = 0; at < part.iov_len; at += pages_at_once * page_size()) {
    auto const length = std::min(part.iov_len - at, pages_at_once * page_size());
    if (::mincore(bytes + at, length, resident.data()) != 0) continue;
    auto const count = static_cast<std::ptrdiff_t>(length / page_size());
    pages += static_cast<std::uint32_t>(
        std::count_if(resident.begin(), resident.begin() + count, [](auto r) { return (r & 1U) != 0; }));
  }
  return pages;
}

/// Gives up the contents of all parts, if possible by one system call (as advise_many()). Where the memory is locked
/// the kernel refuses, and it stays.
void give_memory_back(std::span<iovec> parts) noexcept {
  constexpr int self = -10000;  // PIDFD_SELF
  auto const done = ::syscall(SYS_process_madvise, self, parts.data(), parts.size(), MADV_DONTNEED, 0);
  auto bytes = done > 0 ? static_cast<std::size_t>(done) : 0;
  for (auto const& part : parts) {
    if (bytes >= part.iov_len) {
      bytes -= part.iov_len;
    } else {
      bytes = 0;
      ::madvise(part.iov_base, part.iov_len, MADV_DONTNEED);
    }
  }
}

}  // namespace

stack_pool::stack_pool(std::size_t guard_bytes, entry_point entry) noexcept
    : guard_bytes_(guard_bytes), entry_(entry), guard_(probe_guard(guard_bytes)) {}

stack_pool::~stack_pool() {
  for (auto const& s : slabs_) {
    forget_poison(s.memory, s.bytes);
    ::munmap(s.memory, s.bytes);
  }
}

std::uint8_t stack_pool::class_of(std::size_t bytes) {
  if (bytes < smallest || bytes > largest) {
    throw std::invalid_argument("weft: a stack of " + std::to_string(bytes) + " bytes was asked for; sizes from " +
                                std::to_string(smallest) + " to " + std::to_string(largest) + " are possible");
  }
  return static_cast<std::uint8_t>(std::bit_width(bytes - 1) - std::bit_width(smallest - 1));
}

std::size_t stack_pool::guard_bytes_of(std::uint8_t size_class) const noexcept {
  return round_up(std::min(guard_bytes_, size_of(size_class) / 4), page_size());
}

std::size_t stack_pool::stride_of(std::uint8_t size_class) const noexcept {
  // An odd number of pages: with a power of two in it, the tops of many stacks would share a few sets of the TLB.
  auto const pages = (size_of(size_class) + guard_bytes_of(size_class)) / page_size();
  return (pages | 1U) * page_size();
}

std::size_t stack_pool::made() const noexcept {
  std::lock_guard const lock{mutex_};
  return made_;
}

stack* stack_pool::take(std::uint8_t size_class, std::size_t most) noexcept {
  // relaxed, as all of it: a hint. Who is to find a stack for certain has been told of it, which orders the two.
  if (lying_[size_class].load(std::memory_order_relaxed) == 0) return nullptr;
  stack* first = idle_[size_class].take(most);
  if (first == nullptr) {
    first = released_[size_class].take(most);
    for (stack* s = first; s != nullptr; s = s->next) s->locals = nullptr;  // where `warmer` was
  }
  std::size_t count = 0;
  for (stack const* s = first; s != nullptr; s = s->next) ++count;
  lying_[size_class].fetch_sub(count, std::memory_order_relaxed);
  return first;
}

stack_range stack_pool::make(std::uint8_t size_class) noexcept {
  stack_range range;
  range.stride = stride_of(size_class);
  {
    std::lock_guard const lock{mutex_};
    if (auto& returned = returned_[size_class]; !returned.empty()) {
      range = returned.back();
      returned.pop_back();
      return range;
    }
    auto& from = reserves_[size_class];
    if (from.at == from.end && !grow(from, range.stride)) return {};
    // A few at a time, so that a small program pays for few guards; more as more are made, in one system call.
    auto const left = static_cast<std::size_t>(from.end - from.at) / range.stride;
    auto const count = std::min({left, std::max<std::size_t>(made_ / 8, 4), most_at_once});
    range.at = from.at;
    range.end = from.at += count * range.stride;
    range.number = made_;
    made_ += count;
  }
  // Without the lock, as is all that touches the new memory.
  auto const guard_bytes = guard_bytes_of(size_class);
  std::byte* const guarded = range.at + install_guards(range, guard_bytes) * range.stride;
  if (guarded != range.end) {
    // The rest goes back, or a program at the limit of its mappings would use up its address space too. Unless others
    // have taken what follows meanwhile: then it is lost.
    std::lock_guard const lock{mutex_};
    auto& from = reserves_[size_class];
    if (from.at == range.end) {
      from.at = guarded;
      made_ -= static_cast<std::size_t>(range.end - guarded) / range.stride;
    }
    range.end = guarded;
  }
  range.offset = guard_bytes;
  return range;
}

void stack_pool::take_back(stack_range const& rest, std::uint8_t size_class) noexcept {
  if (rest.at == rest.end) return;
  std::lock_guard const lock{mutex_};
  try {
    returned_[size_class].push_back(rest);
  } catch (std::bad_alloc const&) {  // NOLINT: address space is lost, and nothing else
  }
}

void stack_pool::give(stack* first, stack* last) noexcept {
  auto const size_class = first->size_class;
  auto const count = idle_[size_class].give(first, last);
  lying_[size_class].fetch_add(count, std::memory_order_relaxed);
}

std::size_t stack_pool::release_idle(std::size_t keep_bytes) noexcept {
  std::lock_guard const lock{releasing_};
  for (std::uint8_t c = 0; c < classes; ++c) count_pages(c, idle_[c].idle_since_last_asked());
  return release_kept(keep_bytes);
}

std::size_t stack_pool::release_all() noexcept {
  std::lock_guard const lock{releasing_};
  for (std::uint8_t c = 0; c < classes; ++c) count_pages(c, idle_[c].used());
  return release_kept(0);
}

bool stack_pool::has_used() const noexcept {
  return std::any_of(idle_.begin(), idle_.end(), [](idle_stacks const& of) { return of.used() != 0; });
}

/// The `count` coldest used stacks become kept ones, or released ones if they have nothing to give back.
void stack_pool::count_pages(std::uint8_t size_class, std::size_t count) noexcept {
  while (count > 0) {
    auto const wanted = std::min(count, most_at_once);
    auto taken = idle_[size_class].take_coldest_used(wanted);
    count = taken.size() == wanted ? count - wanted : 0;  // else others have taken the rest meanwhile
    stack_list worth_it;
    while (stack* const s = taken.pop_coldest()) {
      s->pages = resident_pages(releasable(*s));
      if (s->pages != 0) {
        worth_it.push(s);
      } else {
        released_[size_class].give(s, s);
      }
    }
    idle_[size_class].keep(worth_it);
  }
}

std::size_t stack_pool::release_kept(std::size_t keep_bytes) noexcept {
  std::size_t total = 0;
  for (auto const& of : idle_) total += of.kept_pages();
  auto const keep = keep_bytes / page_size();
  std::size_t released = 0;
  for (std::uint8_t c = classes; c-- > 0;) {
    auto& of = idle_[c];
    auto const here = of.kept_pages();
    auto const others = total - std::min(total, here);
    auto const share = keep - std::min(keep, others);
    for (;;) {
      auto taken = of.take_coldest_kept(most_at_once, share);
      if (taken.empty()) break;
      std::array<iovec, most_at_once> parts;
      std::size_t count = 0;
      for (stack const* s = taken.warmest(); s != nullptr; s = s->next) {
        parts[count++] = releasable(*s);
        released += s->pages;
      }
      give_memory_back({parts.data(), count});
      while (stack* const s = taken.pop_coldest()) released_[c].give(s, s);
    }
    total = others + std::min(here, share);
  }
  return released * page_size();
}

stack* stack_pool::describe(stack_range& range, std::uint8_t size_class) const noexcept {
  // The kernel clears a page upwards and past the caches, and who writes to its upper end at once waits for that. So
  // the pages of several stacks are had first, each by its lower end. A small program, whose ranges are short, has no
  // page of a stack that it does not use.
  constexpr std::size_t at_once = 16;
  auto const left = static_cast<std::size_t>(range.end - range.at) / range.stride;
  auto const count = left >= at_once ? at_once : 1;
  for (std::size_t n = 0; n < count && count > 1; ++n) {
    std::byte* const top = range.at + n * range.stride + range.offset + size_of(size_class);
    *static_cast<std::byte volatile*>(top - std::min(page_size(), size_of(size_class))) = std::byte{};
  }
  stack* first = nullptr;
  stack** last = &first;  // upwards, as they lie
  for (std::size_t n = 0; n < count; ++n) {
    *last = describe_one(range, size_class);
    last = &(*last)->next;
  }
  return first;
}

stack* stack_pool::describe_one(stack_range& range, std::uint8_t size_class) const noexcept {
  std::byte* const bottom = range.at + range.offset;
  range.at += range.stride;
  constexpr std::size_t colours = 32;
  auto const colour = (range.number++ % colours) * cache_line;
  constexpr auto described = (sizeof(stack) + cache_line - 1) / cache_line * cache_line;
  std::byte* const top = bottom + size_of(size_class) - colour - described;
  auto* const s = ::new (static_cast<void*>(top)) stack;
  s->bottom = bottom;
  s->size = static_cast<std::size_t>(top - bottom);
  s->size_class = size_class;
  s->context = boost::context::detail::make_fcontext(top, s->size, entry_);
  reset_floating_point_of(s->context);  // it has the maker's
  return s;
}

bool stack_pool::grow(reserve& from, std::size_t stride) noexcept {
  // Slabs double, so that a small program reserves little and a million stacks need few mappings.
  constexpr std::size_t first = std::size_t{4} << 20U;
  constexpr std::size_t last = std::size_t{512} << 20U;
  auto const wanted = std::min(first << std::min<std::size_t>(from.slabs, 7), last);
  for (std::size_t count = std::max<std::size_t>(wanted / stride, 1); count > 0; count /= 2) {
    auto const bytes = count * stride;
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) continue;
    ::madvise(memory, bytes, MADV_NOHUGEPAGE);  // fails where the kernel has no huge pages, which is as good
    try {
      slabs_.push_back({static_cast<std::byte*>(memory), bytes});
    } catch (std::bad_alloc const&) {
      ::munmap(memory, bytes);
      return false;
    }
    ++from.slabs;
    from.at = static_cast<std::byte*>(memory);
    from.end = from.at + bytes;
    return true;
  }
  return false;
}

/// @returns of how many stacks, from the first; an unguarded one is never handed out
std::size_t stack_pool::install_guards(stack_range const& range, std::size_t guard_bytes) const noexcept {
  auto const count = static_cast<std::size_t>(range.end - range.at) / range.stride;
  if (guard_ == guard_kind::none) return count;
  if (guard_ == guard_kind::advice && count > 4) {
    if (auto const done = advise_many(range.at, guard_bytes, range.stride, count); done > 0) return done;
  }
  for (std::size_t n = 0; n < count; ++n) {
    std::byte* const guard = range.at + n * range.stride;
    // Memory that is locked, by mlockall() later on, takes no advice.
    bool const guarded = (guard_ == guard_kind::advice && ::madvise(guard, guard_bytes, MADV_GUARD_INSTALL) == 0) ||
                         ::mprotect(guard, guard_bytes, PROT_NONE) == 0;
    if (!guarded) return n;
  }
  return count;
}

void stack_cache::refill(free_list& list, std::uint8_t size_class) noexcept {
  list.head = pool_.take(size_class, batch);
  if (list.head == nullptr) {
    auto& range = ranges_[size_class];
    if (range.at == range.end) range = pool_.make(size_class);
    if (range.at != range.end) list.head = pool_.describe(range, size_class);
  }
  list.count = 0;
  for (stack const* s = list.head; s != nullptr; s = s->next) ++list.count;
}

void stack_cache::spill(free_list& from) noexcept {
  // The warmest half stays.
  stack* keep = from.head;
  for (std::size_t n = 1; n < batch; ++n) keep = keep->next;
  stack* const first = keep->next;
  stack* last = first;
  std::size_t count = 1;
  while (last->next != nullptr) {
    last = last->next;
    ++count;
  }
  keep->next = nullptr;
  from.count -= count;
  pool_.give(first, last);
}

void stack_cache::flush() noexcept {
  for (std::uint8_t c = 0; c < stack_pool::classes; ++c) {
    pool_.take_back(std::exchange(ranges_[c], {}), c);
    auto& list = lists_[c];
    if (list.head == nullptr) continue;
    stack* last = list.head;
    while (last->next != nullptr) last = last->next;
    pool_.give(list.head, last);
    list = {};
  }
}

}  // namespace weft::inline v0::detail
