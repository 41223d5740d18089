#include "scheduler.hpp"

#include "affinity.hpp"
#include "fatal.hpp"
#include "inspect.hpp"
#include "signal_mask.hpp"

#include <weft/runtime/detail/wait_graph.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <pthread.h>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>

namespace weft::inline v0::detail {

namespace {
/// Where fibers have an order, or must migrate, nobody stands in for a worker.
std::size_t most_stand_ins(runtime_options const& options) noexcept {
  constexpr std::size_t for_blocking = 64;
  return options.order == scheduling::work_stealing && !options.guest ? for_blocking + options.spare_workers : 0;
}

constexpr std::chrono::seconds report_interval{5};
constexpr std::size_t most_reported = 100;

cpu_set_t cpus_of_caller() noexcept {
  unpinned const all;
  return current_cpus();
}
}  // namespace

scheduler::scheduler(runtime_options const& options_)
    : options(options_),
      cpus(cpus_of_caller()),
      default_stack_class(stack_pool::class_of(options_.stack_size)),
      never_run(default_stack_class),
      world(options_.world.get()),
      began(world != nullptr ? world->now() : clock::now()),
      records(options_.on_unhandled_exception),
      stacks(options_.guard, options_.measure_stacks ? &worker::measured_stack_main : &worker::stack_main),
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
                .of_runtime = true}),
      workers(options_.workers + most_stand_ins(options_)),
      away(*this, most_stand_ins(options_)),
      watch(
          *this,
          options_.world == nullptr && !options_.guest ? options_.slow_callback_duration : std::chrono::nanoseconds{0},
          most_stand_ins(options_) > 0 ? options_.spare_workers : 0, options_.world == nullptr && !options_.guest) {
  if (options.guest) records->set_guest(*this);
  if (options.debug) wait_graph::begin_use();
  (void)thread_barrier::asymmetric();  // registers with the kernel before anyone relies on it
  try {
    for (std::size_t i = 0; i < options.workers; ++i) {
      workers.add(std::make_unique<worker>(*this, static_cast<std::uint16_t>(i)));
    }
    for (auto const& w : workers) options.guest ? w->wait_for_turns() : start_thread(*w);
    await_threads();
    watch.start();
  } catch (...) {
    entrance.dismiss();
    for (auto const& w : workers) {
      if (!w->thread.joinable()) continue;
      w->loop.wake();
      w->thread.join();
    }
    if (options.debug) wait_graph::end_use();
    throw;
  }
}

void scheduler::start_thread(worker& w) {
  // First: once the thread is there, nothing may throw.
  auto const thread_name = (options.name.substr(0, 11) + "/" + std::to_string(w.index)).substr(0, 15);
  blocked_signals const mask;  // inherited by the thread
  w.thread = std::thread([&w] { w.run_loop(); });
  ::pthread_setname_np(w.thread.native_handle(), thread_name.c_str());
}

void scheduler::await_threads() {
  if (!has_start_step() || options.guest) return;
  std::unique_lock lock{start_mutex_};
  has_begun_.wait(lock, [this] { return begun_ == options.workers; });
  if (start_failure_) std::rethrow_exception(start_failure_);
}

bool scheduler::begin_thread(std::size_t worker) noexcept {
  if (!has_start_step()) return true;
  std::exception_ptr failure;
  try {
    if (!options.affinity.empty()) pin_to(options.affinity[worker % options.affinity.size()]);
    if (options.on_worker_start) options.on_worker_start(worker);
  } catch (...) {
    failure = std::current_exception();
  }
  if (worker >= options.workers) {  // a stand-in: nobody waits for it
    if (failure) records->report_unhandled(failure, "on_worker_start");
    return !failure;
  }
  std::lock_guard const lock{start_mutex_};
  ++begun_;
  if (failure && !start_failure_) start_failure_ = failure;
  has_begun_.notify_one();
  return !failure;
}

void scheduler::end_thread(std::size_t worker) noexcept {
  if (!options.on_worker_stop) return;
  try {
    options.on_worker_stop(worker);
  } catch (...) {
    records->report_unhandled(std::current_exception(), "on_worker_stop");
  }
}

scheduler::~scheduler() {
  if (options.guest) records->close_guest();
  await_visitors();  // before the loops are closed
  watch.stop();      // before the workers, which it looks at and adds to
  entrance.dismiss();
  for (auto const& w : workers) w->loop.wake();
  for (auto const& w : workers) {
    if (w->thread.joinable()) w->thread.join();  // a guest has none
  }
  sanitizer_acquire(this);  // from all fibers: they have read the workers' fields
  std::int64_t out = 0;
  for (auto const& w : workers) out += w->records.out();
  records.count_out(out);
  if (options.debug) wait_graph::end_use();
}

[[gnu::noinline]] void scheduler::make_runnable_from_outside(fiber_record& fiber) noexcept {
  expect_not_forked();
  if (world != nullptr && fiber.last_worker != fiber_record::no_worker && world->closed()) {
    fatal("a fiber of a simulation has been woken from another thread, which no seed can repeat");
  }
  // Once the fiber is queued it may run and end, and with it the runtime: the destructor waits for us.
  entrance.enter_beside_fiber();
  // With strict order there is one worker, and it looks at no mailbox.
  bool const may_go_anywhere = options.order == scheduling::fifo ||
                               (options.order == scheduling::work_stealing && !fiber.pinned) ||
                               fiber.last_worker == fiber_record::no_worker;
  if (may_go_anywhere) {
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

poller& scheduler::crowded_loop(worker& of) const noexcept {
  poller* most = &of.loop;
  for (std::size_t i = 0; i < options.workers; ++i) {
    worker const& w = workers[i];
    if (w.loop.watches() > most->watches() && w.attends_loop()) most = &workers[i].loop;
  }
  return *most;
}

void scheduler::note_end_slowly() noexcept {
  // A read-modify-write, see for_each_live(). acq_rel: pairs with those there.
  expect_not_forked();  // the fiber that forked: there is nowhere to go on to
  auto const ends = ends_.fetch_or(0, std::memory_order_acq_rel);
  if ((ends & ends_announced) != 0) drained_.notify_all();
  if ((ends & ends_wait) != 0) std::lock_guard const until_it_has_looked{walking_};
}

std::size_t scheduler::live_fibers() const noexcept { return static_cast<std::size_t>(entrance.live(all_counters())); }

void scheduler::for_each_running_job(std::function<void(running_job const&)> const& f) const {
  offload.for_each_running(f);
  blocking.for_each_running(f);
  left.for_each([&f](offload_job const& job) {
    if (!job.pool->of_runtime()) f(describe(job));  // it is there: the job counts as its caller
  });
}

void scheduler::cancel_all(fiber_record const* spared) noexcept {
  for_each_live([spared](fiber_record& fiber) {
    if (&fiber != spared) cancel(fiber, cancel_reason::shutdown);
  });
}

std::int64_t scheduler::records_out() const noexcept {
  std::int64_t out = records->out_elsewhere();
  for (auto const& w : workers) out += w->records.out();
  return out;
}

void scheduler::await_visitors() const noexcept {
  while (!entrance.vacated()) std::this_thread::yield();
}

void scheduler::report_stuck(bool hopeless) noexcept {
  std::vector<waiting_fiber> waiting;
  try {
    for_each_live([&waiting](fiber_record& fiber) {
      // The fibers rest, and this is the thread on which they ran.
      char const* const reason = fiber.waits_for.load(std::memory_order_relaxed);
      fiber_record const* const joined = fiber.joins.load(std::memory_order_relaxed);
      waiting.push_back({.fiber = fiber.id,
                         .name = fiber.name(),
                         .waits_for = reason != nullptr ? reason : "nothing",
                         .joins = joined != nullptr ? joined->id : 0});
    });
  } catch (std::bad_alloc const&) {  // NOLINT: a shorter report
  }
  world->stuck(waiting, hopeless);
}

namespace {

/// Runs a guest that is taken down on a fiber of another runtime, whose thread cannot be its worker, too.
class drain_driver {
public:
  explicit drain_driver(scheduler& of) noexcept : of_(of) {}
  drain_driver(drain_driver const&) = delete;
  ~drain_driver() {
    stopping_.store(true, std::memory_order_relaxed);  // nothing depends on it; join() orders the rest
    if (thread_.joinable()) thread_.join();
  }

  void start() noexcept {
    if (thread_.joinable()) return;
    try {
      blocked_signals const mask;  // inherited by the thread
      thread_ = std::thread([this] { run(); });
    } catch (std::exception const&) {  // NOLINT: there may be one later; meanwhile it is told what is waited for
    }
  }

private:
  void run() noexcept {
    constexpr std::chrono::milliseconds step{1};
    while (!stopping_.load(std::memory_order_relaxed)) {
      bool more = false;
      if (!of_.try_drive(step, more) || !more) std::this_thread::sleep_for(step);
    }
  }

  scheduler& of_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
};

}  // namespace

bool scheduler::drain(time_point deadline) {
  using namespace std::chrono_literals;
  auto next_report = deadline == never ? deadline_after(report_interval) : deadline;
  drain_driver driver{*this};
  // Fibers before the jobs that they leave: who has ended has noted them.
  while (!entrance.empty(all_counters()) || !left.none()) {
    cancel_all();
    auto const present = deadline_after(0ns);
    if (present >= next_report) {
      report_remaining();
      if (deadline != never) return false;
      next_report = add(present, report_interval);
    }
    // A fiber parks and leaves the worker, a thread sleeps; short, for the last end is not always announced.
    if (current_fiber() != nullptr) {
      if (options.guest) driver.start();
      waiter self{"shutdown of another runtime", cancellation::ignored};
      (void)self.wait(deadline_after(1ms));
      continue;
    }
    if (options.guest && current_worker() == nullptr) {
      bool more = false;
      if (try_drive(1ms, more) && more) continue;
      // Nothing is ready; or another thread drives it, and is waited for.
    }
    std::unique_lock lock{drain_mutex_};
    drained_.wait_for(lock, 1ms, [this] { return live_fibers() == 0 && left.none(); });
  }
  return true;
}

/// In memory first: the reader of stderr should not get one report in pieces, between the lines of others.
void scheduler::report_remaining() noexcept {
  try {
    auto const remaining = all_tasks();
    std::vector<std::string> calls;
    std::size_t running = 0;
    for_each_running_job([&](running_job const& job) {
      if (++running > most_reported) return;
      calls.push_back(to_string(job) + "; pool '" + std::string(job.pool) + "'");
    });
    if (remaining.empty() && running == 0) return;  // only callers from outside are still on their way out
    std::ostringstream text;
    text << "weft: the runtime '" << options.name << "' is shutting down and waits for these "
         << (remaining.empty() ? "offloaded calls:\n" : "fibers:\n");
    if (!remaining.empty()) write_tasks(text, options.name, remaining, most_reported);
    for (auto const& call : calls) text << "offloaded: " << call << '\n';
    if (running > calls.size()) text << "... and " << running - calls.size() << " more\n";
    auto const report = std::move(text).str();
    if (options.on_shutdown_report) return options.on_shutdown_report(report);
    std::fwrite(report.data(), 1, report.size(), stderr);
  } catch (...) {  // NOLINT: documented: what the handler throws is ignored
  }
}

}  // namespace weft::inline v0::detail
