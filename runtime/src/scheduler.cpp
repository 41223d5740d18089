#include "scheduler.hpp"

#include "fatal.hpp"
#include "signal_mask.hpp"

#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <string>
#include <thread>

namespace weft::detail {

scheduler::scheduler(runtime_options const& options_)
    : options(options_),
      default_stack_class(stack_pool::class_of(options_.stack_size)),
      world(options_.world.get()),
      began(world != nullptr ? world->now() : clock::now()),
      records(new record_pool(options_.on_unhandled_exception)),
      stacks(options_.guard, &worker::stack_main),
      offload({.name = options_.name,
               .thread_name = options_.name.substr(0, 9) + "-cpu",
               .threads = options_.offload_threads,
               .queue = options_.offload_queue,
               .of_runtime = true}),
      blocking({.name = options_.name + " (blocking)",
                .thread_name = options_.name.substr(0, 9) + "-blk",
                .threads = options_.blocking_threads_max,
                .queue = options_.blocking_threads_max,
                .idle_time = std::chrono::seconds{10},
                .of_runtime = true}) {
  (void)thread_barrier::asymmetric();  // registers with the kernel before anyone relies on it
  try {
    workers.reserve(options.workers);
    for (std::size_t i = 0; i < options.workers; ++i) {
      workers.push_back(std::make_unique<worker>(*this, static_cast<std::uint16_t>(i)));
    }
    start_threads();
  } catch (...) {
    quit.store(true, std::memory_order_release);
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

void scheduler::start_threads() {
  blocked_signals const mask;  // inherited by the threads
  for (auto const& w : workers) {
    w->thread = std::thread([w = w.get()] { w->run_loop(); });
    auto const name = options.name.substr(0, 11) + "/" + std::to_string(w->index);
    ::pthread_setname_np(w->thread.native_handle(), name.substr(0, 15).c_str());
  }
}

scheduler::~scheduler() {
  // acquire: pairs with make_runnable(): a visitor's last step comes before the loops are closed.
  while (visitors_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  quit.store(true, std::memory_order_release);  // pairs with worker::run_loop()
  for (auto const& w : workers) w->loop.wake();
  for (auto const& w : workers) w->thread.join();
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
  visitors_.fetch_add(1, std::memory_order_relaxed);  // the fiber, and so the runtime, is alive here
  bool const may_go_anywhere = options.order != scheduling::forced_migration ||
                               fiber.last_worker == fiber_record::no_worker;
  if (may_go_anywhere && !fiber.pinned) {
    injected.push(fiber);
    wake_one();
  } else {
    auto const target = fiber.pinned ? fiber.last_worker
                                     : static_cast<std::uint16_t>((fiber.last_worker + 1U) % workers.size());
    workers[target]->mailbox.push(fiber);
    workers[target]->loop.wake();
  }
  leave();
}

void scheduler::wake_picked() noexcept {
  auto const index = idle.pick();
  if (index != idle_set::nobody) workers[index]->loop.wake();
}

std::size_t scheduler::live_fibers() const noexcept {
  // The ends first: a fiber that ends meanwhile counts as alive, but none that lives is missed.
  // acquire: pairs with the workers' stores.
  std::uint64_t ended = 0;
  for (auto const& w : workers) ended += w->finished.load(std::memory_order_acquire);
  std::uint64_t begun = spawned_outside.load(std::memory_order_acquire);
  for (auto const& w : workers) begun += w->spawned.load(std::memory_order_acquire);
  return static_cast<std::size_t>(begun - ended);
}

void scheduler::for_each_running_job(std::function<void(running_job const&)> const& f) const {
  offload.for_each_running(f);
  blocking.for_each_running(f);
  left.for_each([&f](offload_job const& job) {
    if (!job.pool->of_runtime()) f(describe(job));  // it is there: the job counts as its caller
  });
}

bool scheduler::drain(time_point deadline) {
  using namespace std::chrono_literals;
  // Visitors first: what one of them spawned counts as alive before it leaves.
  // Fibers before the jobs that they leave: who has ended has noted them.
  while (visitors_.load(std::memory_order_seq_cst) != 0 || live_fibers() != 0 || !left.none()) {
    records->for_each_live([](fiber_record& fiber) { cancel(fiber, cancel_reason::shutdown); });
    if (deadline_after(0ns) >= deadline) return false;
    // A fiber parks and leaves the worker, a thread sleeps; short, for the last end is not always announced.
    if (current_fiber() != nullptr) {
      waiter self{"shutdown of another runtime", cancellation::ignored};
      (void)self.wait(deadline_after(1ms));
      continue;
    }
    std::unique_lock lock{drain_mutex_};
    drained_.wait_for(lock, 1ms, [this] { return live_fibers() == 0 && left.none(); });
  }
  return true;
}

}  // namespace weft::detail
