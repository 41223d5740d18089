#pragma once
/// @file
/// What all I/O objects hold: a descriptor that is open until it is closed, and the one loop in which every operation
/// on it consists of attempts and waits.

#include <weft/io/detail/system_calls.hpp>
#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/detail/polled_descriptor.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/types.h>
#include <system_error>
#include <utility>

namespace weft::inline v0::detail {

[[nodiscard]] inline std::error_code system_error_of(ssize_t negative) noexcept {
  return {static_cast<int>(-negative), std::generic_category()};
}

/// What an operation on a closed descriptor gives, and one that waits while it is closed.
[[nodiscard]] inline std::error_code closed_error() noexcept {
  return std::make_error_code(std::errc::bad_file_descriptor);
}

/// For a wait within `in_use` that did not end with readiness: what that means to an operation.
/// @param tried  a call has been tried already; if not, who cannot wait is to try at any rate
/// @returns whether a call is worth trying; else `ec` says what is wrong
[[nodiscard]] bool after_wait(descriptor_outcome outcome, polled_descriptor::use& in_use, readiness what, bool tried,
                              std::error_code& ec);

/// Waits within `in_use`.  @returns as after_wait().  A cancellation point
/// @param read  as of use::wait_on_fiber()
[[nodiscard, gnu::always_inline]] inline bool await_ready(polled_descriptor::use& in_use, readiness what, bool tried,
                                                          std::error_code& ec, read_by_loop* read = nullptr) {
  try {
    auto const outcome = in_use.wait_on_fiber(what, read);
    return outcome == descriptor_outcome::ready || after_wait(outcome, in_use, what, tried, ec);
  } catch (std::system_error const& e) {
    ec = e.code();
    return false;
  }
}

/// What clear() does, but for a call, where there is nothing to clear.
inline void clear(std::error_code& ec) noexcept {
  if (ec) [[unlikely]]
    ec.clear();
}

/// Movable, while no operation is under way; close() alone may be called beside others.
class open_descriptor {
public:
  /// None: all operations fail as on a closed one.
  open_descriptor() noexcept = default;
  /// Takes over `number`, which came from `calls`. If there is no memory, it is closed, and std::bad_alloc is thrown.
  open_descriptor(int number, system_calls& calls);
  open_descriptor(open_descriptor&& other) noexcept : polled_(std::move(other.polled_)), calls_(other.calls_) {}
  open_descriptor& operator=(open_descriptor&& other) noexcept {
    if (this != &other) {
      close();
      polled_ = std::move(other.polled_);
      calls_ = other.calls_;
    }
    return *this;
  }
  ~open_descriptor() { close(); }

  [[nodiscard]] bool is_open() const noexcept { return polled_ != nullptr && !polled_->closed(); }
  /// -1: none, or closed by now, and others may have the number.
  [[nodiscard]] int number() const noexcept { return is_open() ? polled_->number() : -1; }
  [[nodiscard]] system_calls& calls() const noexcept { return *calls_; }
  /// Whether its system calls are the kernel's own.
  [[nodiscard]] bool is_kernels() const noexcept { return calls_ != nullptr && calls_->are_kernels(); }
  /// Null: none.
  [[nodiscard]] polled_descriptor* polled() const noexcept { return polled_.get(); }

  /// Wakes all who wait, with closed_error(), and closes. Any thread; does not wait.
  void close() noexcept;

  /// Repeats `attempt(calls, number)`, which makes one system call, until that does not fail for want of readiness, and
  /// waits in between. Who never has to wait lets other fibers run from time to time.
  /// @param asked  as much as it can do: if it does less, the next operation waits first
  /// @param read  the same attempt, which the loop may make meanwhile, of `asked` bytes; or null
  /// @returns what `attempt` has, or -1 with `ec` set
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled means that nothing was done.
  template <class Attempt>
  [[gnu::always_inline]] inline ssize_t perform(readiness what, std::size_t asked, std::error_code& ec,
                                                Attempt&& attempt, read_by_loop* read = nullptr) {
    if (is_enough_in_a_row()) [[unlikely]]
      yield();  // not in use: close() waits until it is not, or waits
    if (polled_ == nullptr) return fail_closed(ec);
    polled_descriptor& of = *polled_;  // what is in use stays, even if close() has let go of the rest meanwhile
    bool must_wait = !of.seems_ready(what);
    polled_descriptor::use in_use{of, must_wait};
    if (!in_use) [[unlikely]]
      return fail_closed(ec);
    if (!must_wait) check_cancelled();  // as each wait does
    for (bool tried = false;; tried = true) {
      auto done = read_by_loop::not_made;
      if (must_wait) {
        in_a_row_.store(0, std::memory_order_relaxed);
        if (!await_ready(in_use, what, tried, ec, read)) [[unlikely]]
          return -1;
        if (read != nullptr) done = std::exchange(read->result, read_by_loop::not_made);
      }
      bool const by_loop = done != read_by_loop::not_made;
      if (!by_loop) done = try_once(what, asked, attempt);
      if (done >= 0) {
        clear(ec);
        return done;
      }
      must_wait = done == -EAGAIN || done == -EWOULDBLOCK;
      if (must_wait) continue;
      if (done != -EINTR) {
        of.not_exhausted(what);  // nothing has been taken of what there may be
        return fail(ec, system_error_of(done));
      }
      if (by_loop && !in_use.resume()) return fail(ec, closed_error());
    }
  }

  /// One call that never has to wait.  @returns as perform()
  template <class Call>
  int call(std::error_code& ec, Call&& make) const {
    if (polled_ == nullptr) return static_cast<int>(fail(ec, closed_error()));
    polled_descriptor::use const in_use{*polled_};
    if (!in_use) return static_cast<int>(fail(ec, closed_error()));
    int const result = make(*calls_, polled_->number());
    if (result < 0) return static_cast<int>(fail(ec, system_error_of(result)));
    clear(ec);
    return result;
  }

private:
  /// One attempt, and what it tells of readiness.
  template <class Attempt>
  [[gnu::always_inline]] inline ssize_t try_once(readiness what, std::size_t asked, Attempt& attempt) {
    auto const seen = polled_->events();
    ssize_t const done = attempt(*calls_, polled_->number());
    if (done >= 0) {
      static_cast<std::size_t>(done) < asked ? polled_->exhausted(what, seen) : polled_->not_exhausted(what);
    } else if (done == -EAGAIN || done == -EWOULDBLOCK) {
      polled_->exhausted(what, seen, true);
    }
    return done;
  }

  /// At each so many operations after another that need not wait: of a flood there is always more, and what waits for
  /// this worker, timers and other descriptors too, would wait for its end.
  bool is_enough_in_a_row() noexcept {
    constexpr std::uint8_t most = 64;
    // relaxed: nothing depends on it, and of operations on several threads some may go uncounted.
    auto const count = static_cast<std::uint8_t>(in_a_row_.load(std::memory_order_relaxed) + 1);
    in_a_row_.store(count % most, std::memory_order_relaxed);
    return count == most;
  }

  static ssize_t fail_closed(std::error_code& ec) {
    check_cancelled();
    return fail(ec, closed_error());
  }
  static ssize_t fail(std::error_code& ec, std::error_code why) noexcept {
    ec = why;
    return -1;
  }

  owned_descriptor polled_;
  system_calls* calls_ = nullptr;
  std::atomic<std::uint8_t> in_a_row_{0};
};

/// The descriptor of an I/O object, whose friend this is.
struct descriptor_access {
  template <class T>
  static auto of(T const& object) noexcept -> decltype((object.descriptor_)) {
    return object.descriptor_;
  }
  /// To read or write.
  template <class T>
  static auto changing(T& object) noexcept -> decltype((object.descriptor_)) {
    return object.descriptor_;
  }
};
template <class T>
concept has_descriptor = requires(T const& object) {
  { descriptor_access::of(object) } -> std::same_as<open_descriptor const&>;
};

}  // namespace weft::inline v0::detail
