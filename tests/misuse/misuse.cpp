/// @file
/// Programs that must not compile, one for each number; the compiler must say in a few words what is wrong. 0 is right.

#include <weft/runtime/gather.hpp>
#include <weft/runtime/map.hpp>
#include <weft/runtime/race.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task_group.hpp>

#include <string>
#include <vector>

void program() {
  std::vector<int> const numbers{1, 2, 3};
#if MISUSE == 0
  weft::spawn([](int) {}, 1).get();
  (void)weft::gather([] {}, [] { return 1; });
  (void)weft::map(numbers, [](int i) { return i; }, weft::max_concurrency{2});
  weft::race([] {}, [] {});
  weft::with_task_group([](weft::task_group& g) {
    g.spawn([](int) {}, 1);
    g.start([](auto& ready) { ready(); });
  });
#elif MISUSE == 1
  auto t = weft::spawn([](int) {});
#elif MISUSE == 2
  auto results = weft::gather([] { return 1; }, 2);
#elif MISUSE == 3
  auto results = weft::map(numbers, [](std::string const& word) { return word.size(); }, weft::max_concurrency{2});
#elif MISUSE == 4
  weft::with_task_group([] { return 1; });
#elif MISUSE == 5
  weft::task_group g;
  g.start([] {});
#elif MISUSE == 6
  weft::task_group g;
  g.spawn([](int&) {}, 1);
#elif MISUSE == 7
  weft::race([](int) {}, [] {});
#elif MISUSE == 8
  auto t = weft::spawn([] { return 1; });
  auto results = weft::gather([] { return 1; }, t);
#endif
}
