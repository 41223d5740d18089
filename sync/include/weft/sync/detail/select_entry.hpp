#pragma once
/// @file
/// What `select` knows of its cases, and how it goes about them.
///
/// 1. Each case is tried once, in random order; the first that is ready is it.
/// 2. A wait is opened. The locks of all channels are taken, in the order of their addresses; each channel is tried
/// once
///    more; if none is ready, a node for each is queued, and the locks are released.
/// 3. The other cases are enrolled, one after the other. One that is ready by now claims the wait itself.
/// 4. The wait. Whoever can commit a case claims it first: one ticket, one winner, so at most one case commits.
/// 5. All are taken out again. The one that was chosen knows.
///
/// Why all locks: a value of a channel can pass between two selects, and then both waits must end, or none. Here the
/// one that looks holds no place in any line yet, so nobody else can decide about it, and the one that it finds is
/// queued everywhere, so it can be claimed. Two that look at each other's channels are ordered by the locks: the second
/// finds the first queued. (As Go's select does, golang/go, src/runtime/select.go. Claiming first oneself and then the
/// other, without the locks, leaves two that have claimed themselves and fail to claim each other.) All other cases
/// have one side that waits; they need no more than their own lock and the claim.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/detail/channel_wait.hpp>

#include <cstddef>
#include <optional>
#include <span>

namespace weft::inline v0::detail {

class channel_case;

/// A case, as the engine sees it.
class select_entry {
public:
  select_entry() noexcept = default;
  virtual ~select_entry() = default;

  /// Commits if that needs no waiting.
  virtual bool try_now() { return false; }
  /// Puts `w` where the waking side finds it; or claims it and commits, if that needs no waiting.
  /// @returns whether it has committed
  virtual bool enroll(waiter&) noexcept { return false; }
  /// Undoes enroll().  @returns whether the waking side has committed this case
  virtual bool withdraw() noexcept { return false; }
  /// On a thread, while it is enrolled: if a guest runtime has to run before the case is ready, runs that, at most
  /// until then.  @returns whether there is one
  virtual bool drive_guest(time_point) noexcept { return false; }
  /// The case has been chosen: calls its handler.
  virtual void finish() = 0;

  /// When the case is ready by time.
  [[nodiscard]] virtual time_point deadline() const noexcept { return never; }
  /// Whether the case is ready when no other is.
  [[nodiscard]] virtual bool is_otherwise() const noexcept { return false; }
  /// Null for all but channels.
  [[nodiscard]] virtual channel_case* as_channel() noexcept { return nullptr; }

protected:
  // Before it is used a case may be moved.
  select_entry(select_entry const&) noexcept = default;
  select_entry& operator=(select_entry const&) noexcept = default;
};

/// A case of a channel: what does not depend on its type.
class channel_case : public select_entry {
public:
  bool try_now() final;
  bool withdraw() noexcept final;
  [[nodiscard]] channel_case* as_channel() noexcept final { return this; }

  // For the engine, in this order. A case without a channel is never ready, and has no lock.
  [[nodiscard]] channel_lock* lock() const noexcept { return lock_; }
  /// Among the cases of the select: of those of one channel the first is queued first.
  void set_position(std::size_t position) noexcept { position_ = position; }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  void hold() { held_.emplace(*lock_, current_worker()); }
  [[nodiscard]] bool holds() const noexcept { return held_.has_value(); }
  /// Another attempt, under the lock.
  bool try_holding(channel_lock::section const& held) { return attempt(held, then_.emplace()); }
  [[nodiscard]] channel_lock::section const& held() const noexcept { return *held_; }
  void queue(waiter& w) noexcept;
  void release() noexcept { held_.reset(); }
  void wake_other() noexcept { then_.reset(); }

  /// Whoever chose this case could not complete it, and wants it tried again.
  [[nodiscard]] bool is_to_try_again() const noexcept { return node_.end == channel_node::fate::again; }
  /// It is not tried at once: the next in line may be.
  virtual void let_next_try() noexcept {}

protected:
  channel_case(channel_lock* lock, channel_line* line) noexcept : lock_(lock), line_(line) {}
  channel_case(channel_case const& other) noexcept : select_entry(other), lock_(other.lock_), line_(other.line_) {}
  channel_case& operator=(channel_case const&) = delete;

  /// @returns whether it has been committed; finish() throws where that is by end_closed()
  virtual bool attempt(channel_lock::section const& held, wake_afterwards<waiter>& then) = 0;
  /// Where the value is, or is to go.
  [[nodiscard]] virtual void* place() noexcept = 0;
  [[nodiscard]] bool ended_closed() const noexcept { return node_.end == channel_node::fate::closed; }
  void end_closed() noexcept { node_.end = channel_node::fate::closed; }
  /// From now on it is never ready.
  void retire() noexcept { lock_ = nullptr; }

private:
  bool enroll(waiter&) noexcept final { return false; }

  channel_lock* lock_;
  channel_line* line_;
  std::size_t position_ = 0;
  channel_node node_{nullptr};
  std::optional<wake_afterwards<waiter>> then_;
  std::optional<channel_lock::section> held_;
};

/// What select_among() needs beside the cases: as many places of each kind.
struct select_room {
  std::span<select_entry*> order;
  std::span<channel_case*> channels;
};

/// @returns the number of the case that was chosen, whose handler has been called
std::size_t select_among(std::span<select_entry* const> cases, select_room room);

}  // namespace weft::inline v0::detail
