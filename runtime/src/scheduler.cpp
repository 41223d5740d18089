#include "scheduler.hpp"

#include "fatal.hpp"
#include "signal_mask.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <string>
#include <thread>

namespace weft::detail {

namespace {
/// Where fibers have an order, or must migrate, nobody stands in for a worker.
std::size_t most_stand_ins(runtime_options const& options) noexcept {
  constexpr std::size_t for_blocking = 64;
  return options.order == scheduling::work_stealing && !options.guest ? for_blocking + options.spare_workers : 0;
}
}  // namespace

scheduler::scheduler(runtime_options const& options_)
    : options(options_),
      default_stack_class(stack_pool::class_of(options_.stack_size)),
      world(options_.world.get()),
      began(world != nullptr ? world->now() : clock::now()),
      records(new record_pool(options_.on_unhandled_exception)),
      stacks(options_.guard, &worker::stack_main),
      offload(options_.offload_threads, options_.offload_queue, options_.name),
      workers(options_.workers + most_stand_ins(options_)),
      away(*this, most_stand_ins(options_)),
      watch(
          *this,
          options_.world == nullptr && !options_.guest ? options_.slow_callback_duration : std::chrono::nanoseconds{0},
          most_stand_ins(options_) > 0 ? options_.spare_workers : 0) {
  (void)thread_barrier::asymmetric();  // registers with the kernel before anyone relies on it
  try {
    for (std::size_t i = 0; i < options.workers; ++i) {
      workers.add(std::make_unique<worker>(*this, static_cast<std::uint16_t>(i)));
    }
    for (auto const& w : workers) options.guest ? w->wait_for_turns() : start_thread(*w);
    watch.start();
  } catch (...) {
    entrance.dismiss();
    for (auto const& w : workers) {
      if (!w->thread.joinable()) continue;
      w->loop.wake();
      w->thread.join();
    }
    workers.clear();
    record_pool::orphan(records, 0);
    throw;
  }
}

void scheduler::start_thread(worker& w) {
  blocked_signals const mask;  // inherited by the thread
  w.thread = std::thread([&w] { w.run_loop(); });
  auto const thread_name = options.name.substr(0, 11) + "/" + std::to_string(w.index);
  ::pthread_setname_np(w.thread.native_handle(), thread_name.substr(0, 15).c_str());
}

scheduler::~scheduler() {
  while (!entrance.vacated()) std::this_thread::yield();  // before the loops are closed
  watch.stop();                                           // before the workers, which it looks at and adds to
  entrance.dismiss();
  for (auto const& w : workers) w->loop.wake();
  for (auto const& w : workers) {
    if (w->thread.joinable()) w->thread.join();  // a guest has none
  }
  sanitizer_acquire(this);  // from all fibers: they have read the workers' fields
  std::int64_t out = 0;
  for (auto const& w : workers) out += w->records.out();
  workers.clear();
  record_pool::orphan(records, out);
}

void scheduler::make_runnable(fiber_record& fiber, placement where) noexcept {
  if (worker* const w = current_worker(); w != nullptr && &w->home == this) {
    under_identity const scheduler_code{w->identity, &fiber};
    w->enqueue(fiber, where);
    return;
  }
  // From outside. Once the fiber is queued it may run and end, and with it the runtime: the destructor waits for us.
  entrance.enter_beside_fiber();
  bool const may_go_anywhere = options.order != scheduling::forced_migration ||
                               fiber.last_worker == fiber_record::no_worker;
  if (may_go_anywhere && !fiber.pinned) {
    injected.push(fiber);
    wake_one();
  } else {
    auto const target = fiber.pinned ? fiber.last_worker
                                     : static_cast<std::uint16_t>((fiber.last_worker + 1U) % options.workers);
    workers[target].mailbox.push(fiber);
    workers[target].loop.wake();
  }
  entrance.leave();
}

void scheduler::wake_picked() noexcept {
  auto const index = idle.pick();
  if (index != idle_set::nobody) workers[index].loop.wake();
}

std::size_t scheduler::live_fibers() const noexcept { return static_cast<std::size_t>(entrance.live(all_counters())); }

bool scheduler::drain(time_point deadline) {
  using namespace std::chrono_literals;
  while (!entrance.empty(all_counters())) {
    records->for_each_live([](fiber_record& fiber) { cancel(fiber, cancel_reason::shutdown); });
    if (deadline_after(0ns) >= deadline) return false;
    // A fiber parks and leaves the worker, a thread sleeps; short, for the last end is not always announced.
    if (current_fiber() != nullptr) {
      waiter self{"shutdown of another runtime", cancellation::ignored};
      (void)self.wait(deadline_after(1ms));
      continue;
    }
    if (options.guest && current_worker() == nullptr) {
      try {
        (void)drive(1ms);
        continue;
      } catch (error const&) {
        // Another thread drives it: it is waited for.
      }
    }
    std::unique_lock lock{drain_mutex_};
    drained_.wait_for(lock, 1ms, [this] { return live_fibers() == 0; });
  }
  return true;
}

}  // namespace weft::detail
