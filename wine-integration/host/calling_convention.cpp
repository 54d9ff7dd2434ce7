// SPDX-License-Identifier: LGPL-2.1-or-later
//
// NtGetWriteWatch( process, flags, base, size, addresses, count, granularity ), as the two
// conventions read the registers of the one call below:
//
//                 Microsoft                      System V
//   process       rcx       -1                   rdi       -1
//   flags         rdx       0                    rsi       0
//   base          r8        page-aligned         rdx       0
//   size          r9        0                    rcx       -1
//   addresses     rsp+0x20  our words            r8        page-aligned
//   count         rsp+0x28  our words, not 0     r9        NULL
//   granularity   rsp+0x30  our words            rsp       our words
//
// (rsp at the call.) Microsoft: size 0, STATUS_INVALID_PARAMETER. System V: no count,
// STATUS_ACCESS_VIOLATION. What is dereferenced before that, under either reading, is ours.
#include "wine-integration/host/calling_convention.h"

#include "shim/sys/page.h"

extern "C" std::uint32_t writewatch_probe_call(std::uintptr_t function, void* words,
                                               std::uintptr_t page);

// rbp carries the stack pointer over the call: both conventions preserve it.
asm(R"(
    .text
    .p2align 4
    .hidden writewatch_probe_call
    .globl writewatch_probe_call
    .type writewatch_probe_call, @function
writewatch_probe_call:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    subq $0x40, %rsp
    movq %rdi, %rax
    movq %rsi, 0x00(%rsp)
    movq %rsi, 0x08(%rsp)
    movq %rsi, 0x10(%rsp)
    movq %rsi, 0x18(%rsp)
    movq %rsi, 0x20(%rsp)
    movq %rsi, 0x28(%rsp)
    movq %rsi, 0x30(%rsp)
    movq %rsi, 0x38(%rsp)
    movq %rdx, %r8
    movq $-1, %rdi
    movq $-1, %rcx
    xorl %esi, %esi
    xorl %edx, %edx
    xorl %r9d, %r9d
    call *%rax
    leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size writewatch_probe_call, .-writewatch_probe_call
)");

namespace writewatch::wine {

namespace {

constexpr std::uint32_t status_access_violation = 0xC0000005;
constexpr std::uint32_t status_invalid_parameter = 0xC000000D;

} // namespace

CallingConvention probe_calling_convention(std::uintptr_t nt_get_write_watch) noexcept
{
    std::uintptr_t words[2] = {1, 1};
    switch (writewatch_probe_call(nt_get_write_watch, words, page_size * 16)) {
    case status_access_violation:
        return CallingConvention::system_v;
    case status_invalid_parameter:
        return CallingConvention::microsoft;
    default:
        return CallingConvention::unknown;
    }
}

} // namespace writewatch::wine
