/// A chess exhibition: one master against 24 opponents. She needs 5 s for a move, they need 55 s, and a game takes 30
/// moves of each. One game after the other she sits for most of the time. In rounds she goes from board to board, and
/// her opponents think all at once. Both take hours, which a simulation passes in no time.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr int boards = 24;
constexpr int moves = 30;

void masters_move() { weft::sleep_for(5s); }
void opponents_move() { weft::sleep_for(55s); }

void one_by_one() {
  for (int board = 0; board < boards; ++board) {
    for (int move = 0; move < moves; ++move) {
      masters_move();
      opponents_move();
    }
  }
}

void in_rounds() {
  std::vector<weft::task<void>> thinking(boards);
  for (int move = 0; move < moves; ++move) {
    for (auto& opponent : thinking) {
      if (opponent.valid()) opponent.get();
      masters_move();
      opponent = weft::spawn(opponents_move);
    }
  }
  for (auto& opponent : thinking) opponent.get();
}

std::chrono::seconds play(char const* how, void (*exhibition)()) {
  weft::testing::simulation hall{2024};
  hall.run(exhibition);
  std::chrono::hh_mm_ss const took{std::chrono::duration_cast<std::chrono::seconds>(hall.elapsed())};
  std::printf("%-10s  %2d h %2d min %2d s\n", how, static_cast<int>(took.hours().count()),
              static_cast<int>(took.minutes().count()), static_cast<int>(took.seconds().count()));
  return took.to_duration();
}

}  // namespace

int main() {
  auto const slow = play("one by one", one_by_one);
  auto const fast = play("in rounds", in_rounds);
  std::printf("%.1f times as fast\n", static_cast<double>(slow.count()) / static_cast<double>(fast.count()));
}

// Prints:
//   one by one  12 h  0 min  0 s
//   in rounds    1 h  0 min 55 s
//   11.8 times as fast
