#include "timer_wheel.hpp"

#include <algorithm>
#include <bit>

namespace weft::inline v0::detail {

namespace {
constexpr std::int64_t end_of_time = never.time_since_epoch().count();
constexpr unsigned no_slot = ~0U;
}  // namespace

timer_wheel::timer_wheel() noexcept = default;

std::uint64_t timer_wheel::tick_of(time_point t) noexcept {
  auto const ns = std::max<std::int64_t>(t.time_since_epoch().count(), 0);
  return std::min(static_cast<std::uint64_t>(ns) >> tick_bits, last_tick);
}

void timer_wheel::arm(timer_node& node, time_point deadline) noexcept {
  deadline = std::max(deadline, time_point{});  // long past all the same, and differences to it do not overflow
  std::lock_guard const lock{lock_};
  node.deadline = deadline;
  node.wheel = this;
  link(node, end::back);
  ++armed_;
  // relaxed, as in next() and refresh_next(): the lock orders the writers.
  if (deadline < next()) next_.store(deadline.time_since_epoch().count(), std::memory_order_relaxed);
}

void timer_wheel::cancel(timer_node& node) noexcept {
  std::lock_guard const lock{lock_};
  // next_ is left as it is: too early a look is harmless, and costs less than finding the next one each time.
  if (node.linked) unlink(node);
}

void timer_wheel::link(timer_node& node, end at) noexcept {
  // A deadline that has passed goes into the present slot, from which it is taken next.
  auto const tick = std::max(tick_of(node.deadline), now_tick_);
  auto const differing = tick ^ now_tick_;
  unsigned const level = differing == 0 ? 0U : (63U - static_cast<unsigned>(std::countl_zero(differing))) / digit_bits;
  unsigned const digit = static_cast<unsigned>(tick >> (level * digit_bits)) & (slots - 1);
  node.slot = static_cast<std::uint16_t>(level * slots + digit);
  slot_list& list = list_of(node);
  if (list.head == nullptr) list.grew_at = at;
  if (at == end::back) {
    node.next = nullptr;
    node.prev = list.tail;
    (list.tail != nullptr ? list.tail->next : list.head) = &node;
    list.tail = &node;
  } else {
    node.prev = nullptr;
    node.next = list.head;
    (list.head != nullptr ? list.head->prev : list.tail) = &node;
    list.head = &node;
  }
  list.earliest = std::min(list.earliest, static_cast<std::int64_t>(node.deadline.time_since_epoch().count()));
  node.earlier = list.last.back();
  std::shift_right(list.last.begin(), list.last.end(), 1);
  list.last.front() = &node;
  node.linked = true;
  occupied_[node.slot / 64U] |= 1ULL << (node.slot % 64U);
}

void timer_wheel::unlink(timer_node& node) noexcept {
  slot_list& list = list_of(node);
  (node.prev != nullptr ? node.prev->next : list.head) = node.next;
  (node.next != nullptr ? node.next->prev : list.tail) = node.prev;
  node.linked = false;
  --armed_;
  if (list.head == nullptr) {
    list.earliest = end_of_time;
    occupied_[node.slot / 64U] &= ~(1ULL << (node.slot % 64U));
  }
}

unsigned timer_wheel::first_slot() const noexcept {
  for (unsigned word = 0; word < occupied_.size(); ++word) {
    if (occupied_[word] != 0) return word * 64 + static_cast<unsigned>(std::countr_zero(occupied_[word]));
  }
  return no_slot;
}

timer_node* timer_wheel::pop_due(time_point now) noexcept {
  for (;;) {
    auto const slot = first_slot();
    if (slot == no_slot) {
      now_tick_ = std::max(now_tick_, tick_of(now));
      return nullptr;
    }
    slot_list& list = lists_[slot];
    if (list.earliest > now.time_since_epoch().count()) return nullptr;
    if (slot >= slots) {
      cascade(slot, tick_of(now));
      continue;
    }
    auto earliest = end_of_time;
    for (timer_node* node = list.head; node != nullptr; node = node->next) {
      if (node->deadline <= now) {
        unlink(*node);
        return node;
      }
      earliest = std::min(earliest, static_cast<std::int64_t>(node->deadline.time_since_epoch().count()));
    }
    list.earliest = earliest;  // it was too early: the one it stood for has been cancelled or taken
  }
}

void timer_wheel::cascade(unsigned slot, std::uint64_t now_tick) noexcept {
  slot_list& list = lists_[slot];
  unsigned const level = slot / slots;
  // Every timer here is at or after the slot's first tick and its earliest deadline, and all others come after the
  // slot: the present may move up to either, at once past the levels between.
  auto const first = tick_of(time_point{std::chrono::nanoseconds{list.earliest}});
  auto const span = level * digit_bits;
  auto const start = ((now_tick_ >> (span + digit_bits)) << (span + digit_bits)) |
                     (static_cast<std::uint64_t>(slot % slots) << span);
  now_tick_ = std::max({now_tick_, start, std::min(first, now_tick)});
  // The timers lie on stacks that have long been out of the cache, and a list leads to the next of them only when the
  // one before has come from memory. Each knows which was linked some time before it: so the list is walked from where
  // it grew, and several are under way. Dealt out at the other end, they keep their order.
  bool const backwards = list.grew_at == end::back;
  timer_node* node = backwards ? list.tail : list.head;
  list = slot_list{};
  occupied_[slot / 64] &= ~(1ULL << (slot % 64));
  while (node != nullptr) {
    timer_node* const next = backwards ? node->prev : node->next;
    __builtin_prefetch(node->earlier);
    link(*node, backwards ? end::front : end::back);
    node = next;
  }
}

void timer_wheel::refresh_next() noexcept {
  auto const slot = first_slot();
  next_.store(slot == no_slot ? end_of_time : lists_[slot].earliest, std::memory_order_relaxed);
}

}  // namespace weft::inline v0::detail
