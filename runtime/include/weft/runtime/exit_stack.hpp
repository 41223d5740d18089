#pragma once
/// @file
/// `defer` and `exit_stack`: what is to be done at the end of a scope, whichever way that is left, and which may wait:
/// to say good-bye to a peer, to flush, to give back a lease. For one thing, known when the code is written, `defer`;
/// for as many as turn up at run time, `exit_stack`.
///
/// At the end of the scope, waits in such a callable ignore cancellation, like all waits of weft's destructors; what it
/// throws goes to `on_unhandled_exception`, also while another exception unwinds the stack.

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

namespace detail {

/// Calls `call(f)`, shielded from cancellation; passes what it throws on to `on_unhandled_exception`.
void call_at_exit(void (*call)(void*), void* f) noexcept;

}  // namespace detail

/// Calls `f()` at the end of the scope: `weft::defer const unlock{[&] { server.release(lease); }};`
/// @par Thread safety
/// As any local object's.
template <std::invocable F>
class [[nodiscard]] defer {
public:
  explicit defer(F f) noexcept(std::is_nothrow_move_constructible_v<F>) : f_(std::move(f)) {}
  defer(defer const&) = delete;
  /// Calls `f()`, unless it was released. It may wait, shielded; what it throws goes to `on_unhandled_exception`.
  ~defer() {
    if (!armed_) return;
    detail::call_at_exit([](void* f) { (void)std::invoke(std::move(*static_cast<F*>(f))); }, std::addressof(f_));
  }

  /// `f` is not called.
  void release() noexcept { armed_ = false; }

private:
  F f_;
  bool armed_ = true;
};

/// Callables and objects that are called and destroyed in the reverse order, when it dies or is closed.
/// @par Thread safety
/// One fiber or thread at a time, which may be any.
class exit_stack {
public:
  exit_stack() noexcept = default;
  /// Takes over what is in `other`, which is empty then: what was collected in a function may be handed to its caller.
  exit_stack(exit_stack&& other) noexcept
      : newest_(std::exchange(other.newest_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  /// First does what the destructor does.
  exit_stack& operator=(exit_stack&& other) noexcept {
    if (this == &other) return *this;
    unwind();
    newest_ = std::exchange(other.newest_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  /// Calls and destroys all, the newest first. Each may wait, shielded; what one throws goes to
  /// `on_unhandled_exception`, and the others follow.
  ~exit_stack() { unwind(); }

  /// `f()` is to be called.
  /// @throws std::bad_alloc, and what moving `f` throws; `f()` is then called at once, as by the destructor
  template <class F>
    requires std::invocable<F>
  void push(F f) {
    struct callback final : entry {
      explicit callback(F&& g) : f_(std::move(g)) {}
      void leave() override { (void)std::invoke(std::move(f_)); }
      F f_;
    };
    std::unique_ptr<entry> made;
    try {
      made = std::make_unique<callback>(std::move(f));
    } catch (...) {
      detail::call_at_exit([](void* g) { (void)std::invoke(std::move(*static_cast<F*>(g))); }, std::addressof(f));
      throw;
    }
    link(std::move(made));
  }

  /// Keeps `object`: it is to be destroyed.
  /// @returns it, where it is kept: it stays there
  /// @throws std::bad_alloc, and what moving `object` throws
  template <class T>
    requires std::move_constructible<std::decay_t<T>>
  std::decay_t<T>& enter(T&& object) {
    using stored = std::decay_t<T>;
    struct kept final : entry {
      explicit kept(T&& o) : object_(std::in_place, std::forward<T>(o)) {}
      void leave() override { object_.reset(); }
      std::optional<stored> object_;
    };
    auto made = std::make_unique<kept>(std::forward<T>(object));
    auto& place = *made->object_;
    link(std::move(made));
    return place;
  }

  /// Calls and destroys all now, the newest first, those too that are pushed meanwhile. Each gets its turn, whatever
  /// the others throw. Waits in them are as in any other call: a cancelled caller that must be sure takes a shield.
  /// @throws the first failure; the others go to `on_unhandled_exception`
  void close();

  /// Forgets all that was pushed: nothing of it is called. Objects that were entered are destroyed.
  void release() noexcept;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
  struct entry {
    entry() = default;
    entry(entry const&) = delete;
    virtual ~entry() = default;
    virtual void leave() = 0;
    entry* older = nullptr;
  };

  void link(std::unique_ptr<entry> made) noexcept {
    made->older = newest_;
    newest_ = made.release();
    ++size_;
  }
  [[nodiscard]] std::unique_ptr<entry> take() noexcept;
  void unwind() noexcept;

  entry* newest_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace weft::inline v0
