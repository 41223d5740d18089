/// Transfers between accounts, many at a time. A transfer waits in its midst, as one does that asks a database. Without
/// a lock others come in between, and what they wrote is overwritten: money is lost. With a mutex for each
/// account, held over the wait, every cent stays.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <random>

using namespace std::chrono_literals;

namespace {

struct account {
  std::atomic<long> balance{1000};  // atomic, which does not help: to read and then to write are two steps
  weft::mutex guard;
};

using bank = std::array<account, 10>;

void move_money(account& from, account& to, long amount) {
  long const left = from.balance - amount;
  long const more = to.balance + amount;
  weft::sleep_for(1ms);  // the ledger is written
  if (left < 0) return;
  from.balance = left;
  to.balance = more;
}

void move_money_alone(account& from, account& to, long amount) {
  std::scoped_lock const both{from.guard, to.guard};  // in whatever order others lock them: no deadlock
  move_money(from, to, amount);
}

long total_after_transfers(void (*transfer)(account&, account&, long)) {
  bank accounts;
  std::minstd_rand random{7};
  weft::with_task_group([&](weft::task_group& group) {
    for (int i = 0; i < 1000; ++i) {
      auto const from = random() % accounts.size();
      auto const to = (from + 1 + random() % (accounts.size() - 1)) % accounts.size();
      long const amount = static_cast<long>(random() % 100);
      group.spawn([&, from, to, amount] { transfer(accounts.at(from), accounts.at(to), amount); });
    }
  });
  long total = 0;
  for (auto const& a : accounts) total += a.balance;
  return total;
}

}  // namespace

int main() {
  weft::run(
      [] {
        std::printf("10 accounts with 1000 each, 1000 transfers\n");
        std::printf("without a lock: %ld\n", total_after_transfers(move_money));
        std::printf("with mutexes:   %ld\n", total_after_transfers(move_money_alone));
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   10 accounts with 1000 each, 1000 transfers
//   without a lock: 9769
//   with mutexes:   10000
