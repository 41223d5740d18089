/// @file
/// A channel's hand-over: a sender, one who receives for good, and one who receives once and is cancelled. Each value
/// arrives once, with what was written to it; nobody waits for good; a cancelled receiver has taken nothing. With room
/// for one value and without; with the lock given on bias as soon as it can be.
///
/// The parts of channel<T> around detail/channel_state.hpp, offer(), accept(), wait_to_send(), wait_to_receive() and
/// what they call, are written out here: change one, change the other.

#include <weft/sync/detail/channel_state.hpp>

#include "explore.hpp"
#include "model_waiter.hpp"

#include <array>
#include <cstddef>
#include <new>
#include <optional>
#include <utility>

// Relacy replaces the ordinary operators, and the library's own of this form would not lead to them.
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }

namespace weft::models {
namespace {

/// Weakened: takes no notice of who has claimed the wait before.
template <class Atomics>
struct heedless_waiter : model_waiter<Atomics> {
  bool claim() {
    (void)model_waiter<Atomics>::claim();
    return true;
  }
};

template <class Atomics, class Waiter>
class channel_model : public model<channel_model<Atomics, Waiter>, 4, Atomics> {
  using state = detail::basic_channel_state<message, Waiter, Atomics, 0>;
  using node = typename state::node;
  using fate = typename state::fate;
  using step = detail::channel_step;
  using answer = typename decltype(node::party)::answer;

public:
  channel_model() : channel_(rl::rand(2)) {}

  void run(unsigned thread) {
    switch (thread) {
      case 0: return send_all();
      case 1: return receive_all();
      case 2: return receive_once();
      default: let_others_run(32); impatient_.cancel();
    }
  }

  void after() { RL_ASSERT(received_ == sent && sum_ == sent * (sent + 1) / 2); }

private:
  static constexpr int sent = 2;

  void send_all() {
    for (int i = 1; i <= sent; ++i) {
      message value{i};
      node place{&value};
      place.party.has_none(sender_.own_ticket());  // a weakened copy may miss that it has a wait
      RL_ASSERT(sender_.begin());
      if (!put(value, place)) {
        RL_ASSERT(sender_.wait() == wake_cause::notified);
        RL_ASSERT(place.end == fate::done);
      }
    }
    auto* closed = channel_.close();
    while (closed != nullptr) {
      auto* const first = closed;
      closed = first->next;
      first->party.wake(placement::back, answer::closed);
    }
  }

  bool put(message& value, node& place) {
    if constexpr (state::is_nothrow) {
      if (auto const inside = channel_.lock.enter(who(0)); inside != nullptr) {
        if (channel_.put_simply(value, inside) || channel_.give_simply(value, inside)) return true;
        typename state::woken then;
        typename state::bias_section const held{inside};
        if (channel_.put(held, value, then) == step::done) return true;
      }
      bool const gives_way = rl::rand(2) == 0;
      if (!gives_way) place.party.has_wait(sender_);
      if (channel_.line_up_sender(place, who(0))) return gives_way && served_or_waits(place) == answer::served;
    }
    typename state::woken then;
    typename state::section held{channel_.lock, who(0)};
    auto const result = channel_.put(held, value, then);
    RL_ASSERT(result != step::closed);
    if (result == step::done) return true;
    held.count(who(0));
    place.party.has_wait(sender_);
    channel_.senders.push_back(place);
    return false;
  }

  /// @returns whether it goes on: neither closed nor cancelled
  bool receive(Waiter& self) {
    std::optional<message> value;
    node place{&value};
    place.party.has_none(self.own_ticket());  // as above
    if constexpr (state::is_nothrow) {
      auto* const as = who(&self == &patient_ ? 1 : 2);
      if (rl::rand(2) == 0) {  // it gives way
        if (channel_.line_up_receiver(place, as)) {
          if (place.party.look() == answer::served || wait_in_line(self, place, as)) {
            RL_ASSERT(!value == (place.end != fate::done));
            return value && count(value);
          }
          RL_ASSERT(!value);
        }
      }
    }
    if (!self.begin()) return false;
    if constexpr (state::is_nothrow) {
      auto* const as = who(&self == &patient_ ? 1 : 2);
      if (auto const inside = channel_.lock.enter(as); inside != nullptr && accept(value, inside)) return count(value);
    }
    if (auto const result = line_up(self, value, place); result != step::must_wait) {
      return result == step::done && count(value);
    }
    if (self.wait() == wake_cause::notified) {
      RL_ASSERT(place.end == (value ? fate::done : fate::closed));
      return value && count(value);
    }
    {
      typename state::section held{channel_.lock, who(&self == &patient_ ? 1 : 2)};
      channel_.receivers.remove(place);
    }
    RL_ASSERT(!value);
    return false;
  }

  bool accept(std::optional<message>& value, typename state::entry inside) {
    auto const into = [&](message& oldest) { value.emplace(std::move(oldest)); };
    if (channel_.take_simply(into, inside) || channel_.receive_simply(value, inside)) return true;
    typename state::woken then;
    typename state::bias_section const held{inside};
    return channel_.take(held, value, then) != step::must_wait;
  }

  /// @returns false if it has been cancelled, and so has received nothing
  bool wait_in_line(Waiter& self, node& place, void const* as) {
    if (auto const told = place.party.look(); told != answer::none) return told != answer::passed_over;
    if (!self.begin()) {
      if (!place.party.give_up()) return place.party.await_answer() != answer::passed_over;
    } else if (!place.party.wait_after_all(self)) {
      return place.party.await_answer() != answer::passed_over;
    } else if (self.wait() == wake_cause::notified) {
      return true;
    }
    typename state::section const held{channel_.lock, as};
    channel_.receivers.remove(place);
    return false;
  }

  answer served_or_waits(node& place) {
    if (auto const told = place.party.look(); told != answer::none) return told;
    return place.party.wait_after_all(sender_) ? answer::none : place.party.await_answer();
  }

  step line_up(Waiter& self, std::optional<message>& value, node& place) {
    auto* const as = who(&self == &patient_ ? 1 : 2);
    place.party.has_wait(self);
    if constexpr (state::is_nothrow) {
      if (channel_.line_up_receiver(place, as)) return step::must_wait;
    }
    typename state::woken then;
    typename state::section held{channel_.lock, as};
    auto const result = channel_.take(held, value, then);
    if (result == step::must_wait) {
      held.count(as);
      channel_.receivers.push_back(place);
    }
    return result;
  }

  bool count(std::optional<message> const& value) {
    ++received_;
    sum_ += value->content;
    return true;
  }

  void receive_all() {
    while (receive(patient_)) {
    }
  }
  void receive_once() { (void)receive(impatient_); }

  [[nodiscard]] static void const* who(std::size_t thread) { return &workers[thread]; }

  /// In place of workers, of which only the addresses count.
  struct alignas(64) worker {};
  static constexpr std::array<worker, 3> workers{};

  state channel_;
  Waiter sender_;
  Waiter patient_;
  Waiter impatient_;
  int received_ = 0;  // the model's own knowledge
  int sum_ = 0;
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;
  using relaxed = relacy_atomics<no_barrier, all_relaxed>;
  using divided = relacy_atomics<no_barrier, divisible>;
  using biased = relacy_atomics<membarrier>;
  return weft::models::main(
      argc, argv,
      {explored<channel_model<sound, model_waiter<sound>>>("channel"),
       explored<channel_model<biased, model_waiter<biased>>>("channel, biased"),
       explored<channel_model<sound, heedless_waiter<sound>>>("channel, given without a claim", weakened),
       explored<channel_model<relaxed, model_waiter<relaxed>>>("channel, all relaxed", weakened),
       explored<channel_model<divided, model_waiter<divided>>>("channel, divisible exchange", weakened)});
}
