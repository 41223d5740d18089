#pragma once
/// @file
/// All of a channel but the waiting: its lock, its ring, and those who stand in line at either end. Invariants after
/// Go's channels (golang/go, src/runtime/chan.go).
///
/// - One lock guards everything. Values are moved under it, straight from where they are to where they go: into the
///   place that a waiting receiver keeps ready, or out of that of a waiting sender.
/// - Who can still be claimed waits for a reason: a receiver only while the ring is empty, a sender only while it is
///   full (always, with capacity 0), and no receiver beside a sender.
/// - Who stands in line is claimed (see line_party.hpp) before a value is moved to or from there: so a value is handed
///   over once, or stays where it is.
/// - Where the other's value cannot be moved because that throws, who was claimed for it is told to try `again`, at the
///   head of the line (a select: at its end), and the exception is the caller's. Where moving may throw, a sender for
///   which there is a place in the ring is told so, too, and moves its value itself; until it has, or has left, all
///   others wait although the ring has room, and then the next is told.
///
/// Who has been claimed is woken when the lock has been released, and may then free the channel.

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/detail/biased_lock.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/detail/line_party.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace weft::inline v0::detail {

/// A place in a channel's line. Lives on the waiting side's stack.
template <class Waiter, class Atomics>
struct alignas(8) basic_channel_node {
  enum class fate : unsigned char { waits, done, closed, again };

  explicit basic_channel_node(void* value) noexcept : place(value) {}

  basic_line_party<Waiter, Atomics> party;
  void* place;                         ///< of a receiver: the optional to fill; of a sender: the value
  basic_channel_node* next = nullptr;  ///< guarded by the channel's lock, as is prev; null: in no line
  basic_channel_node* prev = nullptr;
  fate end = fate::waits;  ///< written by who claims the party for this node, before it wakes it
};

/// Those who wait at one end, oldest first, linked in a circle. Guarded by the channel's lock.
template <class Node, class Atomics>
class basic_channel_line {
public:
  /// A hint where the lock is not held.
  [[nodiscard]] bool empty() const noexcept { return first() == nullptr; }

  void push_back(Node& node) noexcept {
    Node* const oldest = first();
    if (oldest == nullptr) [[likely]] {
      node.next = node.prev = &node;
      return set_first(&node);
    }
    node.next = oldest;
    node.prev = oldest->prev;
    node.prev->next = oldest->prev = &node;
  }
  void push_front(Node& node) noexcept {
    push_back(node);
    set_first(&node);
  }
  /// Takes `node` out if it is in.
  void remove(Node& node) noexcept {
    if (node.next == nullptr) [[unlikely]]
      return;
    if (node.next == &node) [[likely]] {
      set_first(nullptr);
    } else {
      node.next->prev = node.prev;
      node.prev->next = node.next;
      if (first() == &node) set_first(node.next);
    }
    node.next = node.prev = nullptr;
  }
  /// Takes out the oldest if it can be claimed so: see line_party.hpp.  @returns it, or null; then nothing has been
  /// done
  Node* claim_first_simply() noexcept {
    Node* const oldest = first();
    if (oldest == nullptr || !oldest->party.claim_simply()) [[unlikely]]
      return nullptr;
    if (oldest->next == oldest) [[likely]] {
      set_first(nullptr);  // its links stay: served, it looks at nothing but its answer
    } else {
      remove(*oldest);
    }
    return oldest;
  }
  /// Takes out the oldest that can be claimed.  @returns it, or null
  Node* claim_first() noexcept {
    while (Node* const oldest = first()) {
      remove(*oldest);
      if (oldest->party.claim()) return oldest;
    }
    return nullptr;
  }

private:
  // relaxed: the lock orders it.
  [[nodiscard]] Node* first() const noexcept { return first_.load(std::memory_order_relaxed); }
  void set_first(Node* node) noexcept { first_.store(node, std::memory_order_relaxed); }

  typename Atomics::template atomic<Node*> first_{nullptr};
};

/// Wakes who has been claimed. Made before the lock is taken, so that it does so after that has been released.
template <class Waiter, class Atomics = std_atomics>
class wake_afterwards {
  using party = basic_line_party<Waiter, Atomics>;

public:
  wake_afterwards() noexcept = default;
  wake_afterwards(wake_afterwards const&) = delete;
  ~wake_afterwards() {
    if (who_ != nullptr) who_->wake(placement::next);
  }
  void wake(party& who) noexcept { who_ = &who; }

private:
  party* who_ = nullptr;
};

/// What became of an attempt.
enum class channel_step : unsigned char { done, must_wait, closed };

/// @tparam Waiter     claimed and woken, as weft::waiter is
/// @tparam Atomics    see atomics.hpp
/// @tparam BiasBits   see biased_lock.hpp
template <class T, class Waiter = waiter, class Atomics = std_atomics, unsigned BiasBits = 4>
class basic_channel_state {
public:
  using node = basic_channel_node<Waiter, Atomics>;
  using fate = typename node::fate;
  using line = basic_channel_line<node, Atomics>;
  using lock_type = basic_biased_lock<Atomics, BiasBits>;
  using section = typename lock_type::section;              ///< holds the lock
  using plain_section = typename lock_type::plain_section;  ///< the same
  using bias_section = typename lock_type::bias_section;    ///< the same
  using entry = typename lock_type::entry;
  using woken = wake_afterwards<Waiter, Atomics>;
  using slot = std::optional<T>;
  static constexpr bool is_nothrow = std::is_nothrow_move_constructible_v<T>;

  /// @throws std::length_error, std::bad_alloc
  explicit basic_channel_state(std::size_t capacity) : capacity_(capacity) {
    if (capacity > most) throw std::length_error("weft::channel: a capacity of more than memory can hold");
    if (capacity != 0) ring_ = std::allocator<T>{}.allocate(capacity);
  }
  basic_channel_state(basic_channel_state const&) = delete;
  ~basic_channel_state() {
    for (auto left = count(); left != 0; --left) drop_oldest(left);
    if (capacity_ != 0) std::allocator<T>{}.deallocate(ring_, capacity_);
  }

  // --- under the lock ---

  /// Gives `value` to the first receiver in line, or puts it into the ring. Throws what moving it throws, and has then
  /// done nothing.
  /// @param told  by a sender that has been told to try again: see place_for_next
  template <class Section>
  channel_step put(Section const& held, T& value, woken& then,
                   [[maybe_unused]] bool told = false) noexcept(is_nothrow) {
    if (is_closed(held)) return channel_step::closed;
    if constexpr (!is_nothrow) {
      if (is_kept_ && !told) return channel_step::must_wait;
    }
    if (node* const receiver = receivers.claim_first()) {
      then.wake(receiver->party);
      if constexpr (!is_nothrow) receiver->end = fate::again;
      static_cast<slot*>(receiver->place)->emplace(std::move(value));
      receiver->end = fate::done;
      return channel_step::done;
    }
    auto const present = count();
    if (present == capacity_) return channel_step::must_wait;
    push(value, present);
    return channel_step::done;
  }

  /// Takes the oldest value, and lets the first sender in line follow. Throws what moving the value throws, and has
  /// then taken nothing.
  template <class Section>
  channel_step take(Section const& held, slot& into, woken& then) noexcept(is_nothrow) {
    if (auto const present = count(); present != 0) {
      into.emplace(std::move(ring_[head_]));
      drop_oldest(present);
      if constexpr (is_nothrow) {
        if (node* const sender = senders.claim_first()) {
          then.wake(sender->party);
          push(value_of(*sender), present - 1);
          sender->end = fate::done;
        }
      } else {
        keep_for_first(then);
      }
      return channel_step::done;
    }
    // With a buffer, one that was told to try again comes before those in line.
    if (node* const sender = capacity_ == 0 ? senders.claim_first() : nullptr) {
      then.wake(sender->party);
      if constexpr (!is_nothrow) sender->end = fate::again;
      into.emplace(std::move(value_of(*sender)));
      sender->end = fate::done;
      return channel_step::done;
    }
    return is_closed(held) ? channel_step::closed : channel_step::must_wait;
  }

  template <class Section>
  [[nodiscard]] static bool is_closed(Section const& held) noexcept {
    return held.flagged();
  }

  // --- by bias ---

  /// put() where nobody stands in line and there is room: it throws nothing, and leaves the lock.
  /// @returns false where it is not so simple; then nothing has been done
  [[gnu::always_inline]] bool put_simply(T& value, entry inside) noexcept
    requires is_nothrow
  {
    auto const present = count();
    if (!receivers.empty() || present == capacity_) [[unlikely]]
      return false;
    push(value, present);
    lock_type::leave(inside);
    return true;
  }
  /// The same of take().
  /// @param into  is called with the value, to move it
  template <class Into>
  [[gnu::always_inline]] bool take_simply(Into&& into, entry inside) noexcept
    requires is_nothrow
  {
    auto const present = count();
    if (present == 0 || !senders.empty()) [[unlikely]]
      return false;
    into(ring_[head_]);
    drop_oldest(present);
    lock_type::leave(inside);
    return true;
  }

  /// put() where a receiver stands first in line that has given way, and take() where, without a buffer, a sender does:
  /// as above.
  [[gnu::always_inline]] bool give_simply(T& value, entry inside) noexcept
    requires is_nothrow
  {
    node* const receiver = receivers.claim_first_simply();
    if (receiver == nullptr) [[unlikely]]
      return false;
    static_cast<slot*>(receiver->place)->emplace(std::move(value));
    receiver->end = fate::done;
    lock_type::leave(inside);
    receiver->party.wake_simply();
    return true;
  }
  [[gnu::always_inline]] bool receive_simply(slot& into, entry inside) noexcept
    requires is_nothrow
  {
    if (capacity_ != 0) [[unlikely]]
      return false;
    node* const sender = senders.claim_first_simply();
    if (sender == nullptr) [[unlikely]]
      return false;
    into.emplace(std::move(value_of(*sender)));
    sender->end = fate::done;
    lock_type::leave(inside);
    sender->party.wake_simply();
    return true;
  }

  /// Puts `sender` in line, where `who` holds the lock on bias and put() would have it wait.
  /// @returns false where it is not so simple; then nothing has been done
  [[gnu::always_inline]] bool line_up_sender(node& sender, typename lock_type::party who) noexcept
    requires is_nothrow
  {
    entry const inside = lock.enter(who);
    if (inside == nullptr) [[unlikely]]
      return false;
    bias_section const held{inside};
    if (!receivers.empty() || count() != capacity_) [[unlikely]]
      return false;
    senders.push_back(sender);
    return true;
  }
  /// The same of take() for a `receiver`.
  [[gnu::always_inline]] bool line_up_receiver(node& receiver, typename lock_type::party who) noexcept
    requires is_nothrow
  {
    entry const inside = lock.enter(who);
    if (inside == nullptr) [[unlikely]]
      return false;
    bias_section const held{inside};
    if (count() != 0 || !senders.empty()) [[unlikely]]
      return false;
    receivers.push_back(receiver);
    return true;
  }

  // --- without the lock ---

  [[nodiscard]] static T& value_of(node const& sender) noexcept { return *static_cast<T*>(sender.place); }

  /// Of a sender. If it has been told to try again, a place in the ring is kept for it; when it has tried, or leaves
  /// without, the next in line is told if there still is one.
  class kept_place {
  public:
    explicit kept_place(basic_channel_state& of) noexcept : of_(of) {}
    kept_place(kept_place const&) = delete;
    ~kept_place() {
      if (told_) settle(section{of_.lock, nullptr});
    }
    void may_want_it() noexcept { told_ = true; }
    [[nodiscard]] bool told() const noexcept { return told_; }
    void settle(section const& held) noexcept {
      if (!std::exchange(told_, false)) return;
      of_.is_kept_ = false;
      if (of_.count() != of_.capacity_ && !is_closed(held)) of_.keep_for_first(then_);
    }

  private:
    basic_channel_state& of_;
    bool told_ = false;
    woken then_;
  };
  /// Where moving does not throw, nobody is told so.
  struct no_place {
    explicit no_place(basic_channel_state&) noexcept {}
    void may_want_it() const noexcept {}
    [[nodiscard]] static bool told() noexcept { return false; }
    void settle(section const&) const noexcept {}
  };
  using place_for_next = std::conditional_t<is_nothrow, no_place, kept_place>;

  /// Closes it.  @returns those who waited, linked by `next`, claimed, and to be woken
  [[nodiscard]] node* close() noexcept {
    node* claimed = nullptr;
    node** last = &claimed;
    lock.set_flag([&]() noexcept {
      for (line* const end : {&receivers, &senders}) {
        while (node* const first = end->claim_first()) {
          first->end = fate::closed;
          *last = first;
          last = &first->next;
        }
      }
    });
    return claimed;
  }

  [[nodiscard]] bool closed() const noexcept { return lock.flagged(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Values in the ring. A hint where the lock is not held.  relaxed: the lock orders it.
  [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  /// Whether it looks as if one had to wait. A hint, to save an attempt.
  [[nodiscard]] bool seems_full() const noexcept { return count() == capacity_ && receivers.empty(); }
  [[nodiscard]] bool seems_empty() const noexcept { return count() == 0 && senders.empty(); }

  lock_type lock;  ///< flagged: the channel is closed
  line receivers;
  line senders;

private:
  static constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T);

  /// Tells the first sender in line that there is a place for it, unless another has been told. It moves its value
  /// itself: what that throws is its own.
  void keep_for_first(woken& then) noexcept {
    if (is_kept_) return;
    if (node* const sender = senders.claim_first()) {
      then.wake(sender->party);
      sender->end = fate::again;
      is_kept_ = true;
    }
  }
  /// @param present  count(), which is read but once
  [[gnu::always_inline]] void push(T& value, std::size_t present) noexcept(is_nothrow) {
    auto at = head_ + present;
    if (at >= capacity_) at -= capacity_;
    std::construct_at(ring_ + at, std::move(value));
    count_.store(present + 1, std::memory_order_relaxed);
  }
  [[gnu::always_inline]] void drop_oldest(std::size_t present) noexcept {
    std::size_t const head = head_;
    std::destroy_at(ring_ + head);
    head_ = head + 1 == capacity_ ? 0 : head + 1;
    count_.store(present - 1, std::memory_order_relaxed);
  }

  T* ring_ = nullptr;
  typename Atomics::template plain<std::size_t> head_ = 0;  // guarded by the lock: where the oldest value is
  typename Atomics::template atomic<std::size_t> count_{0};
  // Guarded by the lock: whether a place is kept for one who was told to try again.
  struct never_kept {};
  [[no_unique_address]] std::conditional_t<is_nothrow, never_kept, typename Atomics::template plain<bool>> is_kept_{};
  std::size_t const capacity_;
};

}  // namespace weft::inline v0::detail
