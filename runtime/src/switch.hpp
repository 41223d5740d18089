#pragma once
/// @file
/// The jump from one context to another: Boost.Context's `jump_fcontext`, entered without leaving a return address that
/// the processor expects to come back to.
///
/// `jump_fcontext` ends in an indirect `jmp`. Entered by a `call`, it leaves the return-address stack one entry too
/// deep, and every later `ret` on the way out mispredicts. So on x86-64 the address to go on at is pushed by hand, and
/// the function is entered by `jmp`: to it, the stack looks as after a call. Code built for hardware shadow stacks uses
/// an ordinary call, as on other processors; where they are really on, no runtime starts (see shadow_stack.hpp). Code
/// built for indirect branch tracking has the mark that an indirect jump must land on.

#include <boost/context/detail/fcontext.hpp>

namespace weft::inline v0::detail {

/// `fctx`: the context that jumped here, suspended. `data`: what it passed.
using transfer = boost::context::detail::transfer_t;
/// Where a new context starts.
using entry_point = void (*)(transfer);

#if defined(__x86_64__) && !defined(__ILP32__) && !(defined(__CET__) && (__CET__ & 2))
[[gnu::always_inline]] inline transfer jump(void* to, void* data) noexcept {
  void* from = nullptr;
  void* received = nullptr;
  // Clobbered is what a call may clobber; jump_fcontext saves and restores the rest. Files that jump are
  // compiled without a red zone, which the push would overwrite.
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp *jump_fcontext@GOTPCREL(%%rip)\n"
      "1:\n\t"
#if defined(__CET__) && (__CET__ & 1)
      "endbr64\n\t"
#endif
      : "=a"(from), "=d"(received), "+D"(to), "+S"(data)
      :
      : "rcx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory"
#if defined(__AVX512F__)
        ,
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
        "xmm28", "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#endif
  );
  return {from, received};
}
#else
[[gnu::always_inline]] inline transfer jump(void* to, void* data) noexcept {
  return boost::context::detail::jump_fcontext(to, data);
}
#endif

}  // namespace weft::inline v0::detail
