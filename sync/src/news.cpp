#include <weft/sync/detail/news.hpp>

#include "queueing.hpp"

#include <cstddef>

namespace weft::inline v0::detail {

wait_node* news::everyone(wait_list::section& line) noexcept {
  wait_node* claimed = nullptr;
  (void)line.claim(static_cast<std::size_t>(-1), &claimed);
  return claimed;
}

void news::wake(wait_node* claimed) noexcept { wake_all(claimed); }

void news::close() noexcept {
  wait_node* waiting = nullptr;
  {
    wait_list::section line{line_};
    closed_ = true;
    waiting = everyone(line);
  }
  wake_all(waiting);
}

bool news::wait_past(std::uint64_t seen, time_point deadline) {
  check_cancelled();
  auto const are_some = [&] { return read([&](std::uint64_t count, bool closed) { return count > seen || closed; }); };
  if (are_some()) return true;
  if (only_tries(deadline)) return false;
  waiter self{"news"};
  wait_node node{self};
  if (wait_in_line(line_, node, self, deadline, [&](auto const&) { return count_ > seen || closed_; })) return true;
  return are_some();  // they may have come when the time was up already
}

}  // namespace weft::inline v0::detail
