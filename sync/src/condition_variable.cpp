#include <weft/sync/condition_variable.hpp>

#include "queueing.hpp"
#include "refuse.hpp"

#include <cstddef>
#include <system_error>

namespace weft::inline v0 {

condition_variable::~condition_variable() {
  if (!detail::wait_list::section{line_}.empty()) {
    detail::refuse("a condition_variable is destroyed while somebody waits for it");
  }
}

void condition_variable::refuse_unlocked() {
  throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                          "weft::condition_variable: a wait needs the lock to be held");
}

void condition_variable::enqueue(detail::wait_node& node) noexcept {
  detail::wait_list::section line{line_};
  line.push_back(node);
}

void condition_variable::withdraw(detail::wait_node& node) noexcept {
  detail::wait_list::section line{line_};
  line.remove(node);
}

void condition_variable::notify_one() noexcept {
  detail::wait_node* first = nullptr;
  {
    detail::wait_list::section line{line_};
    first = detail::claim_first(line);
  }
  if (first != nullptr) first->owner->wake();
}

void condition_variable::notify_all() noexcept {
  detail::wait_node* claimed = nullptr;
  {
    detail::wait_list::section line{line_};
    (void)line.claim(static_cast<std::size_t>(-1), &claimed);
  }
  detail::wake_all(claimed);
}

}  // namespace weft::inline v0
