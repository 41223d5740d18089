#pragma once
/// @file
/// Memory for fibers' records, and the register of those that live.
///
/// Records come from chunks of 64 KiB, aligned to their size, so that a record finds its chunk. A chunk holds records
/// of one size. A byte in each says whether it lives: so whoever walks the chunks knows. It is written by atomic
/// operations only, and by no constructor. Each worker keeps free records of its own; others take and give under the
/// pool's lock.
///
/// Chunks are cut from slabs, each twice as large as the one before: a small program touches little, and a million
/// records lie on a few huge pages, where the system has them. A record larger than 1 KiB has a chunk of its own, of a
/// power of two, and is given back its pages, but not its place: no memory goes back before the pool does, because a
/// worker may look at a record that others have taken from it and given back (worker::prefetch_following()).
///
/// A finished task stays readable after its runtime is gone: then the pool has been orphan()ed, counts what is still
/// out, and the last record to come back deletes it.

#include "sanitizers.hpp"

#include <weft/runtime/detail/published.hpp>
#include <weft/runtime/detail/task_record.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string_view>
#include <vector>

namespace weft::inline v0::detail {

/// Where an exception goes that nobody collected. Must outlive the runtime, as records do.
using unhandled_handler = std::function<void(std::exception_ptr, std::string_view)>;

/// The report that goes to stderr where there is no handler.
void print_unhandled(std::exception_ptr const& error, std::string_view task, std::string_view callable = {}) noexcept;

class record_pool {
  struct chunk {
    record_pool* pool;
    chunk* next;
    std::size_t record_bytes;
    std::size_t count;  // records; 1 with more than the largest class in it: a large one
  };

public:
  static constexpr std::size_t chunk_bytes = std::size_t{64} * 1024;
  static constexpr std::size_t granule = 64;
  static constexpr std::size_t classes = largest_class;  // 64 to 1024 bytes
  static constexpr std::size_t first_record = (sizeof(chunk) + granule - 1) / granule * granule;

  explicit record_pool(unhandled_handler on_unhandled) : on_unhandled_(std::move(on_unhandled)) {}
  record_pool(record_pool const&) = delete;

  /// A list of one to `most` free records of the class.  @throws std::bad_alloc
  [[nodiscard]] fiber_record* take(std::size_t size_class, std::size_t most);
  /// A record larger than any class.  @throws std::bad_alloc
  [[nodiscard]] void* take_large(std::size_t bytes);
  /// Takes back a list of free records of one class.
  void give(std::size_t size_class, fiber_record* first, fiber_record* last) noexcept;
  /// Takes back what take_large() has given.
  void give_large(fiber_record* record) noexcept;
  /// Takes back one record, from a thread that is not a worker of the runtime.
  void give_one(void* record, std::size_t size_class) noexcept;
  /// Counts a record that was taken by give_one()'s kind of thread.
  [[nodiscard]] void* take_one(std::size_t bytes);

  /// Taken less given by outside threads.
  [[nodiscard]] std::int64_t out_elsewhere() noexcept {
    std::lock_guard const lock{mutex_};
    return out_;
  }

  /// The runtime is a guest: threads that wait for its fibers drive it. Before the first record is taken.
  void set_guest(scheduler& home) noexcept { guest_ = home_of_guest_ = &home; }
  /// A thread that has a hold on a record comes in as a visitor, to drive the runtime; see door.hpp.
  /// @returns null if it is no guest, or on its way down
  [[nodiscard]] scheduler* enter_guest() noexcept;
  /// Nobody comes in that way any more.
  void close_guest() noexcept {
    std::lock_guard const lock{mutex_};
    home_of_guest_ = nullptr;
  }

  /// The runtime is gone, and `out` records are not back yet, less those that outside threads took and gave.
  static void orphan(record_pool* pool, std::int64_t out) noexcept;

  /// Calls `f` for each live record, under the lock: no record goes back to the system meanwhile. One that is being
  /// made or freed at the time may or may not be among them.
  template <class F>
  void for_each_live(F&& f) {
    std::lock_guard const lock{mutex_};
    for (chunk* c = chunks_; c != nullptr; c = c->next) {
      for (std::size_t i = 0; i < c->count; ++i) {
        auto* const r = record_at(c, i);
        // acquire: pairs with set_live().
        if (std::atomic_ref{r->live}.load(std::memory_order_acquire) != 0) f(*r);
      }
    }
  }

  /// The record is complete, and may be cancelled.
  static void set_live(fiber_record& record) noexcept {
    std::atomic_ref{record.live}.store(1, std::memory_order_release);  // publishes the record to for_each_live()
  }
  static void set_dead(fiber_record& record) noexcept {
    // relaxed: a hint. Cancelling an ended fiber does nothing, and one that has begun in its place is to end, too.
    std::atomic_ref{record.live}.store(0, std::memory_order_relaxed);
  }

  [[nodiscard]] static record_pool* of(void const* record) noexcept { return chunk_of(record)->pool; }
  [[nodiscard]] static std::size_t bytes_of(void const* record) noexcept { return chunk_of(record)->record_bytes; }

  /// Passes on what nobody collected. Never throws.
  /// @param callable  of the task, for the report on stderr; may be empty
  void report_unhandled(std::exception_ptr error, std::string_view task, std::string_view callable = {}) noexcept;

private:
  ~record_pool();
  static bool is_large(chunk const& c) noexcept { return c.record_bytes > classes * granule; }
  static chunk* chunk_of(void const* record) noexcept {
    return reinterpret_cast<chunk*>(reinterpret_cast<std::uintptr_t>(record) & ~(chunk_bytes - 1));
  }
  static fiber_record* record_at(chunk* c, std::size_t index) noexcept {
    return reinterpret_cast<fiber_record*>(reinterpret_cast<std::byte*>(c) + first_record + index * c->record_bytes);
  }
  chunk* new_chunk(void* memory, std::size_t record_bytes, std::size_t count) noexcept;
  void* cut();
  static std::size_t large_bytes(std::size_t record_bytes) noexcept;

  unhandled_handler on_unhandled_;
  void const* guest_ = nullptr;  // constant once there are records; only compared: what it points to may be gone
  std::mutex mutex_;             // guards all below
  scheduler* home_of_guest_ = nullptr;
  chunk* chunks_ = nullptr;
  std::vector<void*> slabs_;
  std::byte* uncut_ = nullptr;  // of the last slab
  std::byte* uncut_end_ = nullptr;
  std::array<fiber_record*, classes> free_{};
  std::array<fiber_record*, 64> free_large_{};  // by the logarithm of their chunk's size
  std::int64_t out_ = 0;                        // taken less given by outside threads; all, once orphaned
  bool orphaned_ = false;
};

/// A runtime's hold on its pool of records, which outlives it if records do.
class record_pool_owner {
public:
  explicit record_pool_owner(unhandled_handler on_unhandled) : pool_(new record_pool(std::move(on_unhandled))) {}
  record_pool_owner(record_pool_owner const&) = delete;
  ~record_pool_owner() { record_pool::orphan(pool_, out_); }

  /// Before the end: how many records of the workers are not back.
  void count_out(std::int64_t out) noexcept { out_ = out; }
  [[nodiscard]] record_pool& operator*() const noexcept { return *pool_; }
  [[nodiscard]] record_pool* operator->() const noexcept { return pool_; }

private:
  record_pool* const pool_;
  std::int64_t out_ = 0;
};

/// A worker's own free records. Touched by its worker only.
class record_cache {
public:
  explicit record_cache(record_pool& pool) noexcept : pool_(pool) {}
  record_cache(record_cache const&) = delete;
  ~record_cache() { flush(); }

  /// @returns null if there is none at hand
  [[nodiscard, gnu::always_inline]] void* take_at_hand(std::size_t bytes) noexcept {
    auto const size_class = class_of_size(bytes);
    if (size_class >= record_pool::classes) [[unlikely]]
      return nullptr;
    auto& list = lists_[size_class];
    fiber_record* const r = list.head;
    if (r == nullptr) [[unlikely]]
      return nullptr;
    list.head = r->next;
    list.count.add(-1);
    sanitizer_release(r);  // to the fiber on whose behalf this is
    forget_poison(r, bytes);
    return r;
  }

  /// @throws std::bad_alloc
  [[nodiscard]] void* take(std::size_t bytes);

  void give(void* record, std::size_t size_class) noexcept {
    auto* const r = static_cast<fiber_record*>(record);
    sanitizer_acquire(r);  // from the fiber on whose behalf this is
    if (size_class >= record_pool::classes) [[unlikely]] {
      taken_.add(-1);
      return pool_.give_large(r);
    }
    poison(reinterpret_cast<std::byte*>(r) + sizeof(fiber_record),
           (size_class + 1) * record_pool::granule - sizeof(fiber_record));
    auto& list = lists_[size_class];
    r->next = list.head;
    list.head = r;
    if (list.count.add(1) > keep) [[unlikely]]
      spill(size_class);
  }

  [[nodiscard]] bool is_of(record_pool const* pool) const noexcept { return &pool_ == pool; }
  /// Taken less given; may be negative, for records move between workers. Any thread; exact when the worker rests.
  [[nodiscard]] std::int64_t out() const noexcept;
  void flush() noexcept;

private:
  static constexpr std::int64_t keep = 4096;
  static constexpr std::size_t batch = 256;
  struct free_list {
    fiber_record* head = nullptr;
    published<std::int64_t> count{};
  };
  void fill(std::size_t size_class);
  void spill(std::size_t size_class) noexcept;

  record_pool& pool_;
  std::array<free_list, record_pool::classes> lists_{};
  published<std::int64_t> taken_{};  ///< from the pool, less given back to it
};

}  // namespace weft::inline v0::detail
