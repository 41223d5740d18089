/// @file
/// Two selects that face each other over two channels without buffers, one of which is cancelled now and then: each
/// commits at most one case; if one has committed with the other, both have, over the same channel; and they do not
/// both wait for good.
///
/// The engine in sync/src/select.cpp is written out here: look at all channels, or else queue in all, under all locks.
/// Change one, change the other.

#include <weft/sync/detail/channel_state.hpp>

#include "explore.hpp"
#include "model_waiter.hpp"

#include <optional>

namespace weft::models {
namespace {

enum class looking : bool { under_all_locks, one_by_one };

template <class Atomics, looking How = looking::under_all_locks>
class select_model : public model<select_model<Atomics, How>, 3, Atomics> {
  using waiter = model_waiter<Atomics>;
  using state = detail::basic_channel_state<message, waiter, Atomics>;
  using node = typename state::node;
  using fate = typename state::fate;
  using section = typename state::section;
  using step = detail::channel_step;

public:
  void run(unsigned thread) {
    if (thread == 2) {
      let_others_run(32);
      if (cancels_) first_.cancel();
      return;
    }
    if (thread == 0) return party(first_, a_, b_, 1, committed_[0]);
    party(second_, b_, a_, 2, committed_[1]);
  }

  void after() {
    if (!cancels_) RL_ASSERT(committed_[0] != nullptr);
    RL_ASSERT(committed_[0] == committed_[1]);
  }

private:
  /// Sends `number` over `out`, or receives over `in`.
  void party(waiter& self, state& out, state& in, int number, state*& committed) {
    message value{number};
    std::optional<message> got;
    node sends{&value};
    node receives{&got};
    bool cancelled = !self.begin();
    bool closed = false;
    if (!cancelled) {
      committed = look_or_queue(self, out, in, value, got, sends, receives, closed);
      if (committed == nullptr && !closed) {
        auto const cause = self.wait();
        withdraw(out, out.senders, sends);
        withdraw(in, in.receivers, receives);
        cancelled = cause == wake_cause::cancelled;
        bool const sent = sends.end == fate::done;
        bool const received = receives.end == fate::done;
        RL_ASSERT(!(sent && received));
        RL_ASSERT(!cancelled || (!sent && !received));
        if (sent) committed = &out;
        if (received) committed = &in;
      }
    }
    RL_ASSERT(got.has_value() == (committed == &in));
    if (got) RL_ASSERT(got->content == 3 - number);
    if (cancelled) close_all();  // or else the other would rightly wait for good
  }

  state* look_or_queue(waiter& self, state& out, state& in, message& value, std::optional<message>& got, node& sends,
                       node& receives, bool& closed) {
    for (auto* const place : {&sends, &receives}) {
      place->party.has_none(self.own_ticket());  // a weakened copy may miss that it has a wait
      place->party.has_wait(self);
    }
    typename state::woken then;
    if constexpr (How == looking::under_all_locks) {
      section const one{a_.lock, nullptr};
      section const other{b_.lock, nullptr};
      bool const out_is_first = &out == &a_;
      if (out.put(out_is_first ? one : other, value, then) == step::done) return &out;
      if (in.take(out_is_first ? other : one, got, then) == step::done) return &in;
      closed = out.closed() || in.closed();
      if (closed) return nullptr;
      out.senders.push_back(sends);
      in.receivers.push_back(receives);
    } else {
      {
        section const held{out.lock, nullptr};
        if (out.put(held, value, then) == step::done) return &out;
      }
      {
        section const held{in.lock, nullptr};
        if (in.take(held, got, then) == step::done) return &in;
      }
      {
        section const held{out.lock, nullptr};
        out.senders.push_back(sends);
      }
      section const held{in.lock, nullptr};
      in.receivers.push_back(receives);
    }
    return nullptr;
  }

  static void withdraw(state& from, typename state::line& line, node& place) {
    section const held{from.lock, nullptr};
    if (place.end == fate::waits) line.remove(place);
  }

  void close_all() {
    for (state* const s : {&a_, &b_}) {
      auto* closed = s->close();
      while (closed != nullptr) {
        auto* const first = closed;
        closed = first->next;
        first->party.wake(placement::back);
      }
    }
  }

  bool const cancels_ = rl::rand(2) != 0;
  state a_{0};
  state b_{0};
  waiter first_;
  waiter second_;
  state* committed_[2] = {nullptr, nullptr};  // the model's own knowledge
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;
  return weft::models::main(
      argc, argv,
      {explored<select_model<sound>>("select"),
       explored<select_model<sound, looking::one_by_one>>("select, one lock at a time", weakened),
       explored<select_model<relacy_atomics<no_barrier, all_relaxed>>>("select, all relaxed", weakened),
       explored<select_model<relacy_atomics<no_barrier, divisible>>>("select, divisible exchange", weakened)});
}
