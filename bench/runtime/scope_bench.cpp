/// Entering and leaving a cancel scope, without and with a deadline; a shield; and what a deadline adds to a wait.
/// "raw" is the jump between two contexts, in which the others are measured.

#include "micro.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <benchmark/benchmark.h>
#include <boost/context/detail/fcontext.hpp>
#include <chrono>
#include <cstddef>
#include <vector>

namespace {

using namespace std::chrono_literals;

void raw(benchmark::State& state) {
  namespace context = boost::context::detail;
  std::vector<std::byte> stack(std::size_t{64} * 1024);
  auto other = context::make_fcontext(stack.data() + stack.size(), stack.size(), [](context::transfer_t t) {
    for (;;) t = context::jump_fcontext(t.fctx, nullptr);
  });
  while (state.KeepRunningBatch(2)) other = context::jump_fcontext(other, nullptr).fctx;  // there and back
}
BENCHMARK(raw)->Name("scope/raw_jump")->Apply(micro::timed);

template <class F>
void on_fiber(benchmark::State& state, F&& f) {
  micro::on_workers(1, [&] {
    for (auto _ : state) f();
  });
}

void enter_and_leave(benchmark::State& state) {
  on_fiber(state, [] {
    weft::cancel_scope scope;
    benchmark::DoNotOptimize(&scope);
  });
}
BENCHMARK(enter_and_leave)->Name("scope/enter_and_leave")->Apply(micro::timed);

void with_deadline(benchmark::State& state) {
  on_fiber(state, [] {
    weft::cancel_scope scope{1h};
    benchmark::DoNotOptimize(&scope);
  });
}
BENCHMARK(with_deadline)->Name("scope/enter_and_leave_with_deadline")->Apply(micro::timed);

void nested(benchmark::State& state) {
  on_fiber(state,
           [] { weft::with_timeout(1h, [] { weft::with_timeout(1h, [] { weft::with_timeout(1h, [] {}); }); }); });
}
BENCHMARK(nested)->Name("scope/three_timeouts")->Apply(micro::timed);

void shield(benchmark::State& state) {
  on_fiber(state, [] {
    weft::cancel_shield shielded;
    benchmark::DoNotOptimize(&shielded);
  });
}
BENCHMARK(shield)->Name("scope/shield")->Apply(micro::timed);

/// Two fibers that yield to each other, without scopes and both within a deadline.
void yield(benchmark::State& state) {
  bool const limited = state.range(0) != 0;
  micro::on_workers(1, [&] {
    bool stop = false;
    auto const yields = [&](auto&& condition) {
      if (!limited) return condition();
      weft::with_timeout(1h, condition);
    };
    auto other = weft::spawn([&] {
      yields([&] {
        while (!stop) weft::yield();
      });
    });
    yields([&] {
      while (state.KeepRunningBatch(2)) weft::yield();
    });
    stop = true;
    other.get();
  });
}
BENCHMARK(yield)->Name("scope/yield")->ArgName("deadline")->Arg(0)->Arg(1)->Apply(micro::timed);

}  // namespace
