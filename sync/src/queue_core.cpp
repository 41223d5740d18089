#include <weft/sync/detail/queue_core.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace weft::inline v0::detail {

namespace {

[[noreturn, gnu::cold]] void throw_queue_shutdown() { throw queue_shutdown("weft::queue: it has been shut down"); }

queue_node& as_queue_node(wait_node& node) noexcept { return static_cast<queue_node&>(node); }

constexpr auto everyone = std::numeric_limits<std::size_t>::max();

/// Unmakes a chain of items.
void unmake(queue_item* first) noexcept {
  while (first != nullptr) {
    boxed_item const item{first};
    first = first->next;
  }
}

}  // namespace

queue_core::~queue_core() {
  if (!section{line_}.empty() || !section{joiners_}.empty()) refuse("a queue is destroyed while somebody waits for it");
  unmake(store_.pop_all());
}

/// Puts a loaded item into the store.
void queue_core::keep(boxed_item& item) {
  try {
    store_.push(*item);
  } catch (...) {
    item->unload();
    throw;
  }
  (void)item.release();
  ++size_;
  ++unfinished_;
}

/// @returns whether all is said about `item`: it has been taken, or, if it is still there, is refused for good
bool queue_core::offer(section& line, boxed_item& item, wait_node*& getter) {
  if (phase_ != phase::open) return true;
  if (size_ >= limit_) return false;
  item->load();  // before anybody is claimed, who could not be told of a failure
  if (size_ == 0) getter = claim_first(line);
  if (getter == nullptr) {
    keep(item);
  } else {
    as_queue_node(*getter).item = std::move(item);
    ++unfinished_;
  }
  return true;
}

bool queue_core::try_put_(boxed_item& item) {
  wait_node* getter = nullptr;
  bool decided = false;
  {
    section line{line_};
    decided = offer(line, item, getter);
  }
  if (getter != nullptr) getter->owner->wake(placement::next);
  if (decided && item != nullptr) throw_queue_shutdown();
  return decided;
}

bool queue_core::put(boxed_item item, time_point deadline) {
  check_cancelled();
  if (try_put_(item)) return true;
  if (only_tries(deadline)) return false;
  waiter self{"queue put"};
  queue_node node{self};
  node.item = std::move(item);
  wait_node* getter = nullptr;
  bool const decided = wait_in_line(line_, node, self, deadline,
                                    [&](section& line) { return offer(line, node.item, getter); });
  if (getter != nullptr) getter->owner->wake(placement::next);
  if (!decided) return false;
  if (node.failure != nullptr) std::rethrow_exception(node.failure);
  if (node.item != nullptr) throw_queue_shutdown();
  return true;
}

/// Lets those put who wait to, as far as there is room.  @returns those that are to be woken
wait_node* queue_core::refill(section& line) noexcept {
  wait_node* claimed = nullptr;
  wait_node** last = &claimed;
  while (size_ < limit_) {
    wait_node* const first = claim_first(line);
    if (first == nullptr) break;
    auto& putter = as_queue_node(*first);
    try {
      putter.item->load();
      keep(putter.item);
    } catch (...) {
      putter.failure = std::current_exception();
    }
    *last = first;
    last = &first->next;
  }
  return claimed;
}

/// @returns whether all is said: `item` has been got, or, if it is null, none will come
bool queue_core::take(section& line, boxed_item& item, wait_node*& putters) {
  item.reset(store_.pop());
  if (item == nullptr) return phase_ != phase::open;
  --size_;
  putters = refill(line);
  return true;
}

boxed_item queue_core::try_get() {
  boxed_item item;
  wait_node* putters = nullptr;
  bool decided = false;
  {
    section line{line_};
    decided = take(line, item, putters);
  }
  wake_all(putters);
  if (decided && item == nullptr) throw_queue_shutdown();
  return item;
}

boxed_item queue_core::get(time_point deadline) {
  check_cancelled();
  if (auto item = try_get()) return item;
  if (only_tries(deadline)) return nullptr;
  waiter self{"queue get"};
  queue_node node{self};
  wait_node* putters = nullptr;
  bool const decided = wait_in_line(line_, node, self, deadline,
                                    [&](section& line) { return take(line, node.item, putters); });
  wake_all(putters);
  return decided ? outcome(node) : nullptr;
}

bool queue_core::enroll(waiter& w, queue_node& node) noexcept {
  wait_node* putters = nullptr;
  {
    section line{line_};
    expect_unused(node);
    node = queue_node{w};
    if (size_ == 0 && phase_ == phase::open) {
      line.push_back(node);
      return false;
    }
    if (!w.claim()) return false;
    try {
      (void)take(line, node.item, putters);
    } catch (...) {
      node.failure = std::current_exception();
    }
  }
  wake_all(putters);
  return true;
}

bool queue_core::withdraw(queue_node& node) noexcept {
  // Before the lock is touched: the wait is over, and whoever ended it for this node may have freed the queue.
  if (node.chosen) {
    node.next = nullptr;  // who was chosen is linked to those that were chosen with it
    return true;
  }
  section line{line_};
  line.remove(node);
  return false;
}

boxed_item queue_core::outcome(queue_node& node) {
  // Told once: the case of a select may be used again.
  if (node.failure != nullptr) std::rethrow_exception(std::exchange(node.failure, nullptr));
  if (node.item == nullptr) throw_queue_shutdown();
  return std::move(node.item);
}

void queue_core::put_back(boxed_item item) noexcept {
  wait_node* getter = nullptr;
  wait_node* joiners = nullptr;
  {
    section line{line_};
    if (phase_ == phase::dropped) {  // it comes too late, and goes with the others
      (void)count_out(1, joiners);
    } else if (size_ == 0 && (getter = claim_first(line)) != nullptr) {
      as_queue_node(*getter).item = std::move(item);
    } else {
      store_.put_back(*item.release());
      ++size_;
    }
  }
  if (getter != nullptr) getter->owner->wake(placement::next);
  wake_all(joiners);
}

void queue_core::shutdown(bool immediate) noexcept {
  wait_node* waiting = nullptr;
  wait_node* joiners = nullptr;
  queue_item* dropped = nullptr;
  {
    section line{line_};
    if (immediate) {
      phase_ = phase::dropped;
      dropped = store_.pop_all();
      // There may be fewer to count: task_done() asks nobody which item it is for.
      (void)count_out(std::exchange(size_, 0), joiners);
    } else if (phase_ == phase::open) {
      phase_ = phase::draining;
    }
    (void)line.claim(everyone, &waiting);
  }
  // From here on the queue may be gone, with whoever sees that it has been shut down.
  wake_all(waiting);
  wake_all(joiners);
  unmake(dropped);  // last: an item may be a task, which its handle waits for, and that task one of those woken
}

/// @returns how many of `items` there were to count
std::size_t queue_core::count_out(std::size_t items, wait_node*& joiners) noexcept {
  auto const counted = std::min(items, unfinished_);
  unfinished_ -= counted;
  if (unfinished_ == 0) (void)section{joiners_}.claim(everyone, &joiners);
  return counted;
}

void queue_core::task_done() {
  wait_node* joiners = nullptr;
  std::size_t counted = 0;
  {
    section const line{line_};
    counted = count_out(1, joiners);
  }
  if (counted == 0) throw std::invalid_argument("weft::queue::task_done: called more often than items were put");
  wake_all(joiners);
}

bool queue_core::all_done() const noexcept {
  section const line{line_};
  return unfinished_ == 0;
}

bool queue_core::join(time_point deadline) {
  check_cancelled();
  if (all_done()) return true;
  if (only_tries(deadline)) return false;
  waiter self{"queue join"};
  wait_node node{self};
  {
    section const line{line_};
    if (unfinished_ == 0) return true;
    section{joiners_}.push_back(node);
  }
  auto const cause = self.wait(deadline);
  if (cause == wake_cause::notified) return true;
  bool all_done = false;  // it may be so by now, in the same moment
  {
    section const line{line_};
    section{joiners_}.remove(node);
    all_done = unfinished_ == 0;
  }
  self.rethrow(cause);
  return all_done;
}

std::size_t queue_core::size() const noexcept {
  section const line{line_};
  return size_;
}

}  // namespace weft::inline v0::detail
