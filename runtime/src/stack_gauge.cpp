#include "stack_gauge.hpp"

#include "fiber_text.hpp"
#include "page_size.hpp"
#include "stack_pool.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace weft::inline v0::detail {

namespace {

std::byte* page_of(std::byte* at) noexcept { return at - reinterpret_cast<std::uintptr_t>(at) % page_size(); }

}  // namespace

WEFT_UNINSTRUMENTED [[gnu::noinline]] void clear_unused(stack const& s) noexcept {
  // More than this function's own frame. What lies there is less than any fiber uses.
  constexpr std::size_t own_frame = 512;
  std::byte* const end = static_cast<std::byte*>(__builtin_frame_address(0)) - own_frame;
  std::byte* const page = page_of(end);
  ::madvise(s.bottom, static_cast<std::size_t>(page - s.bottom), MADV_DONTNEED);
  // Byte by byte, for a function that clears memory would have its own frame in it.
  for (auto* at = static_cast<std::byte volatile*>(page); at != end; ++at) *at = std::byte{0};
}

WEFT_UNINSTRUMENTED [[gnu::noinline]] std::size_t depth_of(stack const& s) noexcept {
  constexpr std::size_t pages_at_once = 256;  // more would be more than what is to be measured
  std::array<unsigned char, pages_at_once> resident;
  std::byte* const top = s.bottom + s.size;
  for (std::byte* from = s.bottom; from < top; from += pages_at_once * page_size()) {
    auto const length = std::min(static_cast<std::size_t>(top - from), pages_at_once * page_size());
    if (::mincore(from, length, resident.data()) != 0) continue;
    for (std::size_t page = 0; page * page_size() < length; ++page) {
      if ((resident[page] & 1U) == 0) continue;
      // A page of zeros has been touched too, nobody knows where.
      std::byte* const begin = from + page * page_size();
      auto const* at = static_cast<std::byte volatile const*>(begin);
      while (at < begin + page_size() && at < top && *at == std::byte{0}) ++at;
      auto const used_from = at < begin + page_size() ? at : begin;
      return static_cast<std::size_t>(top - used_from);
    }
  }
  return 0;
}

void stack_gauge::add(fiber_record const& fiber, std::size_t depth) noexcept {
  try {
    std::lock_guard const lock{mutex_};
    char const* const name = fiber.name();
    auto& site = name != nullptr ? named_[name] : others_[fiber.type];
    if (site.fibers == 0) site.site = name != nullptr ? name : type_of_callable(*fiber.type);
    ++site.fibers;
    site.deepest_bytes = std::max(site.deepest_bytes, depth);
    site.stack_size = std::max(site.stack_size, stack_pool::size_of(fiber.stack_class));
  } catch (std::bad_alloc const&) {  // NOLINT: see above
  }
}

std::vector<stack_usage> stack_gauge::usage() const {
  std::vector<stack_usage> all;
  {
    std::lock_guard const lock{mutex_};
    for (auto const& [name, site] : named_) {
      if (site.fibers != 0) all.push_back(site);  // else there was no memory to note what it is
    }
    for (auto const& [type, site] : others_) {
      if (site.fibers != 0) all.push_back(site);
    }
  }
  std::sort(all.begin(), all.end(), [](stack_usage const& a, stack_usage const& b) {
    return a.deepest_bytes != b.deepest_bytes ? a.deepest_bytes > b.deepest_bytes : a.site < b.site;
  });
  return all;
}

}  // namespace weft::inline v0::detail
