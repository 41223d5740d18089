/// @file
/// The two lists of ready fibers: the injection queue and the ordered queue.

#include "injection_queue.hpp"
#include "ordered_queue.hpp"

#include "support/catch.hpp"
#include "support/scale.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

using weft::detail::fiber_record;
using weft::detail::injection_queue;
using weft::detail::ordered_queue;

namespace {

/// Records with ids 0, 1, ...
std::vector<std::unique_ptr<fiber_record>> make(std::size_t count) {
  std::vector<std::unique_ptr<fiber_record>> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(std::make_unique<fiber_record>());
    all.back()->id = i;
  }
  return all;
}

std::vector<std::uint64_t> ids(fiber_record const* list) {
  std::vector<std::uint64_t> all;
  for (; list != nullptr; list = list->next) all.push_back(list->id);
  return all;
}

using list = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("an injection queue is first in, first out, and gives no more than asked for", "[queue]") {
  auto const f = make(6);
  injection_queue q;
  CHECK(q.empty());
  CHECK(q.pop(4) == nullptr);
  q.push(*f[0]);
  f[1]->next = f[2].get();
  f[2]->next = f[3].get();
  q.push_list(f[1].get(), f[3].get(), 3);
  q.push(*f[4]);
  CHECK(q.size() == 5);
  CHECK(ids(q.pop(2)) == list{0, 1});
  CHECK(q.size() == 3);
  q.push(*f[5]);
  CHECK(ids(q.pop(100)) == list{2, 3, 4, 5});
  CHECK(q.empty());
  CHECK(q.pop(1) == nullptr);
  q.push(*f[0]);  // it works again after it was empty
  CHECK(ids(q.pop(1)) == list{0});
}

TEST_CASE("an injection queue loses and doubles nothing between threads, and keeps each one's order",
          "[queue][stress]") {
  auto const each = weft::test::scaled(20'000);
  constexpr std::size_t producers = 3;
  auto const f = make(each * producers);
  injection_queue q;
  std::vector<std::vector<std::uint64_t>> taken(2);
  std::atomic<std::size_t> left{f.size()};
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      for (std::size_t i = 0; i < each; ++i) q.push(*f[p * each + i]);
    });
  }
  for (auto& mine : taken) {
    threads.emplace_back([&] {
      while (left.load() != 0) {
        auto const got = ids(q.pop(7));
        mine.insert(mine.end(), got.begin(), got.end());
        left.fetch_sub(got.size());
      }
    });
  }
  for (auto& t : threads) t.join();
  std::vector<int> seen(f.size(), 0);
  for (auto const& mine : taken) {
    std::vector<std::uint64_t> last(producers, 0);
    for (auto const id : mine) {
      ++seen[id];
      CHECK(id + 1 > last[id / each]);
      last[id / each] = id + 1;
    }
  }
  CHECK(std::count(seen.begin(), seen.end(), 1) == static_cast<std::ptrdiff_t>(seen.size()));
}

TEST_CASE("an ordered queue gives any of its fibers and keeps the order of the others", "[queue]") {
  auto const f = make(5);
  ordered_queue q;
  CHECK(q.take(0) == nullptr);
  for (auto const& r : f) q.push(*r);
  CHECK(q.size() == 5);
  CHECK(q.take(5) == nullptr);
  CHECK(q.take(2) == f[2].get());
  CHECK(q.take(0) == f[0].get());
  CHECK(q.take(2) == f[4].get());  // the last: what is pushed next comes after f[3]
  q.push(*f[0]);
  CHECK(q.size() == 3);
  CHECK(q.take(0) == f[1].get());
  CHECK(q.take(0) == f[3].get());
  CHECK(q.take(0) == f[0].get());
  CHECK(q.take(0) == nullptr);
  CHECK(q.size() == 0);
}
