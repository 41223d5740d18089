#include <weft/runtime/cancel_scope.hpp>

#include "fatal.hpp"
#include "scopes.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/runtime/waiter.hpp>

#include <memory>

namespace weft::inline v0 {

namespace detail {

/// Makes a scope's cancellation a stop request. Stop callbacks are somebody else's code: they run on a fiber that is
/// here for that, and not where the scope happens to be cancelled, which may be under a lock or on a scheduler's stack.
class stop_relay {
public:
  explicit stop_relay(scope_node& node) : node_(node) {
    if (current_fiber() == nullptr) return;
    try {
      spawn_options options;
      options.name = "stop token";
      fiber_ = spawn(options, [this] { relay(); });
    } catch (runtime_stopped const&) {  // NOLINT: it is relayed when the scope is left
    }
  }
  stop_relay(stop_relay const&) = delete;
  /// When nobody else refers to the scope any more.
  ~stop_relay() {
    if (fiber_.valid()) {
      news_.set_flags_and_wake(left);
      fiber_ = {};
    }
    if (is_cancelled()) (void)source_.request_stop();
  }

  /// The scope has been cancelled, or its deadline moved. Any thread, while the scope lives.
  void tell() noexcept {
    if (fiber_.valid()) return news_.set_flags_and_wake(changed);
    bool const on_fiber_or_thread = current_worker() == nullptr || current_fiber() != nullptr;
    if (is_cancelled() && on_fiber_or_thread) (void)source_.request_stop();
  }

  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }
  /// seq_cst: see cancel_scope::stop_token().
  [[nodiscard]] bool is_cancelled() const noexcept { return node_.state.load(std::memory_order_seq_cst) != 0; }

private:
  static constexpr auto changed = wait_list::flag_a;
  static constexpr auto left = wait_list::flag_b;

  /// The fiber. It ends with the scope, whatever becomes of the runtime meanwhile.
  void relay() {
    while (!is_cancelled()) {
      time_point const deadline{std::chrono::nanoseconds{node_.deadline.load(std::memory_order_seq_cst)}};
      if (deadline <= deadline_after(std::chrono::nanoseconds{0})) {
        (void)cancel_scope_node(node_, cancel_reason::deadline);
        continue;
      }
      waiter self{"cancellation of a scope", cancellation::ignored};
      wait_node node{self};
      {
        wait_list::section news{news_};
        if ((news.flags() & left) != 0) return;
        if (news.flags() != 0) {
          news.set_flags(0);
          continue;
        }
        news.push_back(node);
      }
      if (self.wait(deadline) == wake_cause::notified) continue;
      wait_list::section news{news_};
      news.remove(node);
    }
    (void)source_.request_stop();
  }

  scope_node& node_;
  std::stop_source source_;
  wait_list news_;
  task<void> fiber_;
};

void refuse_second_run() noexcept {
  fatal("cancel_scope::run() is called again: the first call has left the scope; make one for each");
}

void throw_timeout() {
  check_cancelled();
  throw timeout_error("weft: the time limit of a call has passed");
}

}  // namespace detail

void cancel_scope::enter_with_deadline() noexcept {
  auto const at = deadline();
  if (at != never && at <= detail::deadline_after(std::chrono::nanoseconds{0})) {
    detail::cancel_unentered(node_, cancel_reason::deadline);
  }
  detail::enter_scope(node_);
}

void cancel_scope::follow(std::stop_token token) { from_.emplace(std::move(token), canceller{this}); }

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
  if (auto* const relay = relay_.load(std::memory_order_seq_cst)) relay->tell();
}

std::stop_token cancel_scope::stop_token() {
  auto* relay = relay_.load(std::memory_order_relaxed);  // only we write it
  if (relay == nullptr) {
    relay = std::make_unique<detail::stop_relay>(node_).release();
    // seq_cst: this is written before the state is read, and who cancels writes the state before this is read: one of
    // the two sees the other.
    relay_.store(relay, std::memory_order_seq_cst);
    if (relay->is_cancelled()) relay->tell();
  }
  return relay->token();
}

void cancel_scope::end_relay() noexcept {
  std::unique_ptr<detail::stop_relay> const relay{relay_.exchange(nullptr, std::memory_order_relaxed)};
}

time_point current_deadline() noexcept { return detail::earliest_deadline(detail::current_context()); }

}  // namespace weft::inline v0
