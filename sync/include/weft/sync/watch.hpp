#pragma once
/// @file
/// `watch`: the latest value, and waiting for a newer one. After Tokio's channel of that name (tokio::sync::watch). A
/// receiver that is slow misses what has been replaced meanwhile; it never falls behind.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/error.hpp>
#include <weft/sync/detail/news.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace weft::inline v0 {

/// The sending side: a configuration, a progress, a state. Receivers may outlive it.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that was done before send() is visible to whoever sees the value.
template <std::move_constructible T>
class watch {
public:
  class receiver;

  explicit watch(T initial = T()) : state_(std::make_shared<state>(share(std::move(initial)))) {}
  watch(watch const&) = delete;
  watch& operator=(watch const&) = delete;
  /// Closes it.
  ~watch() { close(); }

  /// Replaces the value and wakes all who wait for a newer one. Never waits.  @throws channel_closed
  void send(T value) { state_->send(share(std::move(value))); }

  /// A new receiver. It waits for values that are newer than the present one, and can look at that.
  [[nodiscard]] receiver subscribe() { return receiver{state_}; }

  /// A copy of the latest value.
  [[nodiscard]] T get() const
    requires std::copy_constructible<T>
  {
    return *borrow();
  }
  /// The latest value itself. It stays as it is while one holds it, whatever is sent meanwhile.
  [[nodiscard]] std::shared_ptr<T const> borrow() const { return state_->look().value; }

  /// Nothing can be sent any more; the latest value stays. Does not wait.
  void close() noexcept { state_->news.close(); }
  [[nodiscard]] bool closed() const noexcept { return state_->look().closed; }

private:
  static std::shared_ptr<T const> share(T&& value) { return std::make_shared<T const>(std::move(value)); }

  struct sight {
    std::shared_ptr<T const> value;
    std::uint64_t version;
    bool closed;
  };

  struct state {
    explicit state(std::shared_ptr<T const> initial) noexcept : value(std::move(initial)) {}

    void send(std::shared_ptr<T const> newer) {
      // What is replaced dies outside of the lock.
      if (!news.publish([&](std::uint64_t) { value.swap(newer); })) {
        throw channel_closed("weft::watch::send: it has been closed");
      }
    }

    sight look() const noexcept {
      return news.read([this](std::uint64_t version, bool closed) { return sight{value, version, closed}; });
    }

    detail::news news;
    std::shared_ptr<T const> value;  // guarded by the lock in `news`
  };

  std::shared_ptr<state> state_;
};

/// One who waits for newer values: newer than those it has looked at, and than the one at the time of subscribe().
/// Copies and moves; what was moved from can only be assigned to. One fiber or thread at a time uses it.
template <std::move_constructible T>
class watch<T>::receiver {
public:
  /// Waits until there is a value that this receiver has not looked at. A cancellation point, even where it need not
  /// wait.  @returns false if there is none, and none will come: the watch has been closed
  [[nodiscard]] bool wait() { return wait_until_(never); }
  /// Waits at most `limit`; with 0 it only looks.  @returns false also if there was none in time
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }
  /// The same as changed(), under the name of the other forms. Never waits.
  [[nodiscard]] bool try_wait() const noexcept { return changed(); }
  /// Whether there is a value that this receiver has not looked at.
  [[nodiscard]] bool changed() const noexcept { return state_->look().version != seen_; }
  /// Whether there is none, and none will come.
  [[nodiscard]] bool closed() const noexcept {
    auto const now = state_->look();
    return now.closed && now.version == seen_;
  }

  /// Looks at the latest value, and copies it.
  [[nodiscard]] T get()
    requires std::copy_constructible<T>
  {
    return *borrow();
  }
  /// Looks at the latest value itself. It stays as it is while one holds it, whatever is sent meanwhile.
  [[nodiscard]] std::shared_ptr<T const> borrow() {
    auto now = state_->look();
    seen_ = now.version;
    return std::move(now.value);
  }

  /// wait() and get() in one.  @returns nothing if no newer value will come: the watch has been closed
  [[nodiscard]] std::optional<T> receive()
    requires std::copy_constructible<T>
  {
    return receive_until_(never);
  }
  /// A copy of a newer value if there is one. Never waits.
  [[nodiscard]] std::optional<T> try_receive()
    requires std::copy_constructible<T>
  {
    auto const now = state_->look();
    if (now.version == seen_) return std::nullopt;
    std::optional<T> copy{*now.value};  // outside of the lock
    seen_ = now.version;
    return copy;
  }
  /// Waits at most `limit`; with 0 it only tries.  @throws timeout_error
  template <class Rep, class Period>
  [[nodiscard]] std::optional<T> receive_for(std::chrono::duration<Rep, Period> limit)
    requires std::copy_constructible<T>
  {
    return receive_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same with a time point.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<T> receive_until(std::chrono::time_point<Clock, Duration> deadline)
    requires std::copy_constructible<T>
  {
    return receive_until_(detail::to_deadline(deadline));
  }

private:
  friend class watch;
  explicit receiver(std::shared_ptr<state> of) noexcept : state_(std::move(of)), seen_(state_->look().version) {}

  bool wait_until_(time_point deadline) { return state_->news.wait_past(seen_, deadline) && changed(); }

  std::optional<T> receive_until_(time_point deadline) {
    if (!state_->news.wait_past(seen_, deadline)) throw timeout_error("weft::watch: nothing was sent in time");
    return try_receive();
  }

  std::shared_ptr<state> state_;
  std::uint64_t seen_ = 0;  // how many had been sent when it last looked
};

}  // namespace weft::inline v0
