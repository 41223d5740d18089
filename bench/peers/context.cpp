/// @file
/// W1 on Boost.Context: what a switch costs when nobody schedules.
/// Variants: `fiber`, `jump_fcontext`, each also with `_mxcsr`; `jump_fcontext_1000`, `jump_fcontext_1000_color`.

#include "../workload.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <boost/context/detail/fcontext.hpp>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>

namespace {

namespace context = boost::context;
using context::detail::fcontext_t;
using context::detail::jump_fcontext;
using context::detail::make_fcontext;
using context::detail::transfer_t;

constexpr std::size_t stack_size = 16 * 1024;
std::uint64_t counter = 0;

/// Sets the sticky "inexact" flag of the caller alone: from here on the two sides hold different control words.
void inexact_operation() {
  double volatile x = 3.0;
  x = 1.0 / x;
}

void count_and_return(transfer_t caller) {
  for (;;) {
    ++counter;
    caller = jump_fcontext(caller.fctx, nullptr);
  }
}

double fiber(std::size_t round_trips, bool mxcsr) {
  context::fiber other{std::allocator_arg, context::fixedsize_stack{stack_size}, [](context::fiber&& caller) {
                         for (;;) {
                           ++counter;
                           caller = std::move(caller).resume();
                         }
                         return std::move(caller);
                       }};
  other = std::move(other).resume();
  if (mxcsr) inexact_operation();
  counter = 0;
  bench::stopwatch const watch;
  for (std::size_t n = 0; n < round_trips; ++n) other = std::move(other).resume();
  return watch.nanoseconds_per(2 * round_trips);
}

double two_contexts(std::size_t round_trips, bool mxcsr) {
  auto const stack = std::make_unique<std::byte[]>(stack_size);
  fcontext_t other = make_fcontext(stack.get() + stack_size, stack_size, count_and_return);
  other = jump_fcontext(other, nullptr).fctx;
  if (mxcsr) inexact_operation();
  counter = 0;
  bench::stopwatch const watch;
  for (std::size_t n = 0; n < round_trips; ++n) other = jump_fcontext(other, nullptr).fctx;
  return watch.nanoseconds_per(2 * round_trips);
}

/// Stacks that lie 16 KiB apart compete for the same few sets of the first-level cache; `color` staggers their tops.
double thousand_contexts(std::size_t round_trips, bool color) {
  constexpr std::size_t contexts = 1000;
  auto const stacks = std::make_unique<std::byte[]>(contexts * stack_size);
  std::vector<fcontext_t> others(contexts);
  for (std::size_t k = 0; k < contexts; ++k) {
    std::size_t const offset = color ? (k % 64) * 64 : 0;
    others[k] = make_fcontext(stacks.get() + (k + 1) * stack_size - offset, stack_size - offset, count_and_return);
    others[k] = jump_fcontext(others[k], nullptr).fctx;
  }
  counter = 0;
  bench::stopwatch const watch;
  for (std::size_t n = 0; n < round_trips / contexts; ++n) {
    for (auto& other : others) other = jump_fcontext(other, nullptr).fctx;
  }
  return watch.nanoseconds_per(2 * round_trips);
}

}  // namespace

int main(int argc, char** argv) {
  auto const args = bench::parse(argc, argv);
  auto const round_trips = bench::size("W1_N", 5'000'000);
  if (args.workload != "W1" || args.workers != 1) bench::unknown(args);

  double ns_per_switch = 0;
  if (args.variant == "fiber" || args.variant == "fiber_mxcsr") {
    ns_per_switch = fiber(round_trips, args.variant.ends_with("_mxcsr"));
  } else if (args.variant == "jump_fcontext" || args.variant == "jump_fcontext_mxcsr") {
    ns_per_switch = two_contexts(round_trips, args.variant.ends_with("_mxcsr"));
  } else if (args.variant == "jump_fcontext_1000" || args.variant == "jump_fcontext_1000_color") {
    ns_per_switch = thousand_contexts(round_trips, args.variant.ends_with("_color"));
  } else {
    bench::unknown(args);
  }
  bench::check(counter == round_trips, "round trips");
  bench::metric("ns_per_switch", ns_per_switch, "ns");
}
