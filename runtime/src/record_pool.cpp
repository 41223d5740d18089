#include "record_pool.hpp"

#include "fork_guard.hpp"
#include "page_size.hpp"
#include "scheduler.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <utility>

namespace weft::inline v0::detail {

record_pool::~record_pool() {
  while (chunk* const c = chunks_) {
    chunks_ = c->next;
    forget_poison(c, is_large(*c) ? large_bytes(c->record_bytes) : chunk_bytes);
    if (is_large(*c)) std::free(c);  // NOLINT: from std::aligned_alloc
  }
  for (void* const slab : slabs_) std::free(slab);  // NOLINT: as above
}

record_pool::chunk* record_pool::new_chunk(void* memory, std::size_t record_bytes, std::size_t count) noexcept {
  auto* const c = ::new (memory) chunk{};
  c->pool = this;
  c->record_bytes = record_bytes;
  c->count = count;
  for (std::size_t i = 0; i < count; ++i) set_dead(*record_at(c, i));
  c->next = chunks_;
  chunks_ = c;
  return c;
}

/// The memory of a chunk.
void* record_pool::cut() {
  constexpr std::size_t huge_page = std::size_t{2} << 20U;
  constexpr std::size_t largest_slab = std::size_t{32} << 20U;
  if (uncut_ == uncut_end_) {
    slabs_.reserve(slabs_.size() + 1);
    auto bytes = std::min(chunk_bytes << std::min<std::size_t>(slabs_.size(), 16), largest_slab);
    void* slab = nullptr;
    while ((slab = std::aligned_alloc(std::min(bytes, huge_page), bytes)) == nullptr) {
      if (bytes == chunk_bytes) throw std::bad_alloc{};
      bytes /= 2;
    }
    slabs_.push_back(slab);
    if (bytes >= huge_page) ::madvise(slab, bytes, MADV_HUGEPAGE);  // only makes it faster
    uncut_ = static_cast<std::byte*>(slab);
    uncut_end_ = uncut_ + bytes;
  }
  return std::exchange(uncut_, uncut_ + chunk_bytes);
}

fiber_record* record_pool::take(std::size_t size_class, std::size_t most) {
  std::lock_guard const lock{mutex_};
  auto& free = free_[size_class];
  if (free == nullptr) {
    auto const bytes = (size_class + 1) * granule;
    chunk* const c = new_chunk(cut(), bytes, (chunk_bytes - first_record) / bytes);
    for (std::size_t i = c->count; i-- > 0;) {  // so that the list runs upwards
      auto* const r = reinterpret_cast<fiber_record*>(reinterpret_cast<std::byte*>(c) + first_record + i * bytes);
      r->next = free;
      free = r;
    }
  }
  fiber_record* const first = free;
  fiber_record* last = first;
  for (std::size_t n = 1; n < most && last->next != nullptr; ++n) last = last->next;
  free = last->next;
  last->next = nullptr;
  return first;
}

/// Of the chunk of a large record.
std::size_t record_pool::large_bytes(std::size_t record_bytes) noexcept {
  return std::bit_ceil(std::max(first_record + record_bytes, chunk_bytes));
}

void* record_pool::take_large(std::size_t bytes) {
  auto const record_bytes = (bytes + granule - 1) / granule * granule;
  auto const whole = large_bytes(record_bytes);
  {
    std::lock_guard const lock{mutex_};
    auto& free = free_large_[static_cast<std::size_t>(std::countr_zero(whole))];
    if (fiber_record* const record = free; record != nullptr) {
      free = record->next;
      chunk_of(record)->record_bytes = record_bytes;
      return record;
    }
  }
  void* const memory = std::aligned_alloc(chunk_bytes, whole);
  if (memory == nullptr) throw std::bad_alloc{};
  std::lock_guard const lock{mutex_};
  return reinterpret_cast<std::byte*>(new_chunk(memory, record_bytes, 1)) + first_record;
}

void record_pool::give_large(fiber_record* record) noexcept {
  if (fork_watch::in_child()) return;  // as in give()
  auto const record_bytes = chunk_of(record)->record_bytes;
  poison(reinterpret_cast<std::byte*>(record) + sizeof(fiber_record), record_bytes - sizeof(fiber_record));
  // What the header does not lie on goes back to the system. Where the memory is locked that is refused, and it stays.
  auto const begin = reinterpret_cast<std::uintptr_t>(record);
  auto const spare = (begin + sizeof(fiber_record) + page_size() - 1) / page_size() * page_size();
  if (auto const end = begin + record_bytes; spare < end) {
    ::madvise(reinterpret_cast<void*>(spare), end - spare, MADV_DONTNEED);  // NOLINT: an address
  }
  std::lock_guard const lock{mutex_};
  auto& free = free_large_[static_cast<std::size_t>(std::countr_zero(large_bytes(record_bytes)))];
  record->next = free;
  free = record;
}

void record_pool::give(std::size_t size_class, fiber_record* first, fiber_record* last) noexcept {
  if (fork_watch::in_child()) return;  // a thread of the parent may hold the lock
  std::lock_guard const lock{mutex_};
  last->next = free_[size_class];
  free_[size_class] = first;
}

void* record_pool::take_one(std::size_t bytes) {
  auto const size_class = class_of_size(bytes);
  void* taken = nullptr;
  if (size_class >= classes) {
    taken = take_large(bytes);
  } else {
    taken = take(size_class, 1);
    sanitizer_acquire(taken);
  }
  forget_poison(taken, bytes);
  std::lock_guard const lock{mutex_};
  ++out_;
  return taken;
}

void record_pool::give_one(void* record, std::size_t size_class) noexcept {
  auto* const r = static_cast<fiber_record*>(record);
  sanitizer_release(r);
  size_class < classes ? give(size_class, r, r) : give_large(r);
  if (fork_watch::in_child()) return;
  bool last = false;
  {
    std::lock_guard const lock{mutex_};
    last = --out_ == 0 && orphaned_;
  }
  if (last) delete this;
}

scheduler* record_pool::enter_guest() noexcept {
  if (guest_ == nullptr) return nullptr;
  std::lock_guard const lock{mutex_};
  // Under the lock: who takes the runtime down closes this way first, and then waits for those that are in.
  if (home_of_guest_ != nullptr) home_of_guest_->entrance.enter_beside_fiber();
  return home_of_guest_;
}

void record_pool::orphan(record_pool* pool, std::int64_t out) noexcept {
  bool last = false;
  {
    std::lock_guard const lock{pool->mutex_};
    pool->out_ += out;
    pool->orphaned_ = true;
    last = pool->out_ == 0;
  }
  if (last) delete pool;
}

void record_pool::report_unhandled(std::exception_ptr error, std::string_view task,
                                   std::string_view callable) noexcept {
  try {
    if (on_unhandled_) return on_unhandled_(error, task);
    print_unhandled(error, task, callable);
  } catch (...) {  // NOLINT: documented: what the handler throws is ignored
  }
}

void print_unhandled(std::exception_ptr const& error, std::string_view task, std::string_view callable) noexcept {
  auto const print = [&](char const* what) {
    auto const size = [](std::string_view text) { return static_cast<int>(text.size()); };
    char const* const quote = task.empty() ? "" : "'";
    bool const has_type = !callable.empty();
    // One call: nothing comes between the parts.
    std::fprintf(stderr, "weft: nobody collected the exception of task %s%.*s%s%s%.*s%s: %s\n", quote, size(task),
                 task.data(), quote, has_type ? " (" : "", size(callable), callable.data(), has_type ? ")" : "", what);
  };
  try {
    std::rethrow_exception(error);
  } catch (std::exception const& e) {
    print(e.what());
  } catch (...) {
    print("not a std::exception");
  }
}

std::int64_t record_cache::out() const noexcept {
  std::int64_t out = taken_;
  for (auto const& list : lists_) out -= list.count;
  return out;
}

void* record_cache::take(std::size_t bytes) {
  auto const size_class = class_of_size(bytes);
  if (size_class >= record_pool::classes) {
    void* const large = pool_.take_large(bytes);
    taken_.add(1);
    sanitizer_release(large);  // as in take_at_hand()
    forget_poison(large, bytes);
    return large;
  }
  if (lists_[size_class].head == nullptr) fill(size_class);
  return take_at_hand(bytes);
}

void record_cache::fill(std::size_t size_class) {
  auto& list = lists_[size_class];
  list.head = pool_.take(size_class, batch);
  std::int64_t count = 0;
  for (fiber_record const* r = list.head; r != nullptr; r = r->next) ++count;
  list.count = count;
  taken_.add(count);
}

void record_cache::spill(std::size_t size_class) noexcept {
  auto& list = lists_[size_class];
  fiber_record* keep_last = list.head;
  for (std::int64_t n = 1; n < keep / 2; ++n) keep_last = keep_last->next;
  fiber_record* const first = keep_last->next;
  fiber_record* last = first;
  while (last->next != nullptr) last = last->next;
  keep_last->next = nullptr;
  taken_.add(keep / 2 - list.count);
  list.count = keep / 2;
  pool_.give(size_class, first, last);
}

void record_cache::flush() noexcept {
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    auto& list = lists_[c];
    if (list.head == nullptr) continue;
    fiber_record* last = list.head;
    while (last->next != nullptr) last = last->next;
    pool_.give(c, list.head, last);
    taken_.add(-list.count);
    list.head = nullptr;
    list.count = 0;
  }
}

}  // namespace weft::inline v0::detail
