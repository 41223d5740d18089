#include <weft/runtime/simulation.hpp>

#include "scheduler.hpp"
#include "task_end.hpp"
#include "worker.hpp"

#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <cinttypes>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0::testing {

using namespace weft::detail;

namespace {

constexpr time_point start_of_time{std::chrono::hours{1}};

char const* to_string(wake_cause cause) noexcept {
  switch (cause) {
    case wake_cause::notified: return "notified";
    case wake_cause::timed_out: return "timed out";
    case wake_cause::cancelled: return "cancelled";
  }
  return "";
}

}  // namespace

/// All fields are written on the worker, while it runs, and read by the simulation's owner when its thread has ended.
class simulated_world final : public environment {
public:
  explicit simulated_world(std::uint64_t seed, bool keep_trace) : seed_(seed), keep_trace_(keep_trace) { restart(); }

  void attach(std::shared_ptr<simulated_outside> outside) { outside_.push_back(std::move(outside)); }

  void restart() {
    for (auto const& part : outside_) part->begin(seed_);
    now_ = start_of_time;
    random_ = seed_;
    hash_ = 0;
    steps_ = 0;
    over_ = false;
    deadlock_.clear();
    trace_.clear();
    id_blocks_.clear();
    id_blocks_.reserve(8);
  }

  [[nodiscard]] time_point now() noexcept override { return now_; }

  [[nodiscard]] std::size_t choose(std::size_t ready) noexcept override {
    // SplitMix64 (Steele, Lea and Flood, 2014): each seed is as good as any other, the small ones too.
    random_ += 0x9E3779B97F4A7C15U;
    auto z = random_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    auto const chosen = static_cast<std::size_t>((z ^ (z >> 31U)) % ready);
    note({.what = happening::choice, .number = ready, .detail = chosen});
    return chosen;
  }

  [[nodiscard]] bool skip_to(time_point deadline) noexcept override {
    if (deadline == never || over_) return false;
    if (deadline > now_) {
      now_ = deadline;
      note({.what = happening::time, .number = static_cast<std::uint64_t>(elapsed().count())});
    }
    return true;
  }

  /// The first fiber is about to end, as the last. How far its worker gets before the runtime is taken down depends on
  /// the threads: it may still follow a timer that has been cancelled. None of that belongs to the run.
  void end() noexcept { over_ = true; }

  [[nodiscard]] bool closed() const noexcept override { return true; }

  [[nodiscard]] system_calls* calls() noexcept override {
    system_calls* last = nullptr;
    for (auto const& part : outside_) {
      if (auto* const its = part->calls(); its != nullptr) last = its;
    }
    return last;
  }
  [[nodiscard]] file_calls* files() noexcept override {
    file_calls* last = nullptr;
    for (auto const& part : outside_) {
      if (auto* const its = part->files(); its != nullptr) last = its;
    }
    return last;
  }
  [[nodiscard]] time_point next_arrival() noexcept override {
    auto first = never;
    if (over_) return first;
    for (auto const& part : outside_) first = std::min(first, part->next_arrival());
    return first;
  }
  void arrive() noexcept override {
    if (over_) return;
    for (auto const& part : outside_) part->arrive(now_);
  }
  void happens(char const* what, std::uint64_t number, std::int64_t detail) noexcept override {
    if (over_) return;
    note({.what = happening::outside, .number = number, .detail = static_cast<std::uint64_t>(detail), .reason = what});
  }

  void runs(fiber_step const& step) noexcept override {
    ++steps_;
    note({.what = happening::step,
          .number = normal_id(step.fiber),
          .detail = static_cast<std::uint64_t>(step.cause),
          .reason = step.waited_for});
  }

  void stuck(std::span<waiting_fiber const> fibers, bool hopeless) noexcept override {
    note({.what = happening::deadlock, .number = fibers.size()});
    try {
      auto const report = describe(fibers);
      if (deadlock_.empty()) deadlock_ = report;  // what came first; the rest may follow from it
      if (hopeless) {
        std::fprintf(stderr, "weft: simulation with seed %" PRIu64 ": after cancellation: %s\n", seed_, report.c_str());
      }
    } catch (std::bad_alloc const&) {
      if (deadlock_.empty()) deadlock_ = "deadlock";  // short enough to need no memory
    }
  }

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] std::chrono::nanoseconds elapsed() const noexcept { return now_ - start_of_time; }
  /// Who waited for what; empty: there was no deadlock.
  [[nodiscard]] std::string const& deadlock_report() const noexcept { return deadlock_; }

  void print(std::FILE* to) const {
    for (auto const& h : trace_) {
      switch (h.what) {
        case happening::choice:
          std::fprintf(to, "one of %" PRIu64 " ready: number %" PRIu64 "\n", h.number, h.detail);
          break;
        case happening::time: std::fprintf(to, "time: %" PRIu64 " ns\n", h.number); break;
        case happening::step:
          if (h.reason == nullptr) {
            std::fprintf(to, "fiber %" PRIu64 " goes on\n", h.number);
          } else {
            std::fprintf(to, "fiber %" PRIu64 " goes on: %s after a wait for %s\n", h.number,
                         to_string(static_cast<wake_cause>(h.detail)), h.reason);
          }
          break;
        case happening::deadlock: std::fprintf(to, "deadlock of %" PRIu64 "\n", h.number); break;
        case happening::outside:
          std::fprintf(to, "%s, %" PRIu64 ": %" PRId64 "\n", h.reason, h.number, static_cast<std::int64_t>(h.detail));
          break;
      }
    }
  }

private:
  struct happening {
    enum kind : unsigned char { choice, time, step, deadlock, outside } what;
    std::uint64_t number = 0;
    std::uint64_t detail = 0;
    char const* reason = nullptr;
  };

  void mix(std::uint64_t word) noexcept {
    hash_ = (hash_ ^ word) * 0x100000001B3U;  // FNV-1a by words, and the high half brought down
    hash_ ^= hash_ >> 32U;
  }

  void note(happening const& h) noexcept {
    mix(h.what + 1U);
    mix(h.number);
    // How a wait ended is left over from an earlier one where there was none.
    if (h.what != happening::step || h.reason != nullptr) mix(h.detail);
    if (h.reason != nullptr) {
      for (char const c : std::string_view{h.reason}) mix(static_cast<unsigned char>(c));
    }
    if (!keep_trace_) return;
    try {
      trace_.push_back(h);
    } catch (std::bad_alloc const&) {  // NOLINT: the trace ends here; the hash goes on
      keep_trace_ = false;
    }
  }

  /// Ids are the process's, and so depend on what ran before: here they are counted from the first fiber of the run.
  /// The first was spawned from outside and has a block of ids to itself; its worker numbers the others one by one.
  std::uint64_t normal_id(std::uint64_t id) noexcept {
    auto const block = id >> 16U;
    auto at = std::find(id_blocks_.begin(), id_blocks_.end(), block);
    if (at == id_blocks_.end()) {
      try {
        at = id_blocks_.insert(at, block);
      } catch (std::bad_alloc const&) {
        return ~std::uint64_t{0};
      }
    }
    auto const index = static_cast<std::uint64_t>(at - id_blocks_.begin());
    return index == 0 ? 0 : ((index - 1) << 16U) + (id & 0xFFFFU) + 1;
  }

  std::string describe(std::span<waiting_fiber const> fibers) {
    auto const call = [this](std::uint64_t id, char const* name) {
      auto text = "fiber " + std::to_string(normal_id(id));
      if (name != nullptr) text += std::string(" '") + name + "'";
      return text;
    };
    std::vector<waiting_fiber> sorted(fibers.begin(), fibers.end());
    std::sort(sorted.begin(), sorted.end(), [this](waiting_fiber const& a, waiting_fiber const& b) {
      return normal_id(a.fiber) < normal_id(b.fiber);
    });
    std::string text = "deadlock: all fibers wait, and nothing will wake them:";
    for (auto const& f : sorted) {
      text.append(" ").append(call(f.fiber, f.name)).append(" waits for ");
      if (f.joins == 0) {
        text += std::string("'") + f.waits_for + "'";
      } else {
        text += "the end of " + call(f.joins, nullptr);
      }
      text += &f == &sorted.back() ? "." : ",";
    }
    return text;
  }

  std::uint64_t const seed_;
  std::vector<std::shared_ptr<simulated_outside>> outside_;  // in the order in which they came
  bool keep_trace_;
  time_point now_{};
  std::uint64_t random_ = 0;
  std::uint64_t hash_ = 0;
  std::uint64_t steps_ = 0;
  bool over_ = false;
  std::string deadlock_;
  std::vector<happening> trace_;
  std::vector<std::uint64_t> id_blocks_;  // in the order in which they were first seen
};

simulation::simulation(std::uint64_t seed, simulation_options options)
    : world_(std::make_shared<simulated_world>(seed, options.keep_trace)), options_(std::move(options)) {}
simulation::simulation(simulation&& other) noexcept = default;
simulation& simulation::operator=(simulation&& other) noexcept = default;
simulation::~simulation() = default;

std::uint64_t simulation::seed() const noexcept { return world_->seed(); }
std::uint64_t simulation::trace_hash() const noexcept { return world_->hash(); }
std::uint64_t simulation::steps() const noexcept { return world_->steps(); }
std::chrono::nanoseconds simulation::elapsed() const noexcept { return world_->elapsed(); }
void simulation::print_trace(std::FILE* to) const { world_->print(to); }

void simulation::attach(std::shared_ptr<weft::detail::simulated_outside> outside) {
  world_->attach(std::move(outside));
}

runtime_options simulation::begin() {
  check_run_outside();
  world_->restart();
  runtime_options options = options_.runtime;
  options.workers = 1;
  options.order = scheduling::fifo;
  options.world = world_;
  options.offload_threads = 1;  // none is ever started; but the default is found out by reading files
  return options;
}

void simulation::finish(std::exception_ptr const& error) const {
  auto const& stuck = world_->deadlock_report();
  if (stuck.empty() && !error) return;
  if (options_.report_failure) {
    std::string what = stuck;
    if (what.empty()) {
      try {
        std::rethrow_exception(error);
      } catch (std::exception const& e) {
        what = e.what();
      } catch (cancelled const&) {
        what = "cancelled";
      } catch (...) {
        what = "not a std::exception";
      }
    }
    std::fprintf(stderr,
                 "weft: simulation with seed %" PRIu64 " failed after %" PRIu64 " steps, trace %016" PRIx64 ": %s\n",
                 seed(), steps(), trace_hash(), what.c_str());
  }
  if (!stuck.empty()) throw deadlock("weft: simulation with seed " + std::to_string(seed()) + ": " + stuck);
}

/// As a runtime's shutdown, but from inside: from outside it would come at any time.
simulation::ending::~ending() {
  // What belongs to the first fiber goes first, as if that had ended: a fiber may serve it, such as its stop token.
  if (current_fiber()->leaves_things) leave_things(*current_fiber()->place);
  worker* const w = current_worker();
  scheduler& home = w->home;
  home.stop_admission();
  while (home.live_fibers() > 1) {
    home.cancel_all(current_fiber());
    {
      waiter quiet{"the end of what is left behind", cancellation::ignored};
      wait_node node{quiet};
      {
        wait_list::section list{home.until_quiet};
        list.push_back(node);
      }
      (void)quiet.wait();
    }
    // Who is left sleeps in a destructor, or ignores cancellation: time goes on until something happens, or never does.
    if (home.live_fibers() == 1) break;
    waiter time{"the end of what is left behind", cancellation::ignored};
    (void)time.wait(std::min(w->timers.next(), home.world->next_arrival()));
  }
  under_identity const scheduler_code{w->identity};
  static_cast<simulated_world*>(home.world)->end();
}

}  // namespace weft::inline v0::testing
