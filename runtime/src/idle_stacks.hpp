#pragma once
/// @file
/// The stacks of one size that no worker holds, by what they cost.
///
///     used ----> kept ----> released
///       ^          |            |        used:      given back by a worker, pages unknown
///       +-- worker <------------+        kept:      idle for long, pages counted, within the policy's limit
///                                        released:  only the page of the description is left; a list of its own
///
/// Workers give to `used`, and take from it, then from `kept`, then from `released`: the warmest first. Who releases
/// moves stacks to the right, the coldest first. How long a stack has been idle is told without a clock and without a
/// mark on each: the list is last in, first out, so as many at its cold end as were there all the time since the last
/// look have not been touched since.

#include "sanitizers.hpp"
#include "stack.hpp"

#include <algorithm>
#include <cstddef>
#include <mutex>

namespace weft::inline v0::detail {

/// Stacks linked both ways, from the warmest to the coldest.
class stack_list {
public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return warmest_ == nullptr; }
  [[nodiscard]] stack* warmest() const noexcept { return warmest_; }

  /// Puts `count` stacks, linked from `first` to `last` both ways, before all others.
  void push(stack* first, stack* last, std::size_t count) noexcept {
    first->warmer = nullptr;
    last->next = warmest_;
    (warmest_ != nullptr ? warmest_->warmer : coldest_) = last;
    warmest_ = first;
    size_ += count;
  }
  void push(stack* s) noexcept { push(s, s, 1); }

  stack* pop_warmest() noexcept {
    stack* const s = warmest_;
    if (s == nullptr) return nullptr;
    warmest_ = s->next;
    (warmest_ != nullptr ? warmest_->warmer : coldest_) = nullptr;
    --size_;
    return s;
  }
  stack* pop_coldest() noexcept {
    stack* const s = coldest_;
    if (s == nullptr) return nullptr;
    coldest_ = s->warmer;
    (coldest_ != nullptr ? coldest_->next : warmest_) = nullptr;
    --size_;
    return s;
  }

private:
  stack* warmest_ = nullptr;
  stack* coldest_ = nullptr;
  std::size_t size_ = 0;
};

/// Thread-safe. What is in it belongs to it, and what has been taken, to who took it.
class idle_stacks {
public:
  // --- for workers ---

  /// Takes up to `most`, linked by `next`, the warmest first.  @returns the first, or null
  [[nodiscard]] stack* take(std::size_t most) noexcept {
    std::lock_guard const lock{mutex_};
    stack* first = nullptr;
    stack** end = &first;
    for (; most > 0; --most) {
      stack* s = used_.pop_warmest();
      if (s == nullptr && (s = kept_.pop_warmest()) != nullptr) kept_pages_ -= s->pages;
      if (s == nullptr) break;
      s->locals = nullptr;  // where `warmer` was
      *end = s;
      end = &s->next;
    }
    *end = nullptr;
    least_used_ = std::min(least_used_, used_.size());
    return first;
  }

  /// Takes in what is linked by `next` from `first` to `last`.  @returns how many
  std::size_t give(stack* first, stack* last) noexcept {
    std::size_t count = 1;
    for (stack* s = first; s != last; s = s->next, ++count) s->next->warmer = s;
    std::lock_guard const lock{mutex_};
    used_.push(first, last, count);
    return count;
  }

  // --- for who releases: one at a time ---

  /// How many used ones have lain here since it was last asked: so many of the coldest.
  [[nodiscard]] std::size_t idle_since_last_asked() noexcept {
    std::lock_guard const lock{mutex_};
    auto const untouched = std::min(least_used_, used_.size());
    least_used_ = used_.size() - untouched;  // who asks takes those out
    return untouched;
  }
  [[nodiscard]] std::size_t used() const noexcept {
    std::lock_guard const lock{mutex_};
    return used_.size();
  }
  [[nodiscard]] std::size_t kept_pages() const noexcept {
    std::lock_guard const lock{mutex_};
    return kept_pages_;
  }
  /// Takes up to `most` of the coldest used ones out.
  [[nodiscard]] stack_list take_coldest_used(std::size_t most) noexcept {
    std::lock_guard const lock{mutex_};
    stack_list taken;
    while (taken.size() < most) {
      stack* const s = used_.pop_coldest();
      if (s == nullptr) break;
      sanitizer_acquire(s);  // from the fiber that was on it
      taken.push(s);
    }
    least_used_ = std::min(least_used_, used_.size());
    return taken;
  }
  /// The same of the kept ones, until the rest has no more than `pages`.
  [[nodiscard]] stack_list take_coldest_kept(std::size_t most, std::size_t pages) noexcept {
    std::lock_guard const lock{mutex_};
    stack_list taken;
    while (taken.size() < most && kept_pages_ > pages) {
      stack* const s = kept_.pop_coldest();
      kept_pages_ -= s->pages;
      taken.push(s);
    }
    return taken;
  }
  /// Takes in stacks whose pages have been counted, warmer than those that are kept already.
  void keep(stack_list counted) noexcept {
    std::lock_guard const lock{mutex_};
    while (stack* const s = counted.pop_coldest()) {
      kept_.push(s);
      kept_pages_ += s->pages;
    }
  }

private:
  mutable std::mutex mutex_;  // guards all below, and the links of what is in the lists
  stack_list used_;
  stack_list kept_;
  std::size_t kept_pages_ = 0;
  std::size_t least_used_ = 0;  // fewest that were in used_ since idle_since_last_asked()
};

}  // namespace weft::inline v0::detail
