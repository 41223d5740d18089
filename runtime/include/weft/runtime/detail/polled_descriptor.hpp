#pragma once
/// @file
/// A descriptor whose readiness fibers wait for: what io/ is built from. The other half is the loop (src/poller.hpp).
///
/// For each direction, reading and writing:
///
///     idle --first who waits--> armed --an event finds nobody waiting, twice--> idle
///
/// - It is watched by the loop that watches most of those that are looked into. Where one loop watches all, its events
///   come in larger batches, the other workers sleep as long as one can do the work, and steal from it when it cannot.
///   The loop stays the same as long as both are there. The descriptor is armed there once and stays so: while each
///   event finds a waiter, no call changes what the kernel watches. (uv_poll_start() and uv_poll_stop() around each
///   wait cost a quarter of an echo server's throughput.)
/// - The kernel's readiness is a level: it is reported again as long as it lasts. So what is remembered of it is but a
///   hint, which saves the system calls that would fail: nothing is lost if it is wrong.
/// - But of a descriptor that is_drained() by its readers the kernel reports edges to read, once it has been busy: it
///   need not look at it again after each event. Then nothing remembered may be forgotten: each event wakes a reader,
///   who reads until there is less than was asked for, or stays as `ready`; who has found less says how many events
///   there had been before it read, and if there were more, it stays ready. (As Tokio's readiness and its ticks.) The
///   end is the last edge, so from then on it is ready for good.
/// - Any fiber on any worker may wait; each event wakes the one that has waited longest in that direction.
/// - close() wakes all, and comes back when no system call is under way on the descriptor and no loop watches it: then
///   its number can be used again, and neither event nor call meant for it will reach the next who gets that number.
///   (As Go's fdMutex and runtime poller, golang/go, src/internal/poll.)
///
/// Lifetime: an owner, each operation under way, and the loop refer to it; it goes with the last.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <sys/types.h>

namespace weft::inline v0::detail {

class poller;
class polled_descriptor;

enum class readiness : unsigned char { readable, writable };

/// Who reports readiness: the kernel, by a worker's loop; or whoever simulates the descriptor, by became_ready(). One
/// that is borrowed is the kernel's, too; but others use it, and may want it to block: its flags stay as they are.
enum class descriptor_kind : unsigned char { real, borrowed, simulated };

/// Whoever simulates descriptors.
class readiness_source {
public:
  readiness_source() = default;
  readiness_source(readiness_source const&) = delete;
  virtual ~readiness_source() = default;
  /// A fiber is about to wait for `of`: became_ready() is to be called at once if it is ready, as a kernel reports a
  /// level to whoever is armed for it, and else when it becomes so.
  virtual void wanted(polled_descriptor& of, readiness what) noexcept = 0;
};

/// A read that the loop makes for who waits, as soon as there is something: of many connections that are ready at once
/// the reads then follow each other, and so do the answers, which costs the processor's caches less, and wakes the
/// other side less often. (Larus and Parkes, "Using Cohort-Scheduling to Enhance Server Performance", 2002.)
struct read_by_loop {
  static constexpr ssize_t not_made = std::numeric_limits<ssize_t>::min();
  /// In bytes: of more, the loop would be kept too long from the others.
  static constexpr std::size_t largest = 4096;

  void* to;  ///< received from a socket, by a call of the kernel's that does not wait
  std::size_t size;
  ssize_t result = not_made;  ///< what it returned, or the negative error number
};

/// A place in a descriptor's line.
struct alignas(8) descriptor_node {
  explicit descriptor_node(waiter& w, read_by_loop* by_loop = nullptr) noexcept : owner(&w), read(by_loop) {}
  explicit descriptor_node(std::nullptr_t) noexcept {}
  waiter* owner = nullptr;
  descriptor_node* next = nullptr;  ///< as of a wait_node, and the next two
  descriptor_node* prev = nullptr;
  bool chosen = false;
  read_by_loop* read = nullptr;  ///< null: none
};

enum class descriptor_outcome : unsigned char { ready, timed_out, closed, no_fiber };

/// For std::unique_ptr: the owner's reference.
struct drop_descriptor {
  void operator()(polled_descriptor* owned) const noexcept;
};
using owned_descriptor = std::unique_ptr<polled_descriptor, drop_descriptor>;

class alignas(cache_line) polled_descriptor {
public:
  /// @param number  of a descriptor that stays open until close(), and does not block, unless it is borrowed
  /// @throws std::bad_alloc
  [[nodiscard]] static owned_descriptor make(int number, descriptor_kind kind = descriptor_kind::real);
  polled_descriptor(polled_descriptor const&) = delete;

  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] bool closed() const noexcept { return is_closed(word_.load(std::memory_order_relaxed)); }

  /// Whether a call is worth trying before waiting. Any thread.
  [[nodiscard]] bool seems_ready(readiness what) const noexcept { return (line(what).flags() & ready) != 0; }
  /// How many events there have been. acquire: pairs with take_event(); what those told of is there for who tries now.
  [[nodiscard]] std::uint32_t events() const noexcept { return events_.load(std::memory_order_acquire); }
  /// A call has done less than it was asked to: the next is to wait first. Any thread.
  /// @param seen  events() before that call
  /// @param nothing_there  it has found that it would have to wait, so that the end cannot have come
  void exhausted(readiness what, std::uint32_t seen, bool nothing_there = false) noexcept {
    if (seems_ready(what)) forget(what, seen, nothing_there);
  }
  /// The same for who knows that nothing has happened meanwhile, or is told again.
  void exhausted(readiness what) noexcept { exhausted(what, events()); }
  /// A call has done all that it was asked to: the next is to be tried at once. Any thread.
  void not_exhausted(readiness what) noexcept {
    if (!seems_ready(what)) [[unlikely]]
      remember(what);
  }
  /// Each who waits to read goes on to read, until there is less than was asked for, which then is all that there was:
  /// of a stream with the kernel's own system calls. Others only ask, and then remember.
  void is_drained() noexcept { drained_.store(true, std::memory_order_relaxed); }
  /// Of a simulated one: who is told that somebody waits. Before anybody does.
  void reported_by(readiness_source& source) noexcept { source_ = &source; }
  /// For its readiness_source: it can be read or written, or has failed. Wakes all who wait, as a kernel's level would,
  /// one after another. Any thread but a loop's callback.
  void became_ready(readiness what) noexcept;

  /// Wakes all who wait, and all that begin to wait later return at once. Comes back when nobody uses the number.
  /// Any thread, any number of times; the first caller is told true, and may then give the number back.
  [[nodiscard]] bool close() noexcept;

  /// An operation under way. The number is not given back while it lives, but in wait().
  class use {
  public:
    /// @returns from `operator bool` false if it has been closed: the number must not be used
    explicit use(polled_descriptor& of) noexcept : use(of, one_reference + one_use) {}
    /// @param paused  as after pause()
    use(polled_descriptor& of, bool paused) noexcept : use(of, paused ? one_reference : one_reference + one_use) {}
    use(use const&) = delete;
    ~use() { of_.drop(held_); }
    [[nodiscard]] explicit operator bool() const noexcept { return open_; }

    /// Parks the calling fiber until the descriptor is ready, or has failed or been hung up, or until `deadline`.
    /// @throws cancelled; no_runtime outside of a fiber; error in a simulation, of a real descriptor; std::system_error
    ///   of one that cannot be watched
    [[nodiscard]] descriptor_outcome wait(readiness what, time_point deadline = never);
    /// The same, but outside of a fiber it does nothing and returns `no_fiber`. It may be paused before.
    /// @param read  what the loop may do meanwhile, or null. If it has, the use is still paused afterwards
    [[nodiscard]] descriptor_outcome wait_on_fiber(readiness what, read_by_loop* read = nullptr,
                                                   time_point deadline = never);

    /// For who stands in line: lets go of the number, for which close() need not wait then, and keeps the rest.
    /// release: pairs with close().
    void pause() noexcept {
      held_ -= one_use;
      (void)of_.word_.fetch_sub(one_use, std::memory_order_release);
    }
    /// After pause(), out of line again.  @returns false if it has been closed: the number must not be used
    bool resume() noexcept {
      held_ += one_use;
      // acquire: as in the constructor.
      open_ = !is_closed(of_.word_.fetch_add(one_use, std::memory_order_acquire));
      return open_;
    }

  private:
    use(polled_descriptor& of, std::uint64_t held) noexcept
        // acquire: pairs with close(), should it be closed. What is read of the descriptor else never changes.
        : of_(of), held_(held), open_(!is_closed(of.word_.fetch_add(held, std::memory_order_acquire))) {}
    [[nodiscard]] bool paused() const noexcept { return held_ == one_reference; }
    void arm_or_leave(readiness what, waiter& self, descriptor_node& node);

    polled_descriptor& of_;
    std::uint64_t held_;  // of the descriptor's word
    bool open_;
  };

  /// For the loop, which refers to it.
  void drop() noexcept { drop(one_reference); }
  /// For the loop, with its lock: there is an event.
  /// @param bytes_left  that the loop may still read for others, less those read now; null: none
  /// @returns whether it is of no use to be told again before somebody waits
  [[nodiscard]] bool take_event(readiness what, std::size_t* bytes_left = nullptr) noexcept;
  /// For the loop: an event will be taken soon, most likely for who reads.
  void prefetch_first() const noexcept { line(readiness::readable).prefetch_front(); }

  // --- for a select, within a use ---

  /// Puts `node` in line.  @returns false if it is ready, or closed, by now: then it is not in
  [[nodiscard]] bool enter_line(readiness what, descriptor_node& node) noexcept;
  /// For one that has not been chosen.
  void leave_line(readiness what, descriptor_node& node) noexcept;
  /// After enter_line(): sees to it that somebody reports.
  /// @throws as use::wait()
  void arm(readiness what);

  struct registration;  ///< with a loop: see src/poller_core.hpp

private:
  friend class poller;
  friend struct drop_descriptor;
  friend struct registration;

  explicit polled_descriptor(int number, descriptor_kind kind) noexcept;
  ~polled_descriptor();

  using line_of_nodes = basic_wait_list<descriptor_node>;
  static constexpr std::uintptr_t ready = line_of_nodes::flag_a;
  static constexpr std::uintptr_t armed = line_of_nodes::flag_b;  // set by who is about to arm it

  // references << 32 | closed << 31 | operations that use the number. The last two belong together: who closes either
  // sees a use, or that one sees it closed.
  static constexpr std::uint64_t one_reference = std::uint64_t{1} << 32U;
  static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 31U;
  static constexpr std::uint64_t one_use = 1;
  [[nodiscard]] static constexpr bool is_closed(std::uint64_t word) noexcept { return (word & closed_bit) != 0; }
  [[nodiscard]] static constexpr std::uint32_t uses(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word & (closed_bit - 1));
  }

  [[nodiscard]] line_of_nodes& line(readiness what) noexcept { return lines_[static_cast<std::size_t>(what)]; }
  [[nodiscard]] line_of_nodes const& line(readiness what) const noexcept {
    return lines_[static_cast<std::size_t>(what)];
  }
  void refer() noexcept;
  void drop(std::uint64_t what) noexcept {
    // release: what this one did comes before the end. acquire: so that it does for the last.
    auto const left = word_.fetch_sub(what, std::memory_order_acq_rel) - what;
    if (left < one_reference) [[unlikely]]
      destroy();
  }
  void destroy() noexcept;
  [[nodiscard]] bool stand_in_line(readiness what, descriptor_node& node) noexcept;
  /// Of a simulated one, whose source is to be told of each wait, false.
  [[nodiscard]] bool is_armed(readiness what) const noexcept { return (line(what).flags() & armed) != 0; }
  bool take_event_in_line(readiness what, std::size_t* bytes_left) noexcept;
  void forget(readiness what, std::uint32_t seen, bool nothing_there) noexcept;
  void remember(readiness what) noexcept;
  void count_event() noexcept;
  /// For the loop: the other side sends no more, or nothing can be read ever again.
  void hang_up() noexcept;
  /// @param so_that_it_stays  whether it is ready for who waits later, too; else only if nobody waits now
  void wake_all(readiness what, bool so_that_it_stays) noexcept;
  void abandon() noexcept;

  std::atomic<std::uint64_t> word_;
  std::array<line_of_nodes, 2> lines_;
  int const number_;
  std::atomic<std::uint32_t> events_{0};  // to read; counted by the loop, with the lock of that line
  descriptor_kind const kind_;
  bool hung_up_ = false;  // guarded by the lock of the line of readers
  // relaxed: set before anybody waits; cleared by the loop, which then reports levels, so that more than a wish it is
  // not.
  std::atomic<bool> drained_{false};
  readiness_source* source_ = nullptr;                // of a simulated one: set before anybody waits
  std::atomic<registration*> registration_{nullptr};  // set under the loop's lock
};

}  // namespace weft::inline v0::detail
