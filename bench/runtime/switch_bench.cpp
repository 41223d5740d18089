/// A round trip between two contexts, which is two switches: by the bare jump of Boost.Context, and by weft's yield
/// with all that a scheduler does.

#include "micro.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <benchmark/benchmark.h>
#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <memory>

namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

void bounce(transfer_t t) {
  for (;;) t = jump_fcontext(t.fctx, nullptr);
}

void raw(benchmark::State& state) {
  constexpr std::size_t size = std::size_t{64} * 1024;
  auto const memory = std::make_unique<std::byte[]>(size);
  transfer_t t{make_fcontext(memory.get() + size, size, bounce), nullptr};
  for (auto _ : state) t = jump_fcontext(t.fctx, nullptr);
}
BENCHMARK(raw)->Name("switch/raw_round_trip")->Apply(micro::timed);

void yield(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    bool stop = false;
    auto other = weft::spawn([&stop] {
      while (!stop) weft::yield();
    });
    for (auto _ : state) weft::yield();
    stop = true;
    other.get();
  });
}
BENCHMARK(yield)->Name("switch/weft_round_trip")->Apply(micro::timed);

}  // namespace
