#pragma once
/// @file
/// The fibers that one call spawns, joins and outlives: gather() and race().
///
/// One of them may decide the call, by how it ends, and then the others are cancelled. That may happen while the caller
/// still spawns, on another worker: so the word in which it is noted has a bit that the caller sets when the list of
/// records is complete. Whoever comes second of the two cancels. Records stay until all have ended, so that the one
/// that decides finds the others.

#include <weft/runtime/detail/task_record.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0::detail {

/// What makes a sibling decide the call.
enum class decided_by : unsigned char { nobody, failure, end };

/// Lives on the caller's stack.
class siblings {
public:
  /// @throws cancelled, if the caller has been cancelled; no_runtime outside of a fiber, saying that of `call`
  siblings(char const* call, decided_by what);
  siblings(siblings const&) = delete;
  /// What has not been joined is cancelled and joined. Failures that nobody took go to `on_unhandled_exception`.
  ~siblings();

  /// Where the records are noted: room for one more than there are. May move while undecided.
  void use(fiber_record** room) noexcept { members_ = room; }

  /// Spawns `f()` as one more. `f` is moved into the fiber.
  /// @throws what weft::spawn() throws
  template <class F>
  void spawn(F f) {
    auto t = make_task<std::invoke_result_t<F&>, std::is_trivially_copyable_v<F>>(nullptr, nullptr, std::move(f));
    members_[size_++] = task_access::release(t);
  }
  /// Whether it has been decided already: then no more need to be spawned.  relaxed: a hint.
  [[nodiscard]] bool decided() const noexcept { return (word_.load(std::memory_order_relaxed) & ~complete) != 0; }

  /// Waits until all have ended. If the caller is cancelled meanwhile, they are, for the same reason.
  /// @throws the failure that decided, if one did; else cancelled, if the caller was
  void join();

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// After join(): which one decided, or the number of siblings.
  [[nodiscard]] std::size_t decisive() const noexcept;
  /// After join(): the record with the result.
  template <class T>
  [[nodiscard]] result_record<T>& result(std::size_t index) noexcept {
    return static_cast<result_record<T>&>(*members_[index]);
  }
  /// Throws the exception with which one has ended in place of a result, if it has.
  void check(std::size_t index) {
    if (members_[index]->error) [[unlikely]]
      rethrow(*members_[index]);
  }

  /// What a sibling says, on its fiber: it has returned; an exception left it; `cancelled` left it, its own or that of
  /// another.
  void returned() noexcept {
    if (decided_by_ == decided_by::end) decide();
  }
  void failed() noexcept {
    if (decided_by_ != decided_by::nobody) decide();
  }
  /// Said for one that had no stack to run on.
  void failed(fiber_record& sibling) noexcept {
    if (decided_by_ != decided_by::nobody) decide(sibling);
  }
  void failed(cancelled const& by) noexcept;

private:
  static constexpr std::uintptr_t complete = 1;

  void decide() noexcept;
  void decide(fiber_record& sibling) noexcept;
  void cancel_all(cancel_reason reason) noexcept;
  [[nodiscard]] fiber_record* first() const noexcept;
  [[noreturn]] static void rethrow(fiber_record& of);

  std::atomic<std::uintptr_t> word_{0};  // record of the one that decided | bit 0: complete
  fiber_record** members_ = nullptr;     // the caller's, and, once complete, read by the one that decides
  std::size_t size_ = 0;                 // as members_
  decided_by const decided_by_;
  bool joined_ = false;
};

/// What a sibling runs: the caller's own callable if `F` is a reference, which it is borrowed by, or one that it owns.
template <class F>
class sibling {
public:
  using result = std::invoke_result_t<std::remove_reference_t<F>&>;

  template <class G>
  sibling(G&& f, siblings& family) : f_(keep(std::forward<G>(f))), family_(&family) {}

  result operator()() {
    try {
      if constexpr (std::is_void_v<result>) {
        std::invoke(callable());
        family_->returned();
      } else if constexpr (std::is_reference_v<result>) {
        auto&& value = std::invoke(callable());
        family_->returned();
        return static_cast<result>(value);
      } else {
        result value = std::invoke(callable());
        family_->returned();
        return value;
      }
    } catch (cancelled const& c) {
      family_->failed(c);
      throw;
    } catch (...) {
      family_->failed();
      throw;
    }
  }

  /// In place of the call: `self` is this one's own.
  void never_ran(fiber_record& self) noexcept { family_->failed(self); }

private:
  static constexpr bool borrows = std::is_reference_v<F>;
  using kept = std::conditional_t<borrows, std::remove_reference_t<F>*, F>;

  template <class G>
  static kept keep(G&& f) {
    if constexpr (borrows) {
      return std::addressof(f);
    } else {
      return std::forward<G>(f);
    }
  }
  auto& callable() noexcept {
    if constexpr (borrows) {
      return *f_;
    } else {
      return f_;
    }
  }

  kept f_;
  siblings* family_;
};

template <class F>
inline constexpr bool is_sibling_callable<sibling<F>> = true;

/// What can be run without arguments.
template <class F>
concept plain_callable = std::invocable<std::remove_reference_t<F>&>;

template <plain_callable F>
using plain_result = std::invoke_result_t<std::remove_reference_t<F>&>;

}  // namespace weft::inline v0::detail
