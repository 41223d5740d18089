/// @file
/// H18: a scope in which a fiber must not be suspended.

#include <weft/runtime/no_suspend.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <chrono>
#include <mutex>
#include <optional>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// Whether `f`, on a fiber named "careless" of a runtime in debug mode, aborts with that message.
template <class F>
bool aborts_on_fiber(std::size_t workers, std::string const& message, F f) {
  return aborts_with(message, [&] {
    auto options = on(workers);
    options.debug = true;
    weft::runtime rt{options};
    rt.spawn({.name = "careless"}, f).get();
  });
}

}  // namespace

TEST_CASE("H18: a wait inside a no_suspend_scope aborts and names the fiber and the reason", "[hazard][H18]") {
  auto const workers = some_workers();
  CHECK(aborts_on_fiber(workers, "'careless' waits for 'event' inside a no_suspend_scope", [] {
    weft::event e;
    weft::no_suspend_scope const scope;
    e.wait();
  }));
  CHECK(aborts_on_fiber(workers, "'careless' waits for 'sleep' inside a no_suspend_scope", [] {
    weft::no_suspend_scope const scope;
    weft::sleep_for(1ms);
  }));
  CHECK(aborts_on_fiber(workers, "'careless' waits for 'task' inside a no_suspend_scope", [] {
    auto endless = weft::spawn([] { weft::sleep_for(24h); });
    weft::no_suspend_scope const scope;
    endless.get();
  }));
  CHECK(aborts_on_fiber(workers, "'careless' yields inside a no_suspend_scope", [] {
    weft::no_suspend_scope const scope;
    weft::yield();
  }));
  CHECK(aborts_on_fiber(workers, "inside a no_suspend_scope", [] {
    weft::no_suspend_scope const scope;
    weft::spawn({.start = weft::start::eager}, [] {}).get();
  }));
  CHECK(aborts_on_fiber(workers, "'careless' waits for 'event'", [] {
    weft::event e;
    std::mutex m;
    weft::no_suspend_lock const lock{m};
    (void)e.wait_for(1h);
  }));
}

TEST_CASE("H18: what does not suspend passes, and so does all outside of the scope", "[hazard][H18]") {
  auto options = on(some_workers());
  options.debug = true;
  run_with(options, [] {
    weft::event set;
    set.set();
    std::mutex m;
    weft::yield();
    {
      weft::no_suspend_scope const outer;
      {
        weft::no_suspend_lock const inner{m};
        set.wait();
      }
      set.wait();
      verify(!weft::event{}.wait_for(0s));
      auto detached = weft::spawn([] {});
      detached.detach();
    }
    verify(m.try_lock());
    m.unlock();
    weft::yield();
    weft::sleep_for(1us);
    for (int i = 0; i < 100; ++i) verify(weft::spawn([i] { return weft::spawn([i] { return i; }).get(); }).get() == i);
  });
}

TEST_CASE("H18: an inner scope's end leaves the outer one in force", "[hazard][H18]") {
  CHECK(aborts_on_fiber(1, "'careless' yields", [] {
    weft::no_suspend_scope const outer;
    {
      weft::no_suspend_scope const inner;
    }
    weft::yield();
  }));
}

TEST_CASE("H18: without debug, and outside of a fiber, the scope does nothing", "[hazard][H18]") {
  run_on(some_workers(), [] {
    weft::no_suspend_scope const scope;
    weft::yield();
    weft::sleep_for(1us);
    weft::spawn([] { weft::yield(); }).get();
  });
  weft::no_suspend_scope const scope;
  weft::sleep_for(1us);
  weft::yield();
}
