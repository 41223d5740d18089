#pragma once
/// @file
/// What a promise and its futures share: one allocation, counted by its owners.
///
/// States: (empty) --claim, by one setter--> claimed --publish--> ready. A setter whose value throws while it is copied
/// gives the claim back. The value and the exception belong to the holder of the claim until `ready`, and then to the
/// readers. Who publishes does not touch the state afterwards: it may be gone as soon as anyone sees it ready.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace weft::inline v0::detail {

class future_state {
public:
  future_state() noexcept = default;
  future_state(future_state const&) = delete;
  virtual ~future_state() = default;

  /// relaxed: who adds an owner is one.
  void add_owner() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void drop_owner() noexcept {
    // release: all that this owner did comes before the deletion; acquire: pairs with the others' releases.
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// Once.  @throws std::future_error  future_already_retrieved
  void retrieve();
  [[nodiscard]] bool is_ready() const noexcept { return (list_.flags() & ready) != 0; }
  /// @param reason  a literal, see waiter
  /// @returns is_ready()  @throws cancelled
  bool wait(time_point deadline, char const* reason = "future", cancellation mode = cancellation::heeded);
  /// Waits for a value that is lost if nobody takes it: who leaves without one takes the claim, so that no setter can
  /// think to have given one. Where it is ready, no cancellation point.
  /// @returns is_ready()  @throws cancelled
  bool await(time_point deadline, char const* reason);

  /// @throws std::future_error  promise_already_satisfied
  void claim();
  /// acquire: what a setter who gave the claim back did to the value comes before what the next does.
  [[nodiscard]] bool try_claim() noexcept { return !claimed_.exchange(true, std::memory_order_acquire); }
  /// release: pairs with try_claim().
  void give_back_claim() noexcept { claimed_.store(false, std::memory_order_release); }
  /// After claim(): makes the state ready and wakes who waits. It may be gone when this returns.
  void publish() noexcept;
  void publish(std::exception_ptr error) noexcept {
    error_ = std::move(error);
    publish();
  }
  /// @throws std::future_error  promise_already_satisfied; std::invalid_argument for a null pointer
  void set_exception(std::exception_ptr error);
  /// @returns false if it is set already
  bool try_set_exception(std::exception_ptr error) noexcept;
  /// The promise is gone: breaks it, if it was not kept.
  /// @param why  what broken_promise says
  void abandon(char const* why = "weft::promise: dropped before it was given a value or an exception") noexcept;

protected:
  void rethrow_error() const {
    if (error_) std::rethrow_exception(error_);
  }

private:
  static constexpr auto ready = wait_list::flag_a;

  wait_list list_;                        // flag_a: ready
  std::exception_ptr error_;              // the claim's holder writes it, before `ready`
  std::atomic<std::uint32_t> owners_{1};  // the promise and its futures
  std::atomic<bool> claimed_{false};      // by who sets, anywhere
  std::atomic<bool> retrieved_{false};    // by get_future(), anywhere
};

template <class T>
class future_value final : public future_state {
public:
  using stored = std::conditional_t<std::is_void_v<T>, char,
                                    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;
  future_value() noexcept {}
  ~future_value() override {
    if (has_value_) std::destroy_at(std::addressof(value_));
  }

  /// For who must not throw: an exception of making the value goes in its place.  @returns false if it is set already
  template <class... V>
  bool try_set(V&&... value) noexcept {
    if (!try_claim()) return false;
    try {
      ::new (static_cast<void*>(std::addressof(value_))) stored(std::forward<V>(value)...);
      has_value_ = true;
      publish();
    } catch (...) {
      publish(std::current_exception());
    }
    return true;
  }

  template <class... V>
  void set(V&&... value) {
    claim();
    try {
      ::new (static_cast<void*>(std::addressof(value_))) stored(std::forward<V>(value)...);
    } catch (...) {
      give_back_claim();
      throw;
    }
    has_value_ = true;
    publish();
  }

  /// The value, for the only reader; or throws the exception in its place. When ready.
  T take() {
    rethrow_error();
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(value_);
    }
  }

  /// The same for one of several readers.
  std::add_lvalue_reference_t<T const> look() const {
    rethrow_error();
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else if constexpr (!std::is_void_v<T>) {
      return value_;
    }
  }

private:
  union {
    stored value_;  // as error_
  };
  bool has_value_ = false;
};

/// An owner's pointer to the state.
template <class T>
class future_owner {
public:
  future_owner() noexcept = default;
  /// Takes over one count.
  explicit future_owner(future_value<T>* state) noexcept : state_(state) {}
  future_owner(future_owner const& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_owner();
  }
  future_owner(future_owner&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  future_owner& operator=(future_owner other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~future_owner() {
    if (state_ != nullptr) state_->drop_owner();
  }
  explicit operator bool() const noexcept { return state_ != nullptr; }
  /// @throws std::future_error  no_state
  [[nodiscard]] future_value<T>& checked() const;
  [[nodiscard]] future_value<T>* get() const noexcept { return state_; }

private:
  future_value<T>* state_ = nullptr;
};

[[noreturn]] void throw_no_state();

template <class T>
future_value<T>& future_owner<T>::checked() const {
  if (state_ == nullptr) throw_no_state();
  return *state_;
}

}  // namespace weft::inline v0::detail
