#pragma once
/// @file
/// `fiber`: a fiber with the handle of a `std::jthread`. For code that thinks in threads; what has a result is a
/// `task`.
///
/// Where it answers differently from `std::jthread`:
/// - An exception that leaves the callable does not end the process: it goes to `on_unhandled_exception`.
/// - request_stop(), and so the destructor, asks in the way that the callable can hear. One that takes a
///   `std::stop_token` sees it there, and nothing else happens to it: it ends when it likes, as a `std::jthread` does.
///   Any other is cancelled: its waits throw `cancelled`, so that a dropped fiber which waits for good does end.
/// - join() is a cancellation point.

#include <weft/runtime/error.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <concepts>
#include <functional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

/// A callable that a `fiber` can run with these arguments, with or without a `std::stop_token` before them.
template <class F, class... Args>
concept runs_as_fiber = std::constructible_from<std::decay_t<F>, F> &&
                        (std::constructible_from<std::decay_t<Args>, Args> && ...) &&
                        (std::invocable<std::decay_t<F>, std::decay_t<Args>...> ||
                         std::invocable<std::decay_t<F>, std::stop_token, std::decay_t<Args>...>);

/// Owns a running fiber. When the handle dies, the fiber is asked to stop and joined.
/// @par Thread safety
/// The handle is used by one fiber or thread at a time, which may be any, in or out of a runtime.
class [[nodiscard]] fiber {
public:
  using id = fiber_id;

  /// No fiber.
  fiber() noexcept = default;
  /// Runs `f(token, args...)` if `f` can be called so, else `f(args...)`, as a fiber of the caller's runtime. `f` and
  /// the arguments are moved or copied into the fiber.
  /// @throws what weft::spawn() throws: no_runtime, among others, when called outside of a fiber
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, fiber>) && runs_as_fiber<F, Args...>
  explicit fiber(F&& f, Args&&... args) {
    start([](auto&& body) { return spawn(std::forward<decltype(body)>(body)); }, std::forward<F>(f),
          std::forward<Args>(args)...);
  }
  /// The same with choices. With `detached` the handle is empty.
  template <class F, class... Args>
    requires runs_as_fiber<F, Args...>
  explicit fiber(spawn_options const& options, F&& f, Args&&... args) {
    start([&](auto&& body) { return spawn(options, std::forward<decltype(body)>(body)); }, std::forward<F>(f),
          std::forward<Args>(args)...);
  }
  /// The same in the runtime `home`, from anywhere.
  /// @throws runtime_stopped  when it is not running
  template <class F, class... Args>
    requires runs_as_fiber<F, Args...>
  explicit fiber(runtime& home, F&& f, Args&&... args) {
    start([&](auto&& body) { return home.spawn(std::forward<decltype(body)>(body)); }, std::forward<F>(f),
          std::forward<Args>(args)...);
  }

  fiber(fiber&& other) noexcept { swap(other); }
  /// Asks the fiber held before to stop, and joins it.
  fiber& operator=(fiber&& other) noexcept {
    if (this != &other) {
      drop();
      stop_ = std::stop_source{std::nostopstate};
      swap(other);
    }
    return *this;
  }
  /// request_stop(), then waits for the end, shielded from the caller's own cancellation. On the fiber itself: detaches
  /// it, and reports that to `on_unhandled_exception`.
  ~fiber() { drop(); }

  void swap(fiber& other) noexcept {
    std::swap(record_, other.record_);
    std::swap(takes_token_, other.takes_token_);
    stop_.swap(other.stop_);
  }
  friend void swap(fiber& a, fiber& b) noexcept { a.swap(b); }

  /// Whether there is a fiber that has been neither joined nor detached.
  [[nodiscard]] bool joinable() const noexcept { return record_ != nullptr; }
  /// The fiber's id; none if not joinable().
  [[nodiscard]] id get_id() const noexcept { return record_ != nullptr ? id{record_->id} : id{}; }

  /// Waits for the end; joinable() no longer.
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled means that the fiber is still joinable.
  /// @throws std::system_error  invalid_argument, if not joinable(); resource_deadlock_would_occur, on the fiber itself
  ///         or if fibers wait for each other in a circle
  void join();
  /// Lets the fiber go on by itself; joinable() no longer.
  /// @throws std::system_error  invalid_argument, if not joinable()
  void detach();

  /// Asks the fiber to stop: through its token if it takes one, else by cancelling it. Does not wait.
  /// @returns whether nobody had asked before; false for one that never was a fiber
  bool request_stop() noexcept { return request_stop(cancel_reason::user); }
  /// Cancels the fiber, whether it takes a token or not: its waits throw; see task::cancel().
  /// @throws std::system_error  invalid_argument, if not joinable()
  void cancel(cancel_reason reason = cancel_reason::user) const;
  /// The source of its token. A stop that is requested there is seen by those who look at the token, and cancels
  /// nobody.
  [[nodiscard]] std::stop_source get_stop_source() const noexcept { return stop_; }
  [[nodiscard]] std::stop_token get_stop_token() const noexcept { return stop_.get_token(); }

private:
  template <class Spawn, class F, class... Args>
  void start(Spawn spawn, F&& f, Args&&... args) {
    using callable = std::decay_t<F>;
    detail::check_callable<callable>(f);
    stop_ = std::stop_source{};
    takes_token_ = std::invocable<callable, std::stop_token, std::decay_t<Args>...>;
    task<void> started = spawn([token = stop_.get_token(), f = callable(std::forward<F>(f)),
                                args = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)]() mutable {
      std::apply(
          [&](auto&... arg) {
            if constexpr (std::invocable<callable, std::stop_token, std::decay_t<Args>...>) {
              (void)std::invoke(std::move(f), std::move(token), std::move(arg)...);
            } else {
              (void)std::invoke(std::move(f), std::move(arg)...);
            }
          },
          args);
    });
    record_ = std::exchange(started.record_, nullptr);
  }
  bool request_stop(cancel_reason reason) noexcept;
  void drop() noexcept;

  detail::fiber_record* record_ = nullptr;
  bool takes_token_ = false;
  std::stop_source stop_{std::nostopstate};
};

}  // namespace weft::inline v0
