#include <weft/runtime/cancel_scope.hpp>

#include "fatal.hpp"
#include "scopes.hpp"
#include "signal_mask.hpp"
#include "task_end.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/task_record.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace weft::inline v0 {

namespace detail {

/// Makes a scope's cancellation a stop request. Stop callbacks are somebody else's code: they run on a fiber that is
/// here for that, and not where the scope happens to be cancelled, which may be under a lock or on a scheduler's stack.
class stop_relay {
public:
  explicit stop_relay(scope_node& node) : node_(node) {
    if (of_thread_) return;
    spawn_options options;
    options.name = "stop token";
    options.start = start::eager;
    try {
      fiber_ = spawn(options, [this] { relay(); });
      // A runtime that stops may cancel it before it starts, and then it never does.
      cancel_shield const shielded;
      while (!started_.load(std::memory_order_relaxed) && !fiber_.ready()) this_fiber::yield();
      if (started_.load(std::memory_order_acquire)) return;
      fiber_.get();
    } catch (runtime_stopped const&) {  // NOLINT: it is relayed when the scope is left
    } catch (cancelled const&) {        // NOLINT: as above
    }
  }
  stop_relay(stop_relay const&) = delete;
  /// When nobody else refers to the scope any more.
  ~stop_relay() { leave(); }

  /// The scope is left. When this returns, callbacks have been called if it was cancelled before.
  void leave() noexcept {
    if (fiber_.valid()) {
      left_.store(true, std::memory_order_relaxed);  // the list's lock publishes it
      news_.set_flags_and_wake(news);
      fiber_ = {};
    }
    join_stopper();
    if (is_cancelled()) (void)source_.request_stop();
  }

  /// The scope has been cancelled, or its deadline moved. Any thread, while the scope lives.
  void tell() noexcept {
    if (tell_fiber() || !is_cancelled()) return;
    bool const on_fiber_or_thread = current_worker() == nullptr || current_fiber() != nullptr;
    on_fiber_or_thread ? stop() : stop_elsewhere();  // not there: an on_done callback
  }
  /// The same under a lock.  @returns false if there is no fiber: then it is told when the scope is left
  bool tell_fiber() noexcept {
    if (!has_fiber()) return false;
    news_.set_flags_and_wake(news);
    return has_fiber();  // it has seen the news, or has left before: the list's lock orders the two
  }

  /// A wait has met the deadline, maybe under a lock of the user's that callbacks take: in a scope of a plain thread,
  /// or where the fiber has left, they are called on another thread. Where the fiber could not be had, they are called
  /// when the scope is left.
  void tell_of_deadline() noexcept {
    // relaxed: who made the fiber has seen it start, or does without; nothing is read by it.
    if (!tell_fiber() && (of_thread_ || started_.load(std::memory_order_relaxed))) stop_elsewhere();
  }

  /// On a fiber or a thread, under no lock.
  void stop() noexcept { (void)source_.request_stop(); }
  [[nodiscard]] bool has_fiber() const noexcept { return has_fiber_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }
  /// seq_cst: see cancel_scope::stop_token().
  [[nodiscard]] bool is_cancelled() const noexcept { return node_.state.load(std::memory_order_seq_cst) != 0; }

private:
  static constexpr auto news = wait_list::flag_a;

  /// On a thread that is made for it.
  void stop_elsewhere() noexcept {
    std::lock_guard const lock{stopper_lock_};
    if (stopper_.joinable()) return;
    try {
      blocked_signals const mask;  // inherited by the thread
      stopper_ = std::thread([this] { (void)source_.request_stop(); });
    } catch (std::exception const&) {  // NOLINT: no memory or no thread: they are called when the scope is left
    }
  }
  void join_stopper() noexcept {
    std::thread stopper;
    {
      std::lock_guard const lock{stopper_lock_};
      stopper = std::move(stopper_);
    }
    if (stopper.joinable()) stopper.join();
  }

  /// The fiber. It ends with the scope, whatever becomes of the runtime meanwhile. But a generator's body may lie
  /// suspended for as long as it likes, or run for others: when the runtime stops, the fiber leaves its scope then.
  void relay() {
    has_fiber_.store(true, std::memory_order_relaxed);  // whoever made it waits for it
    started_.store(true, std::memory_order_release);    // to whoever made it: publishes the above
    for (bool stopping = false; !is_cancelled();) {
      if (stopping && is_away_from(*current_fiber()->home, node_)) {
        wait_list::section const list{news_};  // see tell_fiber()
        has_fiber_.store(false, std::memory_order_relaxed);
        break;
      }
      try {
        if (!wait_for_news(stopping)) break;
      } catch (cancelled const&) {
        stopping = true;
      }
    }
    if (is_cancelled()) (void)source_.request_stop();
  }
  /// @param stopping  the runtime: then it waits for a moment only, and is not cancelled
  /// @returns false when the scope is left
  /// @throws cancelled
  bool wait_for_news(bool stopping) {
    constexpr std::chrono::milliseconds moment{10};
    time_point const deadline{std::chrono::nanoseconds{node_.deadline.load(std::memory_order_seq_cst)}};
    if (deadline <= deadline_after(std::chrono::nanoseconds{0})) {
      (void)cancel_scope_node(node_, cancel_reason::deadline);
      return true;
    }
    bool const heeds = node_.segment != nullptr && !stopping;
    waiter self{"cancellation of a scope", heeds ? cancellation::heeded : cancellation::ignored};
    wait_node node{self};
    {
      wait_list::section list{news_};
      if (left_.load(std::memory_order_relaxed)) return false;
      if (list.flags() == news) {
        list.set_flags(0);
        return true;
      }
      list.push_back(node);
    }
    auto const cause = self.wait(stopping ? std::min(deadline, deadline_after(moment)) : deadline);
    if (cause == wake_cause::notified) return true;
    {
      wait_list::section list{news_};
      list.remove(node);
    }
    self.rethrow(cause);
    return true;
  }

  scope_node& node_;
  std::stop_source source_;
  wait_list news_;  // its flag: there are some
  std::atomic<bool> left_{false};
  std::atomic<bool> started_{false};
  bool const of_thread_ = current_fiber() == nullptr;
  std::atomic<bool> has_fiber_{false};  // others may ask
  task<void> fiber_;                    // of who is in the scope
  std::mutex stopper_lock_;             // held while the thread is started, by whoever cancels
  std::thread stopper_;                 // where there is no fiber, and who cancels must not call callbacks
};

void tell_of_deadline(stop_relay& relay) noexcept { relay.tell_of_deadline(); }

namespace {

/// The stop token of a task's own scope, which has no node: this stands for it. It lives as a value of the fiber.
class own_stop_token {
public:
  own_stop_token() : relay_(scope_), link_(*this) {
    fiber_record& self = *current_fiber();
    {
      wait_list::section list{self.end};
      list.push_back(link_);
    }
    if (self.ticket.set_relayed()) link_.relay(self.ticket.reason());
    if (!relay_.has_fiber()) relay_.stop();  // the runtime stops, and cancels us
  }
  own_stop_token(own_stop_token const&) = delete;
  ~own_stop_token() { task_end::withdraw(current_fiber()->end, link_); }

  [[nodiscard]] std::stop_token get() const noexcept { return relay_.token(); }

private:
  struct link final : end_callback {
    explicit link(own_stop_token& of) noexcept : of_(of) {}
    void call() override {}  // never: it is gone before the task ends
    void relay(cancel_reason reason) noexcept override {
      cancel_unentered(of_.scope_, reason);
      (void)of_.relay_.tell_fiber();
    }
    own_stop_token& of_;
  };

  scope_node scope_{scope_node::kind::scope};
  stop_relay relay_;
  link link_;
};

}  // namespace

/// @returns one that is never stopped outside of a fiber
[[nodiscard]] static std::stop_token own_stop_token_of_fiber() {
  static fiber_local<own_stop_token> tokens;
  return current_fiber() != nullptr ? tokens->get() : std::stop_token{};
}

void refuse_second_run() noexcept {
  fatal("cancel_scope::run() is called again: the first call has left the scope; make one for each");
}

void throw_timeout() {
  check_cancelled();
  throw timeout_error("weft: the time limit of a call has passed");
}

}  // namespace detail

std::stop_token this_fiber::stop_token() { return detail::own_stop_token_of_fiber(); }

void cancel_scope::enter_with_deadline(bool has_passed) noexcept {
  if (has_passed) detail::cancel_unentered(node_, cancel_reason::deadline);
  detail::enter_scope(node_);
}

void cancel_scope::follow(std::stop_token token) { from_.emplace(std::move(token), canceller{this}); }

void cancel_scope::unfollow() noexcept {
  // From a fiber that stopped the token on this thread before: the library takes it for us, whose thread it is, and
  // orders nothing. (See sanitizers.hpp.)
  if (detail::worker* const w = detail::current_worker()) detail::sanitizer_acquire(&w->home);
  from_.reset();  // waits for a canceller that is under way on another thread
}

void cancel_scope::cancel(cancel_reason reason) noexcept {
  if (detail::cancel_scope_node(node_, reason)) tell_relay();
}

bool cancel_scope::cancel_requested() const noexcept {
  if (node_.state.load(std::memory_order_acquire) != 0) return true;  // pairs with who cancelled it
  auto const at = deadline();
  if (at == never || at > detail::deadline_after(std::chrono::nanoseconds{0})) return false;
  if (detail::cancel_scope_node(node_, cancel_reason::deadline)) tell_relay();
  return true;
}

void cancel_scope::reschedule(time_point deadline) noexcept {
  node_.deadline.store(deadline.time_since_epoch().count(), std::memory_order_seq_cst);  // as a cancellation
  detail::poke_context(node_);
  tell_relay();
}

void cancel_scope::tell_relay() const noexcept {
  // seq_cst: as in stop_token().
  if (auto* const relay = node_.relay.load(std::memory_order_seq_cst)) relay->tell();
}

std::stop_token cancel_scope::stop_token() {
  auto* relay = node_.relay.load(std::memory_order_relaxed);  // only we write it
  if (relay == nullptr) {
    relay = std::make_unique<detail::stop_relay>(node_).release();
    // seq_cst: this is written before the relay reads state and deadline anew, and who changes either does so before
    // this is read: one of the two sees the other.
    node_.relay.store(relay, std::memory_order_seq_cst);
    relay->tell();
  }
  return relay->token();
}

void cancel_scope::leave_relay() noexcept { node_.relay.load(std::memory_order_relaxed)->leave(); }

void cancel_scope::delete_relay() noexcept { delete node_.relay.load(std::memory_order_relaxed); }

time_point current_deadline() noexcept { return detail::earliest_deadline(detail::current_context()); }

}  // namespace weft::inline v0
