/// @file
/// context_var: what a fiber, a call or a thread inherits, and what stays its own.

#include <weft/runtime/context_var.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

static_assert(!std::is_copy_constructible_v<weft::context_var<int>>);
static_assert(!std::is_move_constructible_v<weft::context_var<int>::scoped>);

namespace {

/// Counts those that live.
struct counted {
  explicit counted(std::atomic<int>& c, int v = 0) : count(&c), value(v) { ++*count; }
  counted(counted&& other) noexcept : count(other.count), value(other.value) { ++*count; }
  ~counted() { --*count; }
  std::atomic<int>* count;
  int value;
};

/// Calls something when it dies, unless moved from.
template <class F>
struct at_end {
  explicit at_end(F g) : f(std::make_unique<F>(std::move(g))) {}
  at_end(at_end&&) noexcept = default;
  ~at_end() {
    if (f != nullptr) (*f)();
  }
  std::unique_ptr<F> f;
};

}  // namespace

TEST_CASE("a variable has its default until it is set, and each fiber sets its own", "[context_var]") {
  weft::context_var<std::string> user{"nobody"};
  weft::context_var<int> depth;
  run_on(some_workers(), [&] {
    verify(user.get() == "nobody" && !user.has_value());
    verify(depth.get() == 0 && !depth.has_value());
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        verify(user.get() == "nobody" && !user.has_value());
        for (int n = 0; n < 5; ++n) {
          user.set("user " + std::to_string(i));
          depth.set(i + n);
          weft::yield();
          verify(user.get() == "user " + std::to_string(i) && user.has_value());
          verify(depth.get() == i + n);
        }
      }));
    }
    for (auto& t : tasks) t.get();
    verify(!user.has_value() && !depth.has_value());
  });
}

TEST_CASE("a child sees what its spawner saw at spawn, and neither sees what the other sets later", "[context_var]") {
  weft::context_var<int> a{0};
  weft::context_var<int> b{0};
  run_on(some_workers(), [&] {
    a.set(1);
    weft::event parent_has_set;
    weft::event child_has_set;
    auto child = weft::spawn([&] {
      verify(a.get() == 1 && b.get() == 0);
      parent_has_set.wait();
      verify(a.get() == 1 && b.get() == 0 && !b.has_value());
      a.set(10);
      auto const grandchild = weft::spawn([&] { return a.get(); });
      a.set(11);
      child_has_set.set();
      grandchild.wait();
      return 0;
    });
    a.set(2);
    b.set(3);
    parent_has_set.set();
    child_has_set.wait();
    verify(a.get() == 2 && b.get() == 3);
    child.get();
    // With options, eagerly, with a callable that is no plain data, detached: all inherit.
    verify(weft::spawn({.name = "named"}, [&] { return a.get(); }).get() == 2);
    verify(weft::spawn({.start = weft::start::eager}, [&] { return a.get(); }).get() == 2);
    verify(weft::spawn([&, p = std::make_unique<int>(5)] { return a.get() + *p; }).get() == 7);
    weft::event done;
    std::ignore = weft::spawn({.detached = true}, [&] {
      verify(a.get() == 2 && b.get() == 3);
      done.set();
    });
    done.wait();
    // A child that was spawned before the first variable was set sees none.
    weft::context_var<int> late{7};
    weft::event set;
    auto before = weft::spawn([&] {
      set.wait();
      return late.get();
    });
    late.set(8);
    set.set();
    verify(before.get() == 7);
  });
}

TEST_CASE("reset puts back what the token's call replaced, and tokens of others are refused",
          "[context_var][bad-input]") {
  weft::context_var<int> v{0};
  weft::context_var<int> other{0};
  run_on(some_workers(), [&] {
    auto first = v.set(1);
    auto second = v.set(2);
    other.set(9);
    v.reset(std::move(second));
    verify(v.get() == 1 && other.get() == 9);
    v.reset(std::move(first));
    verify(!v.has_value() && v.get() == 0 && other.get() == 9);

    auto mine = v.set(3);
    verify(throws<weft::error>([&] { other.reset(std::move(mine)); }));
    auto again = v.set(4);
    auto child = weft::spawn([&, t = std::move(again)]() mutable {
      verify(throws<weft::error>([&] { v.reset(std::move(t)); }));
      verify(v.get() == 4);
    });
    child.get();
    verify(v.get() == 4);
  });
  auto token = v.set(5);
  std::thread{[&] {
    CHECK(v.get() == 0);
    CHECK_THROWS_AS(v.reset(std::move(token)), weft::error);
  }}.join();
  CHECK(v.get() == 5);
  v.reset(v.set(6));  // to what was before
  CHECK(v.get() == 5);
}

TEST_CASE("set_scoped puts back the value at its end, also in an unwinding, and leaves others alone", "[context_var]") {
  weft::context_var<std::string> v{"default"};
  weft::context_var<int> other{0};
  run_on(some_workers(), [&] {
    {
      auto const outer = v.set_scoped("outer");
      verify(v.get() == "outer");
      try {
        auto const inner = v.set_scoped("inner");
        verify(v.get() == "inner");
        weft::yield();
        throw 1;
      } catch (int) {
      }
      verify(v.get() == "outer");
      // Others that are set meanwhile stay; the variable's own value does not.
      {
        auto const inner = v.set_scoped("inner");
        other.set(5);
        v.set("something else");
        auto child = weft::spawn([&] {
          weft::yield();
          return v.get();
        });
        verify(child.get() == "something else");
      }
      verify(v.get() == "outer" && other.get() == 5);
    }
    verify(!v.has_value() && v.get() == "default" && other.get() == 5);
    // In the way back where the scope put the first value in of all.
    weft::spawn([&] {
      verify(other.has_value());
      auto const scope = v.set_scoped("x");
      other.set(6);
    }).get();
  });
}

TEST_CASE("a scoped value that dies elsewhere aborts with a message", "[context_var][bad-input]") {
  CHECK(aborts_with("set_scoped() returned dies on another fiber", [] {
    weft::context_var<int> v{0};
    weft::run([&] {
      using scoped = decltype(v)::scoped;
      struct holder {
        weft::context_var<int>& v;
        scoped s = v.set_scoped(1);
      };
      auto held = std::make_unique<holder>(v);
      weft::spawn([&held] { held.reset(); }).get();
    });
  }));
}

TEST_CASE("values may be move-only, are shared by all who inherit, and live as long as anyone sees them",
          "[context_var]") {
  std::atomic<int> live{0};
  weft::context_var<std::unique_ptr<counted>> v;
  run_on(some_workers(), [&] {
    v.set(std::make_unique<counted>(live, 1));
    auto const* const shared = v.get().get();
    weft::event go;
    auto child = weft::spawn([&] {
      go.wait();
      verify(v.get().get() == shared);
    });
    v.set(std::make_unique<counted>(live, 2));
    verify(live == 2);
    go.set();
    child.wait();
    verify(live == 1);  // the child has let go before it counts as ended, though its handle is still there
    v.set(nullptr);
    verify(live == 0);
  });
  CHECK(live == 0);
}

TEST_CASE("values go on the fiber that sees them last, where a destructor may wait and look at the context",
          "[context_var]") {
  std::atomic<int> gone{0};
  weft::context_var<int> number{0};
  run_on(some_workers(), [&] {
    auto const at_death = [&] {
      verify(weft::this_fiber::get_id() != weft::fiber_id{});
      verify(number.get() == 0);  // it is gone with the table
      weft::sleep_for(1us);
      ++gone;
    };
    using noisy = at_end<decltype(at_death)>;
    weft::context_var<std::shared_ptr<noisy>> v;
    auto t = weft::spawn([&] {
      number.set(5);
      v.set(std::make_shared<noisy>(at_death));
    });
    t.wait();
    verify(gone == 1);
    // The same where it is cancelled: the wait is shielded.
    weft::event started;
    auto cancelled = weft::spawn([&] {
      v.set(std::make_shared<noisy>(at_death));
      started.set();
      weft::sleep_for(24h);
    });
    started.wait();
    cancelled.cancel();
    cancelled.wait();
    verify(gone == 2);
    gone = 0;
  });
}

TEST_CASE("a destructor that sets a variable while its fiber ends leaves nothing behind", "[context_var]") {
  std::atomic<int> live{0};
  run_on(some_workers(), [&] {
    weft::context_var<std::shared_ptr<counted>> late;
    weft::fiber_local<int> local;
    auto const sets = [&] {
      late.set(std::make_shared<counted>(live));
      local.get() = 1;
    };
    weft::context_var<std::shared_ptr<at_end<decltype(sets)>>> v;
    auto t = weft::spawn([&] { v.set(std::make_shared<at_end<decltype(sets)>>(sets)); });
    t.wait();
    verify(live == 0);
  });
}

TEST_CASE("a task that never runs lets go of what it would have seen", "[context_var]") {
  std::atomic<int> live{0};
  run_on(some_workers(), [&] {
    weft::context_var<std::shared_ptr<counted>> v;
    v.set(std::make_shared<counted>(live));
    auto never = weft::spawn([] {});
    never.cancel();
    v.set(nullptr);
    never.wait();
    verify(live == 0);
  });
}

TEST_CASE("rule 20: context_vars come along to the pool's thread, and what is set there stays there",
          "[context_var][rule20]") {
  weft::context_var<std::string> user{"nobody"};
  weft::offload_pool pool{{.threads = 1}};
  run_on(some_workers(), [&] {
    auto const job = [&] {
      std::string const seen = user.get();
      user.set("set by the job");
      return seen + "/" + user.get();
    };
    verify(weft::offload(job) == "nobody/set by the job");
    auto const restore = user.set_scoped("ana");
    std::string const expected = "ana/set by the job";
    verify(weft::offload(job) == expected);
    verify(weft::offload_blocking(job) == expected);
    verify(weft::offload({.name = "owned"}, job) == expected);
    verify(weft::offload({.abandon_on_cancel = true}, job) == expected);
    verify(pool.run(job) == expected);
    // In place, on a thread of the pool itself.
    verify(pool.run([&] {
      user.set("outer job");
      auto const inner = pool.run(job);
      return inner + "/" + user.get();
    }) == "outer job/set by the job/outer job");
    verify(user.get() == "ana");
  });
  // A thread passes on its own; and the pool's thread has none of what went through it.
  user.set("thread");
  CHECK(pool.run([&] { return user.get(); }) == "thread");
  std::thread{[&] { CHECK(pool.run([&] { return user.get(); }) == "nobody"); }}.join();
  weft::run([&] { verify(user.get() == "thread"); });
}

TEST_CASE("rule 20: in a simulation, too, where a job runs on its caller's fiber", "[context_var][rule20]") {
  weft::context_var<int> v{0};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    weft::testing::simulation sim{seed};
    sim.run([&] {
      verify(weft::offload([&] {
               v.set(1);  // where the caller has set none
               return v.get();
             }) == 1);
      verify(!v.has_value());
      v.set(2);
      auto other = weft::spawn([&] {
        for (int i = 0; i < 4; ++i) {
          verify(v.get() == 2);
          weft::yield();
        }
      });
      verify(weft::offload([&] {
               v.set(v.get() + 1);
               weft::yield();
               return v.get();
             }) == 3);
      verify(v.get() == 2);
      other.get();
    });
  }
}

TEST_CASE("a job that its caller has left keeps what it sees", "[context_var][rule20]") {
  std::atomic<int> live{0};
  weft::context_var<std::shared_ptr<counted>> v;
  run_on(some_workers(), [&] {
    weft::event started;
    weft::event release;
    std::atomic<int> seen{0};
    auto caller = weft::spawn([&] {
      v.set(std::make_shared<counted>(live, 7));
      weft::offload({.abandon_on_cancel = true}, [&v, s = &started, r = &release, to = &seen] {
        s->set();
        r->wait();
        *to = v.get()->value;
      });
    });
    started.wait();
    caller.cancel();
    caller.wait();
    verify(live == 1);
    release.set();
    while (live != 0) weft::yield();
    verify(seen == 7);
  });
}

TEST_CASE("rule 19: after, every and on_done run with the values of the one who registered", "[context_var][rule19]") {
  weft::context_var<std::string> user{"nobody"};
  run_with(weft::testing::in_virtual_time(), [&] {
    std::vector<std::string> seen;
    auto const look = [&](char const* where) { seen.push_back(std::string(where) + " " + user.get()); };
    weft::task<void> later;
    weft::task<void> often;
    weft::event go;
    auto finishing = weft::spawn([&] {
      user.set("finisher");
      go.wait();
    });
    {
      auto const restore = user.set_scoped("ana");
      later = weft::after(1500ms, [&] { look("after"); });
      often = weft::every(1s, [&] {
        look("every");
        user.set("its own from now on");
      });
      finishing.on_done([&] {
        look("on_done");
        user.set("not seen by anyone");
      });
    }
    finishing.on_done([&] { look("second on_done"); });
    go.set();
    finishing.wait();
    later.get();
    weft::sleep_for(1s);
    often.cancel();
    often.wait();
    finishing.on_done([&] {
      look("at once");
      user.set("gone again");
    });
    look("at the end");
    verify(seen == std::vector<std::string>{"on_done ana", "second on_done nobody", "every ana", "after ana",
                                            "every its own from now on", "at once nobody", "at the end nobody"});
  });
}

TEST_CASE("post and spawn from a thread pass on the thread's own values", "[context_var]") {
  weft::context_var<int> v{0};
  weft::runtime rt{on(some_workers())};
  std::thread{[&] {
    v.set(4);
    CHECK(rt.spawn([&] { return v.get(); }).get() == 4);
    CHECK(rt.run([&] {
      v.set(5);
      return v.get();
    }) == 5);
    CHECK(v.get() == 4);
    weft::event done;
    std::atomic<int> seen{0};
    rt.post([&] {
      seen = v.get();
      done.set();
    });
    v.set(6);
    done.wait();
    CHECK(seen == 4);
  }}.join();
  CHECK(rt.run([&] { return v.get(); }) == 0);
}

TEST_CASE("many variables, and values set by the thousand, leave one value each", "[context_var]") {
  std::atomic<int> live{0};
  run_on(some_workers(), [&] {
    std::vector<std::unique_ptr<weft::context_var<std::shared_ptr<counted>>>> vars;
    for (int i = 0; i < 50; ++i) vars.push_back(std::make_unique<weft::context_var<std::shared_ptr<counted>>>());
    for (int round = 0; round < 20; ++round) {
      for (auto& v : vars) v->set(std::make_shared<counted>(live, round));
    }
    verify(live == 50);
    for (auto& v : vars) verify(v->get()->value == 19);
    // A variable that is gone: its values go with those who see them, and another one in its place sees none of them.
    vars.pop_back();
    vars.push_back(std::make_unique<weft::context_var<std::shared_ptr<counted>>>());
    verify(vars.back()->get() == nullptr);
  });
  CHECK(live == 0);
}

TEST_CASE("values are inherited, set and looked at by many at once", "[context_var][stress]") {
  std::atomic<int> live{0};
  weft::context_var<std::shared_ptr<counted>> v;
  weft::context_var<int> w{0};
  run_on(some_workers(), [&] {
    v.set(std::make_shared<counted>(live, -1));
    for (std::size_t round = 0; round < scaled(200); ++round) {
      std::vector<weft::task<int>> tasks;
      for (int i = 0; i < 20; ++i) {
        if (i % 3 == 0) w.set(i);
        int const expected = w.get();
        tasks.push_back(weft::spawn([&, i, expected] {
          verify(v.get()->value == -1 && w.get() == expected);
          auto const restore = v.set_scoped(std::make_shared<counted>(live, i));
          weft::yield();
          auto child = weft::spawn([&] { return v.get()->value; });
          if (i % 2 == 0) w.set(i);
          verify(child.get() == i);
          return v.get()->value;
        }));
      }
      for (int i = 0; i < 20; ++i) verify(tasks[static_cast<std::size_t>(i)].get() == i);
    }
    verify(live == 1);
  });
  CHECK(live == 0);
}
