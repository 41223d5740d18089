/// @file
/// The end of a task: its fiber, the owner of its handle, another thread that waits for the task or adds a callback,
/// and one that cancels the waits. The record is freed once, and not touched afterwards; nobody who waits is forgotten;
/// each callback is called once; who learns of the end sees the result; a task that was cancelled before it started
/// does not run. What is written out here and must follow task.cpp: what a fiber, a handle and a join do with the
/// protocol.
///
/// Threads 1 and 2 wait as fibers or threads do, through their tickets. Thread 1 owns the handle: it joins, drops it or
/// detaches; before it lets go it waits for thread 2, whose turn with the handle has then ended.

#include "end_protocol.hpp"

#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/detail/wait_ticket.hpp>

#include "explore.hpp"
#include "model_waiter.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weft::models {
namespace {

/// What is told that its memory has been freed: any access afterwards, or not ordered before it, is reported.
class guarded {
public:
  void touch() const { RL_ASSERT(there_); }
  void free() {
    RL_ASSERT(there_);
    there_ = false;
  }

private:
  plain<bool> there_{true};
};

/// The record's memory, as the model's atomics know it: there is one record at a time.
guarded* record_memory = nullptr;

/// Each access to an atomic of the record tells whether the record is there.
template <class Base>
struct in_record : Base {
  template <class T>
  class atomic : public Base::template atomic<T> {
    using base = typename Base::template atomic<T>;
    using order = std::memory_order;
    using from = std::source_location;

  public:
    using base::base;
    T load(order o, from at = from::current()) const {
      record_memory->touch();
      return base::load(o, at);
    }
    void store(T value, order o, from at = from::current()) {
      record_memory->touch();
      base::store(value, o, at);
    }
    T fetch_or(T value, order o, from at = from::current()) {
      record_memory->touch();
      return base::fetch_or(value, o, at);
    }
    bool compare_exchange_weak(T& expected, T desired, order o, order failure, from at = from::current()) {
      record_memory->touch();
      return base::compare_exchange_weak(expected, desired, o, failure, at);
    }
    bool compare_exchange_strong(T& expected, T desired, order o, order failure, from at = from::current()) {
      record_memory->touch();
      return base::compare_exchange_strong(expected, desired, o, failure, at);
    }
  };
};

template <class Atomics>
class party;

/// A wait_node, or an end_callback if it has no owner.
template <class Atomics>
struct alignas(8) node {
  plain<node*> next{nullptr};
  plain<node*> prev{nullptr};
  party<Atomics>* owner = nullptr;
  node* next_callback = nullptr;
  unsigned calls = 0;  // the model's own knowledge
};

/// Who waits: a fiber's ticket, and what makes it runnable. (Not in the record that it waits for.)
template <class Atomics>
class party {
public:
  [[nodiscard]] bool begin(bool cancellable) { return wait_.begin(ticket_, cancellable); }
  wake_cause wait() { return wait_.until_ended(ticket_, runnable_); }
  void notify() { go_on(ticket_.notify(wait_.key(), wake_cause::notified)); }
  void cancel() { go_on(ticket_.request_cancel(cancel_reason::user)); }

  node<Atomics> own;  ///< on the waiting side's stack, in fact

private:
  using ticket = detail::basic_wait_ticket<Atomics>;
  void go_on(typename ticket::outcome result) {
    if (result == ticket::outcome::runnable) runnable_.set();
  }

  ticket ticket_;
  model_wait wait_;
  event runnable_;
};

/// Whether a joiner that was told waits until the list has been left.
enum class departure : bool { awaited, omitted };
/// How the fiber, and the handle, set their flag.
enum class letting_go : std::uint8_t { as_written, handle_looks_first, fiber_sets_last };

/// @tparam Atomics  of the record
template <class Atomics, departure Left = departure::awaited, letting_go How = letting_go::as_written>
class task_end_model : public model<task_end_model<Atomics, Left, How>, 4, Atomics> {
  using sound = relacy_atomics<no_barrier>;
  using record_atomics = in_record<Atomics>;
  using waiting = node<sound>;
  using list = detail::basic_wait_list<waiting, record_atomics>;
  using protocol = detail::end_protocol<list>;

public:
  task_end_model() { record_memory = &memory_; }

  void run(unsigned thread) {
    switch (thread) {
      case 0: return fiber();
      case 1: return owner();
      case 2: return friend_of_owner();
      default: return canceller();
    }
  }

  void after() {
    RL_ASSERT(freed_ == 1);
    for (auto const& c : callbacks_) RL_ASSERT(c.calls == (c.added ? 1U : 0U));
  }

private:
  struct callback : waiting {
    bool added = false;  // the model's own knowledge
  };

  // worker::run_fiber(), task_end.hpp
  void fiber() {
    spawned_.wait();
    bool const runs = ticket_.start();
    if (!runs) RL_ASSERT(before_cancel_ == 1);
    RL_ASSERT(!(runs && cancelled_first_));
    RL_ASSERT(arguments_ == 1);
    result_ = runs ? 1 : 2;
    bool held = false;
    bool dropped = false;
    if (waits_when_destroyed_) {
      held = protocol::hold(end_);
      if (!held) {
        RL_ASSERT(let_go_);
        result_ = 3;
        dropped = true;
      }
    } else if (protocol::try_finish(end_)) {
      return;
    }
    waiting* called = nullptr;
    waiting** last = &called;
    auto const tell = [&last](waiting& n) {
      if (n.owner != nullptr) return n.owner->notify();
      *last = &n;
      last = &n.next_callback;
    };
    bool second = false;
    if (held) {
      protocol::finish_held(end_, tell);
    } else if constexpr (How == letting_go::fiber_sets_last) {
      {
        typename list::section section{end_};
        second = (section.flags() & protocol::detached) != 0;
        while (waiting* const n = section.pop_front()) tell(*n);
      }
      typename list::section section{end_};
      section.set_flags(section.flags() | protocol::ended);
    } else {
      second = protocol::finish(end_, tell);
    }
    if (second) {
      RL_ASSERT(!waits_when_destroyed_ || dropped);
      free_record();
    }
    while (called != nullptr) ++std::exchange(called, called->next_callback)->calls;
  }

  // make_task() and what task does
  void owner() {
    arguments_ = 1;
    waits_when_destroyed_ = rl::rand(2) == 0;
    ticket_.publish();
    if (rl::rand(8) == 0) {
      before_cancel_ = 1;
      cancelled_first_ = true;
      (void)ticket_.request_cancel(cancel_reason::user);
    }
    spawned_.set();
    has_handle_.set();
    let_others_run(8);
    if (rl::rand(2) == 0) add_callback(callbacks_[0]);
    switch (rl::rand(4)) {
      case 0: break;  // lets go
      case 1:         // ~task(): cancels, waits whatever comes, frees
        if (!cancelled_first_) {
          before_cancel_ = 1;
          (void)ticket_.request_cancel(cancel_reason::handle_dropped);
        }
        RL_ASSERT(join(parties_[0], false));
        look();
        friend_done_.wait();
        return free_record();
      default:  // get(), or as much of it as a cancellation of the caller allows
        if (join(parties_[0], true)) {
          look();
          friend_done_.wait();
          return free_record();
        }
    }
    friend_done_.wait();
    let_go_ = true;
    if (detach()) free_record();
  }

  void friend_of_owner() {
    has_handle_.wait();
    if (rl::rand(2) == 0) add_callback(callbacks_[1]);
    if (rl::rand(3) != 0 && join(parties_[1], true)) look();
    friend_done_.set();
  }

  /// Ends the waits of the two, if it comes in time.
  void canceller() {
    let_others_run(24);
    for (auto& p : parties_) {
      if (rl::rand(2) == 0) p.cancel();
    }
  }

  /// Lives as long as its wait: an access that does not come before its end is reported.
  struct node_of_wait {
    explicit node_of_wait(party<sound>& of) : n(of.own) { n.owner = &of; }
    node_of_wait(node_of_wait const&) = delete;
    ~node_of_wait() { n.next = n.prev = nullptr; }
    waiting& n;
  };

  // join() and join_slowly()
  bool join(party<sound>& self, bool cancellable) {
    if (protocol::has_ended(end_)) return true;
    if (!self.begin(cancellable)) return false;
    node_of_wait const place{self};
    waiting& own = place.n;
    if (!protocol::enlist(end_, own)) return true;
    if (self.wait() == wake_cause::notified) {
      if constexpr (Left == departure::awaited) end_.wait_unlocked();
      return true;
    }
    protocol::withdraw(end_, own);
    return protocol::has_ended(end_);
  }

  // add_end_callback_node()
  void add_callback(callback& c) {
    c.added = true;
    if (!protocol::enlist(end_, c)) ++c.calls;
  }

  // release_handle()
  bool detach() {
    if constexpr (How == letting_go::handle_looks_first) {
      if (protocol::has_ended(end_)) return true;
      typename list::section section{end_};
      section.set_flags(section.flags() | protocol::detached);
      return false;
    }
    return protocol::let_go(end_);
  }

  void look() { RL_ASSERT(result_ == 1 || result_ == 2); }

  void free_record() {
    RL_ASSERT(result_ != 0);  // it destroys the result
    memory_.free();
    ++freed_;
  }

  // The record.
  guarded memory_;
  detail::basic_wait_ticket<record_atomics> ticket_;
  list end_;
  plain<int> arguments_{0};
  plain<int> result_{0};
  plain<bool> waits_when_destroyed_{false};  // the result

  std::array<party<sound>, 2> parties_;
  std::array<callback, 2> callbacks_;
  plain<int> before_cancel_{0};
  event spawned_;     // the run queue
  event has_handle_;  // what thread 1 and thread 2 use to tell each other whose turn with the handle it is
  event friend_done_;

  // The model's own knowledge.
  bool let_go_ = false;
  bool cancelled_first_ = false;
  int freed_ = 0;
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;  // it needs none
  constexpr auto left = departure::awaited;
  return weft::models::main(
      argc, argv,
      {explored<task_end_model<sound>>("task end"),
       explored<task_end_model<sound, left, letting_go::handle_looks_first>>("task end, handle looks and then detaches",
                                                                             weakened),
       explored<task_end_model<relacy_atomics<no_barrier, all_relaxed>>>("task end, all relaxed", weakened),
       explored<task_end_model<relacy_atomics<no_barrier, divisible>>>("task end, divisible exchange", weakened),
       explored<task_end_model<sound, departure::omitted>>("task end, joiner does not wait for the lock", weakened),
       explored<task_end_model<sound, left, letting_go::fiber_sets_last>>("task end, flag after the wake-ups",
                                                                          weakened)});
}
