#include <weft/runtime/detail/jump_back.hpp>

// In assembly, for no compiler returns so. Each instruction that moves the stack says so to who unwinds it: exceptions
// pass.
#if defined(__x86_64__) && !defined(__ILP32__)
asm(R"(
    .pushsection .text.weft_v0_jump_back,"ax",@progbits
    .p2align 4
    .globl weft_v0_jump_back
    .type weft_v0_jump_back, @function
weft_v0_jump_back:
    .cfi_startproc
    subq $8, %rsp
    .cfi_def_cfa_offset 16
    call *%rcx
    addq $8, %rsp
    .cfi_def_cfa_offset 8
    popq %rcx
    .cfi_def_cfa_offset 0
    .cfi_register %rip, %rcx
    jmp *%rcx
    .cfi_endproc
    .size weft_v0_jump_back, .-weft_v0_jump_back
    .popsection
)");
#endif
