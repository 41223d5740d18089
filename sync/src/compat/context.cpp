#include <weft/compat/context.hpp>

#include "thread_fibers.hpp"

#include <weft/compat/barrier.hpp>
#include <weft/compat/errors.hpp>
#include <weft/compat/fiber.hpp>
#include <weft/compat/future.hpp>
#include <weft/compat/wait_queue.hpp>
#include <weft/runtime/detail/context.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <system_error>
#include <utility>

namespace weft::inline v0::compat {

namespace {

/// The calling fiber's; null for one that was not made by `fibers::fiber`, until it first asks.
detail::context_ptr& context_of_fiber() {
  static auto& contexts = *new fiber_local<detail::context_ptr>;  // stays: fibers may be left when the program ends
  return contexts.get();
}

std::uint64_t new_number() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: it need only be unique
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Waiting
// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

bool wait_queue::wait_until(guard_lock& held, time_point deadline) {
  bool in_time = false;
  wait_in([&] { in_time = line_.wait_until(held, deadline) == std::cv_status::no_timeout; });
  return in_time;
}

bool wait_queue::leave_until(guard_lock& held, time_point deadline) {
  struct unlocks_only {
    guard_lock& held;
    void unlock() { held.unlock(); }
    void lock() noexcept {}
  } released{held};
  bool in_time = false;
  wait_in([&] { in_time = line_.wait_until(released, deadline) == std::cv_status::no_timeout; });
  return in_time;
}

void yield() {
  wait_in([] { weft::this_fiber::yield(); });
}

void sleep_until(time_point deadline) {
  wait_in([deadline] { weft::sleep_until(deadline); });
}

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------
// Fibers
// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

namespace {

/// A fiber's callable. It is destroyed on the fiber, or wherever a fiber is dropped that never ran.
class whole_fiber {
public:
  whole_fiber(context_ptr context, std::unique_ptr<fiber_body> body) noexcept
      : context_(std::move(context)), body_(std::move(body)) {}
  whole_fiber(whole_fiber&&) noexcept = default;
  ~whole_fiber() {
    if (context_ == nullptr) return;  // moved from
    body_.reset();
    fiber_access::end(*context_);
  }

  void operator()() {
    context_of_fiber() = context_;
    try {
      body_->run();
    } catch (cancelled const&) {
      throw;
    } catch (...) {
      std::terminate();
    }
  }

private:
  context_ptr context_;
  std::unique_ptr<fiber_body> body_;
};

}  // namespace

context_ptr start_fiber(fibers::launch policy, std::size_t stack_size, std::unique_ptr<fiber_body> body) {
  auto context = std::make_shared<fibers::context>();
  spawn_options options;
  options.stack_size = stack_size;
  options.detached = true;
  options.where = {};  // not here
  options.start = policy == fibers::launch::dispatch ? start::eager : start::queued;
  whole_fiber whole(context, std::move(body));
  if (on_fiber()) {
    (void)spawn(options, std::move(whole));
  } else if (auto& own = make_fibers_of_thread(); policy == fibers::launch::post) {
    (void)own.home().spawn(options, std::move(whole));
  } else {
    own.carry_out([&, ours = weft::detail::context_ref::current()]() mutable {
      weft::detail::context_scope const as_seen_here{std::move(ours)};  // and not by the thread's stand-in
      (void)spawn(options, std::move(whole));
    });
  }
  return context;
}

}  // namespace detail

namespace fibers {

context::context() : id_(new_number()) {}

context::~context() { clean_up(); }

context* context::active() {
  if (!detail::on_fiber()) return &detail::context_of_thread();
  auto& own = context_of_fiber();
  if (own == nullptr) own = std::make_shared<context>();
  return own.get();
}

void context::join() {
  weft::detail::check_cancelled();
  detail::guard_lock held{guard_};
  while (!ended_) joiners_.wait(held);
}

void* context::get_fss_data(std::uint64_t key) const noexcept {
  auto const found = values_.find(key);
  return found != values_.end() ? found->second.value : nullptr;
}

void context::set_fss_data(std::uint64_t key, std::shared_ptr<detail::fss_cleanup> const& cleanup, void* value,
                           bool clean_up_existing) {
  fss_value before{};
  if (value != nullptr) {
    before = std::exchange(values_[key], fss_value{value, cleanup});
  } else if (auto const found = values_.find(key); found != values_.end()) {
    before = std::move(found->second);
    values_.erase(found);
  }
  if (clean_up_existing && before.value != nullptr) (*before.cleanup)(before.value);
}

/// A cleanup may set others.
void context::clean_up() noexcept {
  while (!values_.empty()) {
    auto const last = values_.extract(values_.begin());
    (*last.mapped().cleanup)(last.mapped().value);
  }
}

void context::end() noexcept {
  clean_up();
  detail::guard_lock const held{guard_};
  ended_ = true;
  joiners_.notify_all();
}

void fiber::join() {
  if (context_ != nullptr && context_.get() == context::active()) {
    throw fiber_error(std::make_error_code(std::errc::resource_deadlock_would_occur), "weft: a fiber joins itself");
  }
  if (context_ == nullptr) {
    throw fiber_error(std::make_error_code(std::errc::invalid_argument), "weft: there is no fiber to be joined");
  }
  context_->join();
  context_.reset();
}

void fiber::detach() {
  if (context_ == nullptr) {
    throw fiber_error(std::make_error_code(std::errc::invalid_argument), "weft: there is no fiber to be detached");
  }
  context_.reset();
}

}  // namespace fibers

// ---------------------------------------------------------------------------------------------------------------------
// What is small
// ---------------------------------------------------------------------------------------------------------------------

fibers::barrier::barrier(std::size_t initial) : initial_(initial), missing_(initial) {
  if (initial == 0) {
    throw fiber_error(std::make_error_code(std::errc::invalid_argument), "weft: a barrier for nobody");
  }
}

bool fibers::barrier::wait() {
  weft::detail::check_cancelled();
  detail::guard_lock held{guard_};
  auto const cycle = cycle_;
  if (--missing_ == 0) {
    ++cycle_;
    missing_ = initial_;
    line_.notify_all();
    return true;
  }
  try {
    while (cycle == cycle_) line_.wait(held);
  } catch (cancelled const&) {
    if (cycle != cycle_) return false;  // the others have been let go: the next wait throws
    ++missing_;
    throw;
  }
  return false;
}

void detail::shared_state_base::set_exception(std::exception_ptr error) {
  if (!error) {
    throw fibers::fiber_error(std::make_error_code(std::errc::invalid_argument),
                              "weft: a promise is given a null exception pointer");
  }
  set([&] { error_ = std::move(error); });
}

void detail::shared_state_base::abandon() noexcept {
  guard_lock const held{guard_};
  if (std::exchange(being_set_, true)) return;
  error_ = std::make_exception_ptr(fibers::broken_promise());
  ready_ = true;
  waiting_.notify_all();
}

bool detail::shared_state_base::wait_until(time_point deadline) const {
  weft::detail::check_cancelled();
  guard_lock held{guard_};
  while (!ready_) {
    if (!waiting_.wait_until(held, deadline)) return ready_;  // it may have become so when the time was up already
  }
  return true;
}

}  // namespace weft::inline v0::compat
