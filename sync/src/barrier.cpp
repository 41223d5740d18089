#include <weft/sync/barrier.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <optional>
#include <stdexcept>

namespace weft::inline v0 {

namespace {

/// A place before a barrier. Whoever ends the round decides for all who are in line, also for those whose time is up
/// but who have not left yet.
struct barrier_node : detail::wait_node {
  using wait_node::wait_node;
  enum class fate : unsigned char { waits, passes, broken } state = fate::waits;
  std::ptrdiff_t index = 0;
};

[[noreturn]] void throw_broken() { throw broken_barrier("weft::barrier: it has been aborted or reset"); }

}  // namespace

barrier::barrier(std::ptrdiff_t parties) : parties_(parties) {
  if (parties <= 0) throw std::invalid_argument("weft::barrier: the number of parties must be positive");
}

barrier::~barrier() { detail::check_unawaited(line_, "a barrier is destroyed while somebody waits at it"); }

/// The round is over.  @returns those that are to be woken
detail::wait_node* barrier::dismiss(detail::wait_list::section& line, bool as_broken) noexcept {
  detail::wait_node* claimed = nullptr;
  detail::wait_node** last = &claimed;
  std::ptrdiff_t index = 0;  // given now, for some may have left the line
  while (detail::wait_node* const first = line.pop_front()) {
    static_cast<barrier_node&>(*first).state = as_broken ? barrier_node::fate::broken : barrier_node::fate::passes;
    static_cast<barrier_node&>(*first).index = index++;
    if (!first->owner->claim()) continue;  // it sees its fate when it leaves
    *last = first;
    last = &first->next;
  }
  waiting_ = 0;
  return claimed;
}

/// Ends the round if only the caller was missing.
/// @param others  gets those that are to be woken
bool barrier::comes_last(detail::wait_list::section& line, detail::wait_node*& others) {
  if (broken_) throw_broken();
  if (waiting_ + 1 != parties_) return false;
  others = dismiss(line, false);
  return true;
}

std::optional<std::ptrdiff_t> barrier::try_wait() {
  auto const index = parties_ - 1;
  detail::wait_node* others = nullptr;
  {
    detail::wait_list::section line{line_};
    if (!comes_last(line, others)) return std::nullopt;
  }
  detail::wake_all(others);  // the barrier may be gone: see wait_until_()
  return index;
}

std::ptrdiff_t barrier::wait_until_(time_point deadline) {
  bool const tries = detail::only_tries(deadline);
  waiter self{"barrier"};
  barrier_node node{self};
  auto const last_index = parties_ - 1;
  detail::wait_node* others = nullptr;
  bool last = false;
  {
    detail::wait_list::section line{line_};
    last = comes_last(line, others);
    if (!last && !tries) {
      ++waiting_;
      line.push_back(node);
    }
  }
  if (last) {  // the barrier may be gone: of the others, one whose time was up meanwhile needs no waking
    detail::wake_all(others);
    return last_index;
  }
  if (tries) throw timeout_error("weft::barrier: the others have not come in time");
  auto const cause = self.wait(deadline);
  if (cause != wake_cause::notified) {
    detail::wait_list::section line{line_};
    if (node.state == barrier_node::fate::waits) {
      line.remove(node);
      --waiting_;
    }
  }
  switch (node.state) {
    case barrier_node::fate::passes: return node.index;
    case barrier_node::fate::broken: throw_broken();
    case barrier_node::fate::waits: break;
  }
  self.rethrow(cause);
  throw timeout_error("weft::barrier: the others have not come in time");
}

void barrier::end_round(bool broken) noexcept {
  detail::wait_node* claimed = nullptr;
  {
    detail::wait_list::section line{line_};
    claimed = dismiss(line, true);
    broken_ = broken;
  }
  detail::wake_all(claimed);
}

void barrier::abort() noexcept { end_round(true); }

void barrier::reset() noexcept { end_round(false); }

bool barrier::broken() const noexcept {
  detail::wait_list::section const line{line_};
  return broken_;
}

std::ptrdiff_t barrier::waiting() const noexcept {
  detail::wait_list::section const line{line_};
  return waiting_;
}

}  // namespace weft::inline v0
