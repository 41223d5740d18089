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
      records(options_.on_unhandled_exception),
      stacks(options_.guard, &worker::stack_main),
      offload(options_.offload_threads, options_.offload_queue, options_.name) {
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
  await_visitors();                             // the last step of make_runnable() comes before the loops are closed
  quit.store(true, std::memory_order_release);  // pairs with worker::run_loop()
  for (auto const& w : workers) w->loop.wake();
  for (auto const& w : workers) w->thread.join();
  sanitizer_acquire(this);  // from all fibers: they have read the workers' fields
  std::int64_t out = 0;
  for (auto const& w : workers) out += w->records.out();
  records.count_out(out);
}

void scheduler::make_runnable(fiber_record& fiber, placement where) noexcept {
  if (worker* const w = current_worker(); w != nullptr && &w->home == this) {
    under_identity const scheduler_code{w->identity, &fiber};
    w->enqueue(fiber, where);
    return;
  }
  // From outside.
  if (world != nullptr && fiber.last_worker != fiber_record::no_worker && world->closed()) {
    fatal("a fiber of a simulation has been woken from another thread, which no seed can repeat");
  }
  // Once the fiber is queued it may run and end, and with it the runtime: the destructor waits for us.
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

void scheduler::cancel_all(fiber_record const* spared) noexcept {
  records->for_each_live([spared](fiber_record& fiber) {
    if (&fiber != spared) cancel(fiber, cancel_reason::shutdown);
  });
}

std::int64_t scheduler::records_out() const noexcept {
  std::int64_t out = records->out_elsewhere();
  for (auto const& w : workers) out += w->records.out();
  return out;
}

void scheduler::await_visitors() const noexcept {
  while (visitors_.load(std::memory_order_acquire) != 0) std::this_thread::yield();  // pairs with leave()
}

void scheduler::report_stuck(bool hopeless) noexcept {
  std::vector<waiting_fiber> waiting;
  try {
    records->for_each_live([&waiting](fiber_record& fiber) {
      // The fibers rest, and this is the thread on which they ran.
      char const* const reason = fiber.waits_for.load(std::memory_order_relaxed);
      fiber_record const* const joined = fiber.joins.load(std::memory_order_relaxed);
      waiting.push_back({.fiber = fiber.id,
                         .name = fiber.name,
                         .waits_for = reason != nullptr ? reason : "nothing",
                         .joins = joined != nullptr ? joined->id : 0});
    });
  } catch (std::bad_alloc const&) {  // NOLINT: a shorter report
  }
  world->stuck(waiting, hopeless);
}

bool scheduler::drain(time_point deadline) {
  using namespace std::chrono_literals;
  // Visitors first: what one of them spawned counts as alive before it leaves.
  while (visitors_.load(std::memory_order_seq_cst) != 0 || live_fibers() != 0) {
    cancel_all();
    if (deadline_after(0ns) >= deadline) return false;
    // A fiber parks and leaves the worker, a thread sleeps; short, for the last end is not always announced.
    if (current_fiber() != nullptr) {
      waiter self{"shutdown of another runtime", cancellation::ignored};
      (void)self.wait(deadline_after(1ms));
      continue;
    }
    std::unique_lock lock{drain_mutex_};
    drained_.wait_for(lock, 1ms, [this] { return live_fibers() == 0; });
  }
  return true;
}

}  // namespace weft::detail
