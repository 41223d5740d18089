/// @file
/// The names of Boost.Fiber where things go wrong, or end, at the worst moment: values whose moves throw, cancellation
/// that comes together with what was waited for, what is freed as soon as that is allowed, and threads that end. No
/// case here makes fibers on the main thread, which so can fork.

#include <weft/compat/boost_fiber.hpp>

#include "compat/run_to_the_end.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/context_var.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace fibers = weft::compat::fibers;
namespace this_fiber = weft::compat::this_fiber;
using namespace std::chrono_literals;
using namespace weft::test;
using status = fibers::channel_op_status;

namespace {

struct value_failed {};

/// A value of which the n-th copy from now, or the n-th move, can be made to throw.
class fragile {
public:
  explicit fragile(int number = 0) noexcept : number_(number) {}
  fragile(fragile const& other) : number_((count(copies_left), other.number_)) {}
  fragile(fragile&& other) : number_((count(moves_left), std::exchange(other.number_, 0))) {}  // NOLINT: it throws
  fragile& operator=(fragile const& other) {
    count(copies_left);
    number_ = other.number_;
    return *this;
  }
  fragile& operator=(fragile&& other) {  // NOLINT: it throws
    count(moves_left);
    number_ = std::exchange(other.number_, 0);
    return *this;
  }
  [[nodiscard]] int number() const noexcept { return number_; }

  inline static std::atomic<int> copies_left{0};  ///< until one throws
  inline static std::atomic<int> moves_left{0};

private:
  static void count(std::atomic<int>& left) {
    if (left.fetch_sub(1) == 1) throw value_failed();
  }
  int number_;
};

using buffered = fibers::buffered_channel<fragile>;
using unbuffered = fibers::unbuffered_channel<fragile>;

template <class Channel>
std::unique_ptr<Channel> make() {
  if constexpr (std::is_same_v<Channel, buffered>) {
    return std::make_unique<buffered>(2);  // room for one
  } else {
    return std::make_unique<unbuffered>();
  }
}

template <class Channel>
int by_pop(Channel& c) {
  fragile value;
  verify(c.pop(value) == status::success);
  return value.number();
}
template <class Channel>
int by_value_pop(Channel& c) {
  auto const value = c.value_pop();
  return value.number();
}
template <class Channel>
int by_iterator(Channel& c) {
  auto first = begin(c);
  return first->number();
}
int by_try_pop(buffered& c) {
  fragile value;
  verify(c.try_pop(value) == status::success);
  return value.number();
}

/// Pops, with each of the moves failing that this takes, until none fails.
template <class Channel>
void lose_no_value(std::vector<int (*)(Channel&)> const& ways_to_pop) {
  for (auto const& pop : ways_to_pop) {
    bool failed = true;
    for (int nth = 1; failed; ++nth) {
      auto const c = make<Channel>();
      weft::event is_in;
      fibers::fiber producer([&] {
        if constexpr (std::is_same_v<Channel, buffered>) {
          verify(c->push(fragile(7)) == status::success);
          is_in.set();
        } else {
          is_in.set();
          verify(c->push(fragile(7)) == status::success);
        }
      });
      is_in.wait();
      fragile::moves_left = nth;
      int got = 0;
      failed = throws<value_failed>([&] { got = pop(*c); });
      fragile::moves_left = 0;
      if (failed) got = by_pop(*c);
      verify(got == 7);
      producer.join();
      verify(nth < 10);
    }
  }
}

}  // namespace

TEST_CASE("a value whose move throws while it is popped stays in the channel", "[compat][channel]") {
  watchdog dog{"compat, moves that throw"};
  run_to_the_end_on(some_workers(), [&dog] {
    lose_no_value<buffered>({by_pop<buffered>, by_value_pop<buffered>, by_iterator<buffered>, by_try_pop});
    dog.feed();
    lose_no_value<unbuffered>({by_pop<unbuffered>, by_value_pop<unbuffered>, by_iterator<unbuffered>});
  });
}

TEST_CASE("a producer whose value throws leaves the room to the next in line", "[compat][channel]") {
  watchdog dog{"compat, a producer that throws"};
  run_to_the_end_on(some_workers(), [] {
    buffered c(2);
    verify(c.push(fragile(1)) == status::success);
    fragile::copies_left = 1;
    std::atomic<int> failures{0};
    auto const produce = [&] {
      fragile const mine(2);
      if (throws<value_failed>([&] { verify(c.push(mine) == status::success); })) ++failures;
    };
    fibers::fiber first(fibers::launch::dispatch, produce);
    fibers::fiber second(fibers::launch::dispatch, produce);
    verify(by_pop(c) == 1);
    verify(by_pop(c) == 2);
    first.join();
    second.join();
    verify(failures == 1);
  });
}

TEMPLATE_TEST_CASE("a consumer that cannot take a value leaves it to the next in line", "[compat][channel]", buffered,
                   unbuffered) {
  watchdog dog{"compat, a consumer that throws"};
  run_to_the_end_on(some_workers(), [] {
    for (int const way : {0, 1, 2}) {
      auto const c = make<TestType>();
      std::atomic<int> failures{0};
      std::atomic<int> got{0};
      auto const consume = [&] {
        bool const failed = throws<value_failed>([&] {
          got += way == 0 ? by_pop(*c) : way == 1 ? by_value_pop(*c) : by_iterator(*c);
        });
        if (failed) ++failures;
      };
      fragile::moves_left = 1;
      fibers::fiber first(fibers::launch::dispatch, consume);
      fibers::fiber second(fibers::launch::dispatch, consume);
      fragile const mine(3);
      verify(c->push(mine) == status::success);
      first.join();
      second.join();
      verify(failures == 1 && got == 3);
    }
  });
}

TEST_CASE("rule 3: a result that was there before its waiter was cancelled is got, or left to be got",
          "[compat][future]") {
  run_to_the_end_on(some_workers(), [] {
    fibers::promise<int> p;
    auto f = p.get_future();
    int got = 0;
    bool cancelled = false;
    weft::event about_to_wait;
    auto gets = weft::spawn([&] {
      about_to_wait.set();
      try {
        got = f.get();
      } catch (weft::cancelled const&) {
        cancelled = true;
        throw;
      }
    });
    about_to_wait.wait();
    for (int i = 0; i < 3; ++i) weft::yield();
    p.set_value(42);
    gets.cancel();
    gets.wait();
    if (cancelled) {
      verify(f.valid());
      got = f.get();
    }
    verify(got == 42 && !f.valid());
  });
}

TEST_CASE("a condition variable may go as soon as all who wait have been notified", "[compat][condition_variable]") {
  // On a page of its own, which nobody can touch when it is gone.
  auto const size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const page = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  run_to_the_end_on(some_workers(), [&] {
    for (bool const by_thread : {false, true}) {
      verify(::mprotect(page, size, PROT_READ | PROT_WRITE) == 0);
      auto* const c = ::new (page) fibers::condition_variable;
      fibers::mutex m;
      bool waits = false;
      bool told = false;
      auto const wait = [&] {
        std::unique_lock<fibers::mutex> lock(m);
        waits = true;
        while (!told) c->wait(lock);
      };
      auto const tell = [&] {
        for (bool done = false; !done; weft::yield()) {
          std::unique_lock<fibers::mutex> const lock(m);
          if (!waits) continue;
          told = true;
          c->notify_all();
          c->~condition_variable();
          verify(::mprotect(page, size, PROT_NONE) == 0);
          done = true;
        }
      };
      if (by_thread) {
        std::thread thread([&] {
          fibers::fiber([] {}).detach();
          wait();
        });
        tell();
        thread.join();
      } else {
        fibers::fiber fiber(wait);
        tell();
        fiber.join();
      }
    }
  });
  ::munmap(page, size);
}

TEST_CASE("threads that are about to end are still told apart", "[compat][threads]") {
  static fibers::recursive_mutex m;
  static std::atomic<bool> locked{false};
  static std::atomic<bool> tried{false};
  static std::atomic<bool> refused{false};
  struct ends_first {
    ~ends_first() {
      m.lock();  // twice: it still knows itself
      m.lock();
      locked = true;
      locked.notify_one();
      tried.wait(false);
      m.unlock();
      m.unlock();
    }
  };
  struct ends_meanwhile {
    ~ends_meanwhile() {
      locked.wait(false);
      refused = !m.try_lock();
      if (!refused) m.unlock();
      tried = true;
      tried.notify_one();
    }
  };
  // Made before the thread first uses any of this, and so destroyed after all that this has for the thread.
  std::thread first([] {
    static thread_local ends_first const last;
    (void)&last;
    fibers::fiber([] {}).detach();
  });
  std::thread second([] {
    static thread_local ends_meanwhile const last;
    (void)&last;
    (void)this_fiber::get_id();
  });
  first.join();
  second.join();
  CHECK(refused);
}

TEST_CASE("what a thread has locked, it may unlock when it is about to end", "[compat][threads]") {
  static fibers::mutex m;
  static std::atomic<bool> unlocked{false};
  struct unlocks {
    ~unlocks() {
      m.unlock();
      unlocked = true;
    }
  };
  std::thread([] {
    static thread_local unlocks const last;
    (void)&last;
    m.lock();
  }).join();
  CHECK(unlocked);
}

TEST_CASE("a fiber sees the context variables of the thread that starts it, however it is started",
          "[compat][threads]") {
  weft::context_var<int> user{0};
  int posted = 0;
  int dispatched = 0;
  int later = 0;
  std::thread([&] {
    user.set(1);
    fibers::fiber(fibers::launch::post, [&] { posted = user.get(); }).join();
    user.set(2);
    fibers::fiber dispatches(fibers::launch::dispatch, [&] {
      dispatched = user.get();
      this_fiber::yield();
      later = user.get();
    });
    user.set(3);
    dispatches.join();
    verify(user.get() == 3);
  }).join();
  CHECK(posted == 1);
  CHECK(dispatched == 2);
  CHECK(later == 2);
}

TEST_CASE("a thread that would wait where its fibers cannot run is told so", "[compat][threads][bad-input]") {
  CHECK(aborts_with("a thread's wait on its worker outside of any fiber", [] {
    fibers::fiber([] {
      auto const ends = weft::spawn([] {});
      ends.on_done([] { this_fiber::yield(); });
      ends.wait();
    }).join();
  }));
}
