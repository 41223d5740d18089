/// A generator is a function that hands out values one by one and may wait in between: here for a second each. Who
/// iterates waits with it, others run on, and views work as on any range. In virtual time, so that it takes none.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <memory>
#include <ranges>
#include <utility>

using namespace std::chrono_literals;

namespace {

/// 1, 2, ... up to `last`, a second apart.
weft::generator<int> numbers(int last) {
  return weft::generator<int>([last](auto& yield) {
    for (int i = 1; i <= last; ++i) {
      weft::sleep_for(1s);
      yield(i);
    }
  });
}

struct node {
  int value;
  std::unique_ptr<node> left{};
  std::unique_ptr<node> right{};
};

/// Recursion needs nothing special: `yield` is passed along.
void in_order(node const* n, weft::yielder<int> const& yield) {
  if (n == nullptr) return;
  in_order(n->left.get(), yield);
  yield(n->value);
  in_order(n->right.get(), yield);
}

}  // namespace

int main() {
  weft::run(
      [] {
        auto const start = weft::testing::now();
        auto const seconds = [start] { return static_cast<int>((weft::testing::now() - start) / 1s); };

        for (int const i : numbers(3)) std::printf("%d s: number %d\n", seconds(), i);

        auto const even = std::views::filter([](int i) { return i % 2 == 0; });
        auto const squared = std::views::transform([](int i) { return i * i; });
        auto slow = weft::spawn([&] { return weft::collect(numbers(6) | even | squared); });
        weft::sleep_for(1s);
        std::printf("%d s: others run meanwhile\n", seconds());
        for (int const i : slow.get()) std::printf("%d s: square %d\n", seconds(), i);

        node root{.value = 2};
        root.left = std::make_unique<node>(node{.value = 1});
        root.right = std::make_unique<node>(node{.value = 3});
        weft::generator<int> tree([&](auto& yield) { in_order(&root, yield); });
        for (int const i : tree) std::printf("in the tree: %d\n", i);

        {
          weft::generator<int> unfinished([](auto& yield) {
            auto const at_the_end = std::shared_ptr<void>(nullptr, [](void*) { std::printf("cleaned up\n"); });
            for (int i = 0;; ++i) yield(i);
          });
          std::printf("first of many: %d\n", *unfinished.begin());
        }  // ends the body at its yield
      },
      weft::testing::in_virtual_time());
}

// Prints:
//   1 s: number 1
//   2 s: number 2
//   3 s: number 3
//   4 s: others run meanwhile
//   9 s: square 4
//   9 s: square 16
//   9 s: square 36
//   in the tree: 1
//   in the tree: 2
//   in the tree: 3
//   first of many: 0
//   cleaned up
