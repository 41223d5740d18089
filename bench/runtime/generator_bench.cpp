/// One item of a generator: by the bare jump of Boost.Context, which takes two of them; by weft, on a fiber and on a
/// thread; and by a C++20 coroutine under Asio (`experimental::coro`). Each once with one generator, so that all is
/// in the first-level cache, and once in turn over a thousand. Then where the body waits before each item, in the
/// shortest way that there is: it lets others go first.

#include "micro.hpp"

#include <weft/runtime/generator.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <benchmark/benchmark.h>
#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#if defined(__cpp_impl_coroutine) && __has_include(<boost/asio/experimental/coro.hpp>)
#define HAS_ASIO_CORO 1
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/co_spawn.hpp>
#include <boost/asio/experimental/coro.hpp>
#include <boost/asio/experimental/use_coro.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <optional>
#endif

namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

constexpr int many = 1000;

// --- the bare jump: W1's, as in peers/context.cpp, with stacks whose tops are staggered ---

constexpr std::size_t raw_stack_size = std::size_t{16} * 1024;
std::uint64_t counter = 0;

void count_and_return(transfer_t caller) {
  for (;;) {
    ++counter;
    caller = jump_fcontext(caller.fctx, nullptr);
  }
}

class raw_contexts {
public:
  explicit raw_contexts(std::size_t count)
      : stacks_(std::make_unique<std::byte[]>(count * raw_stack_size)), contexts_(count) {
    for (std::size_t k = 0; k < count; ++k) {
      std::size_t const colour = (k % 64) * 64;
      std::byte* const top = stacks_.get() + (k + 1) * raw_stack_size - colour;
      contexts_[k] = jump_fcontext(make_fcontext(top, raw_stack_size - colour, count_and_return), nullptr).fctx;
    }
  }
  void visit_all() {
    for (auto& context : contexts_) context = jump_fcontext(context, nullptr).fctx;
  }

private:
  std::unique_ptr<std::byte[]> stacks_;
  std::vector<boost::context::detail::fcontext_t> contexts_;
};

void raw(benchmark::State& state) {
  raw_contexts others{static_cast<std::size_t>(state.range(0))};
  while (state.KeepRunningBatch(state.range(0))) others.visit_all();
}
BENCHMARK(raw)->Name("generator/raw_two_jumps")->Arg(1)->Arg(many)->Apply(micro::timed);

// --- weft ---

void endless(weft::yielder<std::uint64_t>& yield) {
  for (std::uint64_t i = 0;; ++i) yield(i);
}

/// One item of each of `count` generators, in turn.
template <class Body>
void take_in_turn(benchmark::State& state, Body body) {
  auto const count = state.range(0);
  std::vector<weft::generator<std::uint64_t>> all;
  std::vector<weft::generator<std::uint64_t>::iterator> at;
  for (auto i = count; i > 0; --i) at.push_back(all.emplace_back(body).begin());
  std::uint64_t sum = 0;
  while (state.KeepRunningBatch(count)) {
    for (auto& it : at) {
      sum += *it;
      ++it;
    }
  }
  benchmark::DoNotOptimize(sum);
}

void on_fiber(benchmark::State& state) {
  micro::on_workers(1, [&state] { take_in_turn(state, &endless); });
}
BENCHMARK(on_fiber)->Name("generator/item")->Arg(1)->Arg(many)->Apply(micro::timed);

void on_thread(benchmark::State& state) { take_in_turn(state, &endless); }
BENCHMARK(on_thread)->Name("generator/item_on_thread")->Arg(1)->Arg(many)->Apply(micro::timed);

void waits(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    take_in_turn(state, [](auto& yield) {
      for (std::uint64_t i = 0;; ++i) {
        weft::yield();
        yield(i);
      }
    });
  });
}
BENCHMARK(waits)->Name("generator/item_after_wait")->Arg(1)->Arg(many)->Apply(micro::timed);

void whole(benchmark::State& state) {
  micro::on_workers(1, [&state] {
    std::uint64_t sum = 0;
    for (auto _ : state) {
      weft::generator<std::uint64_t> one([](auto& yield) { yield(1); });
      for (auto v : one) sum += v;
    }
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(whole)->Name("generator/made_iterated_once_destroyed")->Apply(micro::timed);

// --- Asio ---

#if defined(HAS_ASIO_CORO)
namespace asio = boost::asio;
using asio_generator = asio::experimental::coro<std::uint64_t>;

asio_generator asio_endless(asio::io_context&) {
  for (std::uint64_t i = 0;; ++i) co_yield i;
}

asio_generator asio_waits(asio::io_context& context) {
  for (std::uint64_t i = 0;; ++i) {
    co_await asio::post(context, asio::experimental::use_coro);
    co_yield i;
  }
}

asio::experimental::coro<void> asio_take_in_turn(asio::io_context& context, benchmark::State& state,
                                                 asio_generator (*body)(asio::io_context&)) {
  auto const count = state.range(0);
  std::vector<asio_generator> all;
  for (auto i = count; i > 0; --i) all.push_back(body(context));
  std::uint64_t sum = 0;
  while (state.KeepRunningBatch(count)) {
    for (auto& generator : all) sum += *(co_await generator);
  }
  benchmark::DoNotOptimize(sum);
}

void run_asio(benchmark::State& state, asio_generator (*body)(asio::io_context&)) {
  asio::io_context context{1};
  auto main = asio_take_in_turn(context, state, body);
  main.async_resume([](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}

void asio_item(benchmark::State& state) { run_asio(state, &asio_endless); }
BENCHMARK(asio_item)->Name("generator/asio_coro_item")->Arg(1)->Arg(many)->Apply(micro::timed);

void asio_after_wait(benchmark::State& state) { run_asio(state, &asio_waits); }
BENCHMARK(asio_after_wait)->Name("generator/asio_coro_item_after_wait")->Arg(1)->Arg(many)->Apply(micro::timed);
#endif

}  // namespace
