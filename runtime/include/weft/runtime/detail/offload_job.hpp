#pragma once
/// @file
/// A call on its way through a pool of threads. Two kinds: one that lives on its caller's stack, refers to what is
/// there, and is therefore always waited for; and one that owns all that it touches, which its caller may leave.
///
/// The job's `end` says who is done with it: `ended`, set by the pool's thread, and `left`, set by the caller. A caller
/// that sees `ended` takes the result; a thread that sees `left` frees the job.

#include <weft/runtime/detail/context.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft::inline v0::detail {

class job_pool;
class scheduler;

struct offload_job {
  static constexpr std::uintptr_t ended = wait_list::flag_a;
  static constexpr std::uintptr_t left = wait_list::flag_b;

  offload_job() = default;
  offload_job(offload_job const&) = delete;

  /// On the pool's thread.
  virtual void run() noexcept = 0;
  /// Of a job that has run: what it threw, or null.
  [[nodiscard]] virtual std::exception_ptr failure() const noexcept = 0;
  /// Frees a job that has been left.
  virtual void discard() noexcept {}

  offload_job* next = nullptr;  ///< guarded by the pool, while queued; by the runtime's left_jobs, once left
  offload_job* prev = nullptr;  ///< as `next`, once left
  wait_list end{};

  // Set by the caller before the job is queued, then constant.
  std::string_view name{};         ///< the caller's, or the job's own where it may be left
  std::string_view caller_name{};  ///< as `name`
  std::uint64_t caller = 0;        ///< the calling fiber's id; 0: a thread
  job_pool* pool = nullptr;
  scheduler* home = nullptr;      ///< the calling fiber's runtime; null: a thread
  offload_job* within = nullptr;  ///< the job that made this call and waits for it
  bool may_be_left = false;
  context_ref context{};   ///< the caller's; taken over by the pool's thread
  std::int64_t since = 0;  ///< when it started; written by the pool, under its lock

protected:
  ~offload_job() = default;
};

/// Where a call goes.
struct job_route {
  enum class kind : unsigned char { computing, blocking };
  job_pool* pool = nullptr;           ///< null: of the caller's runtime
  kind of_runtime = kind::computing;  ///< which, then
};

/// What became of a call.
enum class job_outcome : unsigned char {
  ended,      ///< the result is there
  cancelled,  ///< there is none; the job is the caller's again
  left        ///< there is none; the job belongs to the pool
};

/// Passes `job` through a pool and waits for it. If the caller is cancelled meanwhile, `stop` is requested; a job that
/// has not begun is taken back, one that runs is waited for, unless it may be left.
/// @throws no_runtime  if a runtime's pool is meant, and there is none
/// @throws runtime_stopped  if the pool takes no more calls
[[nodiscard]] job_outcome pass_job(job_route route, offload_job& job, std::stop_source& stop, bool may_leave);
[[noreturn]] void throw_cancelled();
/// The name of the calling fiber, or an empty one.
[[nodiscard]] std::string_view caller_name() noexcept;

/// What a call returned or threw.
template <class T>
class job_result {
public:
  template <class F>
  void keep(F&& f) noexcept {
    try {
      if constexpr (std::is_void_v<T>) {
        f();
      } else if constexpr (std::is_reference_v<T>) {
        auto&& result = f();
        value_ = std::addressof(result);
      } else {
        value_.emplace(f());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  T take() && {
    if (error_) std::rethrow_exception(error_);
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(*value_);
    }
  }
  [[nodiscard]] std::exception_ptr const& error() const noexcept { return error_; }

private:
  std::exception_ptr error_;
  std::conditional_t<std::is_void_v<T>, char,
                     std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::optional<T>>>
      value_{};
};

/// On the caller's stack, and refers to it.
template <class T, class F>
class borrowed_job final : public offload_job {
public:
  explicit borrowed_job(F& f) noexcept : f_(f) {}
  void run() noexcept override { result_.keep(f_); }
  [[nodiscard]] std::exception_ptr failure() const noexcept override { return result_.error(); }
  T take() && { return std::move(result_).take(); }

private:
  F& f_;
  job_result<T> result_;
};

template <class F, class... Args>
inline constexpr bool takes_token = std::is_invocable_v<F, std::stop_token, Args...>;

template <class F, class... Args>
decltype(auto) call_with_token(std::stop_source const& stop, F&& f, Args&&... args) {
  if constexpr (takes_token<F, Args...>) {
    return std::invoke(std::forward<F>(f), stop.get_token(), std::forward<Args>(args)...);
  } else {
    (void)stop;
    return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
  }
}

template <class F, class... Args>
using job_result_of = decltype(call_with_token(std::declval<std::stop_source const&>(), std::declval<F>(),
                                               std::declval<Args>()...));

/// A stop source costs an allocation: only for who looks at it.
template <bool Wanted>
[[nodiscard]] std::stop_source make_stop_source() {
  if constexpr (Wanted) {
    return std::stop_source{};
  } else {
    return std::stop_source{std::nostopstate};
  }
}

/// Owns all that it touches.
template <class T, class F, class... Args>
class owned_job final : public offload_job {
public:
  template <class G, class... As>
  explicit owned_job(std::string_view job_name, G&& f, As&&... args)
      : name_(job_name), caller_name_(detail::caller_name()), f_(std::forward<G>(f)), args_(std::forward<As>(args)...) {
    name = name_;
    caller_name = caller_name_;
  }

  void run() noexcept override {
    result_.keep([this]() -> T {
      return std::apply([this](Args&... args) -> T { return call_with_token(stop, std::move(f_), std::move(args)...); },
                        args_);
    });
  }
  [[nodiscard]] std::exception_ptr failure() const noexcept override { return result_.error(); }
  void discard() noexcept override { delete this; }
  T take() && { return std::move(result_).take(); }

  std::stop_source stop = make_stop_source<takes_token<F, Args...>>();

private:
  std::string name_;
  std::string caller_name_;
  F f_;
  std::tuple<Args...> args_;
  job_result<T> result_;
};

template <class T>
inline constexpr bool is_reference_wrapper = false;
template <class T>
inline constexpr bool is_reference_wrapper<std::reference_wrapper<T>> = true;

}  // namespace weft::inline v0::detail
