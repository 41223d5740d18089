#pragma once
/// @file
/// Signals as values: received by fibers, one after another, in code that may wait and throw.
///
///     weft::io::signal_stream signals{SIGINT, SIGTERM};
///     for (int const number : signals) { ... }
///     weft::select(weft::on_signal(signals, [](int number) { ... }), weft::on_receive(work, ...));
///
/// A handler counts for each stream what has come, and wakes a fiber of the stream's, which moves it into a channel.

#include <weft/runtime/task.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/select.hpp>

#include <chrono>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>

namespace weft::inline v0::detail {
class signal_inbox;
template <class F>
struct signal_handler;
}  // namespace weft::inline v0::detail

namespace weft::inline v0::io {

/// While it lives, the signals come here, to every stream that asks for them; not to weft::run(), nor to whoever
/// handled them before. The last stream of a signal gives the disposition back, unless somebody else has changed it.
///
/// Each time that a handler runs counts: until the stream is closed nothing is lost, but what the system makes one of,
/// because a signal that is pending already is sent again. Different signals may change order. Some thread of the
/// program must leave them open, as all do unless told not to, but weft's own.
/// @par Thread safety
/// Any member, from any fiber and thread, at once; only the constructor and the destructor need to be alone. Each
/// signal goes to one of those who receive from the same stream.
class signal_stream {
public:
  using iterator = channel<int>::iterator;

  /// @throws std::system_error  std::errc::invalid_argument for no signals, and for those that cannot be caught, or
  /// tell
  ///   of a fault; what the system says if there is no descriptor. std::errc::resource_unavailable_try_again with more
  ///   than 256 streams. no_runtime outside of a fiber; error in a simulation.
  signal_stream(std::initializer_list<int> signals);
  signal_stream(signal_stream const&) = delete;
  ~signal_stream();

  /// The next signal; waits while there is none.
  /// @returns nothing if the stream is closed, or its runtime shuts down, and what was ready for receive() has been
  ///   taken: the first 16 of those that had come and not been received. The others are dropped
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled means that nothing was taken.
  [[nodiscard]] std::optional<int> receive() { return arrived_->receive(); }
  /// Nothing if there is none yet. Never waits.
  [[nodiscard]] std::optional<int> try_receive() { return arrived_->try_receive(); }
  /// As receive(), waiting at most `limit`.  @throws timeout_error  A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<int> receive_for(std::chrono::duration<Rep, Period> limit) {
    return arrived_->receive_for(limit);
  }
  /// As receive(), waiting at most until `deadline`.  @throws timeout_error  A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<int> receive_until(std::chrono::time_point<Clock, Duration> deadline) {
    return arrived_->receive_until(deadline);
  }

  /// Ends it for all who receive. Does not wait. The signals stay this stream's until it is destroyed.
  void close() noexcept { mover_.cancel(); }
  /// Whether no more come: it was closed, or its runtime shuts down.
  [[nodiscard]] bool closed() const noexcept { return arrived_->closed(); }

  /// An input range of all that is received until it is closed.
  [[nodiscard]] iterator begin() { return arrived_->begin(); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
  template <class F>
  friend struct detail::signal_handler;

  void move_all();

  std::unique_ptr<detail::signal_inbox> inbox_;
  std::shared_ptr<channel<int>> arrived_;  // closed when the mover has ended, which may be told later than that
  task<void> mover_;
};

}  // namespace weft::inline v0::io

namespace weft::inline v0 {

namespace detail {
template <class F>
struct signal_handler {
  F f;
  void operator()(std::optional<int> number) {
    if (!number) throw_channel_closed();
    if constexpr (std::invocable<F&, int>) {
      std::invoke(f, *number);
    } else {
      std::invoke(f);
    }
  }
  static auto make_case(io::signal_stream& from, F f) {
    return on_receive(*from.arrived_, signal_handler{std::move(f)});
  }
};
}  // namespace detail

/// A case of select(): receives a signal, and calls `f(number)` or `f()`. If the stream is closed, the case is ready,
/// and select() throws `channel_closed`.
template <class F = detail::no_handler>
  requires std::invocable<F&, int> || std::invocable<F&>
[[nodiscard]] auto on_signal(io::signal_stream& from, F f = {}) {
  return detail::signal_handler<F>::make_case(from, std::move(f));
}

}  // namespace weft::inline v0
