/// @file
/// Failures at each place in what runs and waits for many tasks at once.

#include "injection.hpp"

#include "support/verify.hpp"

#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

using namespace weft::test;
using namespace weft::test::injection;

namespace {

/// Several that do nothing much, and have ended.
std::vector<weft::task<int>> ended_tasks() {
  std::vector<weft::task<int>> tasks;
  for (int i = 0; i < 5; ++i) tasks.push_back(weft::spawn([i] { return i; }));
  for (auto const& t : tasks) t.wait();
  return tasks;
}

std::vector<entry_point> const entry_points{
    {"gather", spawn_errors,
     [](stage& s) {
       std::atomic<int> inside{0};
       auto const f = [&] {
         ++inside;
         weft::yield();
         return --inside;
       };
       s.inject([&] { (void)weft::gather(f, f, f); });
       verify(inside == 0);
     }},
    {"gather, a range", spawn_errors,
     [](stage& s) {
       std::vector<std::function<int()>> functions(70, [] {
         weft::yield();
         return 1;
       });
       s.inject([&] { verify(weft::gather(functions).size() == 70); });
     }},
    {"gather, which fails", spawn_errors,
     [](stage& s) {
       s.inject([] {
         try {
           weft::gather([] { throw 1; }, [] { weft::sleep_for(std::chrono::hours{1}); });
           verify(false);
         } catch (int) {
         }
       });
     }},
    {"gather, tasks", bad_alloc,
     [](stage& s) {
       auto tasks = ended_tasks();
       s.inject([&] { verify(weft::gather(tasks).size() == 5); });
     }},
    {"gather_settled", bad_alloc,
     [](stage& s) {
       s.inject([] {
         auto const [a, b] = weft::gather_settled([] { return 1; }, [] { throw 1; });
         if (!a) std::rethrow_exception(a.exception());  // it may have had no stack
         verify(!b);
       });
     }},
    {"race", spawn_errors, [](stage& s) { s.inject([] { weft::race([] {}, [] { weft::yield(); }); }); }},
    {"wait", bad_alloc,
     [](stage& s) {
       auto tasks = ended_tasks();
       s.inject([&] { verify(weft::wait(tasks).done.size() == 5); });
     }},
    {"as_completed", bad_alloc,
     [](stage& s) {
       auto tasks = ended_tasks();
       s.inject([&] {
         for (auto& t : weft::as_completed(tasks)) t.wait();
       });
     }},
    {"map", spawn_errors,
     [](stage& s) {
       s.inject([] {
         auto const results = weft::map(
             std::views::iota(0, 70),
             [](int i) {
               weft::yield();
               return i;
             },
             weft::max_concurrency{3});
         verify(results.size() == 70);
       });
     }},
    {"task_group", spawn_errors,
     [](stage& s) {
       int n = 0;
       s.inject([&] {
         weft::task_group g;
         for (int i = 0; i < 5; ++i) g.spawn({.name = long_name}, [&n] { ++n; });
         g.wait();
       });
       weft::task_group g;
       g.spawn([] {});
       g.wait();
     }},
    {"task_group::start", spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::task_group g;
         verify(g.start<int>([](auto& ready) { ready(1); }) == 1);
         g.wait();
       });
     }},
    {"task_group::wait_all and failures", spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::task_group g;
         g.spawn([] { throw 1; });
         try {
           g.wait_all();
         } catch (weft::exception_group const& e) {
           verify(e.exceptions().size() == 1);
           // Had it no stack, that is its failure.
           try {
             std::rethrow_exception(e.exceptions()[0]);
           } catch (int) {
           }
         }
       });
     }},
    {"with_task_group", spawn_errors,
     [](stage& s) {
       s.inject([] {
         weft::with_task_group([](weft::task_group& g) {
           g.spawn([] { weft::yield(); });
           weft::yield();
         });
       });
     }},
};

}  // namespace

TEST_CASE("whatever call for memory or to the system fails, groups and what runs many fail cleanly and work again",
          "[failure][rule11][rule17]") {
  auto const total = exhaust(entry_points, true);
  CHECK(total.failures > total.entry_points);
}
