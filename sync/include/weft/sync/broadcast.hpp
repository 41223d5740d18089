#pragma once
/// @file
/// `broadcast`: each value goes to every subscriber. After Tokio's channel of that name (tokio::sync::broadcast): the
/// newest values are in a ring, and each subscriber knows how far it has read. A sender never waits; who is slow misses
/// what has been overwritten, and learns how much that was.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/error.hpp>
#include <weft/sync/detail/news.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace weft::inline v0 {

/// A subscriber has been too slow: values that it had not read yet have been overwritten. Its next call goes on with
/// the oldest value that is still there.
class subscriber_lagged : public error {
public:
  explicit subscriber_lagged(std::uint64_t missed)
      : error(std::string("weft::broadcast: values that a subscriber has missed: ").append(std::to_string(missed))),
        missed_(missed) {}
  /// How many values it will never see.
  [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }

private:
  std::uint64_t missed_;
};

/// The sending side. Subscribers may outlive it.
/// @tparam T  kept once for all, and copied for each subscriber
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that was done before send() is visible to whoever receives the value.
template <std::copy_constructible T>
class broadcast {
public:
  class subscriber;

  /// @param capacity  values that are kept for who has not read them yet; the newest stay until they are overwritten
  /// @throws std::invalid_argument  for 0
  explicit broadcast(std::size_t capacity) : state_(std::make_shared<state>(capacity)) {}
  broadcast(broadcast const&) = delete;
  broadcast& operator=(broadcast const&) = delete;
  /// Closes it.
  ~broadcast() { close(); }

  /// Sends `value` to all who have subscribed by now. Never waits.
  /// @returns how many those are; if there are none, nobody will ever see the value.  @throws channel_closed
  std::size_t send(T value) { return state_->send(std::make_shared<T const>(std::move(value))); }

  /// A new subscriber, which gets all that is sent from now on. After close() that is nothing.
  [[nodiscard]] subscriber subscribe() { return subscriber{state_}; }

  /// Nothing can be sent any more. Subscribers still get what was. Does not wait.
  void close() noexcept { state_->news.close(); }
  [[nodiscard]] bool closed() const noexcept {
    return state_->news.read([](std::uint64_t, bool closed) { return closed; });
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return state_->ring.size(); }
  /// How many subscribers there are. A hint where others use it at the same time.
  [[nodiscard]] std::size_t subscribers() const noexcept {
    return state_->news.read([this](std::uint64_t, bool) { return state_->subscribers; });
  }

private:
  struct state {
    explicit state(std::size_t capacity) : ring(capacity) {
      if (capacity == 0) throw std::invalid_argument("weft::broadcast: the capacity must be positive");
    }

    std::size_t send(std::shared_ptr<T const> value) {
      std::size_t receivers = 0;
      bool const sent = news.publish([&](std::uint64_t number) {
        ring[number % ring.size()].swap(value);  // what is overwritten dies outside of the lock
        receivers = subscribers;
      });
      if (!sent) throw channel_closed("weft::broadcast::send: it has been closed");
      return receivers;
    }

    detail::news news;
    // Guarded by the lock in `news`.
    std::vector<std::shared_ptr<T const>> ring;  // the n-th value is at n modulo the capacity
    std::size_t subscribers = 0;
  };

  std::shared_ptr<state> state_;
};

/// One who gets every value that is sent after it subscribed, in order; unsubscribes when it dies. Moves; what was
/// moved from can only be assigned to. One fiber or thread at a time uses it.
template <std::copy_constructible T>
class broadcast<T>::subscriber {
public:
  subscriber(subscriber&& other) noexcept = default;
  subscriber& operator=(subscriber&& other) noexcept {
    if (this != &other) {
      leave();
      state_ = std::move(other.state_);
      read_ = other.read_;
    }
    return *this;
  }
  ~subscriber() { leave(); }

  /// Waits for the next value. A cancellation point, even where it need not wait; cancelled means: nothing was read.
  /// @returns nothing if the broadcast has been closed and all has been read
  /// @throws subscriber_lagged  if values have been missed; what a copy throws, and then the value can be had again
  [[nodiscard]] std::optional<T> receive() { return receive_until_(never); }
  /// The next value if it has been sent already. Never waits.
  /// @returns nothing if not; closed() tells whether more may come.  @throws subscriber_lagged, and what a copy throws
  [[nodiscard]] std::optional<T> try_receive() { return next(); }
  /// Waits at most `limit`; with 0 it only tries.  @throws timeout_error, and as receive()
  template <class Rep, class Period>
  [[nodiscard]] std::optional<T> receive_for(std::chrono::duration<Rep, Period> limit) {
    return receive_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<T> receive_until(std::chrono::time_point<Clock, Duration> deadline) {
    return receive_until_(detail::to_deadline(deadline));
  }

  /// Whether it has been closed, and all has been read.
  [[nodiscard]] bool closed() const noexcept {
    return state_->news.read([this](std::uint64_t sent, bool closed) { return closed && sent == read_; });
  }

private:
  friend class broadcast;
  explicit subscriber(std::shared_ptr<state> of) noexcept : state_(std::move(of)) {
    read_ = state_->news.read([this](std::uint64_t sent, bool) {
      ++state_->subscribers;
      return sent;
    });
  }

  void leave() noexcept {
    if (state_ == nullptr) return;
    state_->news.read([this](std::uint64_t, bool) { --state_->subscribers; });
    state_.reset();
  }

  std::optional<T> receive_until_(time_point deadline) {
    if (!state_->news.wait_past(read_, deadline)) throw timeout_error("weft::broadcast: nothing was sent in time");
    return next();
  }

  std::optional<T> next() {
    std::uint64_t missed = 0;
    auto const value = state_->news.read([&](std::uint64_t sent, bool) -> std::shared_ptr<T const> {
      auto const& ring = state_->ring;
      auto const unread = sent - read_;
      if (unread > ring.size()) missed = unread - ring.size();
      return unread == 0 || missed != 0 ? nullptr : ring[read_ % ring.size()];
    });
    if (missed != 0) {
      subscriber_lagged const lagged{missed};  // what fails here does not hide that something was missed
      read_ += missed;
      throw lagged;
    }
    if (value == nullptr) return std::nullopt;
    std::optional<T> copy{*value};  // outside of the lock
    ++read_;
    return copy;
  }

  std::shared_ptr<state> state_;
  std::uint64_t read_ = 0;  // how many of those that were sent it has read, or missed, or came too late for
};

}  // namespace weft::inline v0
