// SPDX-License-Identifier: LGPL-2.1-or-later
// GetWriteWatch with any arguments, sentinels in everything it may write.
#ifndef WRITEWATCH_TESTS_CONFORMANCE_ASK_H
#define WRITEWATCH_TESTS_CONFORMANCE_ASK_H

#include "conformance.h"

#include <cstddef>
#include <vector>

namespace conformance {

inline constexpr UINT get_failed = ~UINT{0};

/// The arguments of one GetWriteWatch.
struct Question {
    DWORD flags = 0;
    void* base = nullptr;
    SIZE_T size = 0;
    ULONG_PTR count = 16; ///< the value of *count
    bool addresses_null = false;
    bool count_null = false;
    bool granularity_null = false;
};

/// What came back, with everything that the call could have written.
struct Answer {
    UINT result = 0; ///< of GetWriteWatch
    Status status{}; ///< of NtGetWriteWatch
    Error error{};
    ULONG_PTR count = 0;
    ULONG granularity = 0;
    std::vector<void*> addresses; ///< as many as the array holds, whatever *count says
};

inline constexpr ULONG granularity_sentinel = 0xdeadbeef;
void* address_sentinel();

Answer ask(const Question& question);    ///< GetWriteWatch
Answer ask_nt(const Question& question); ///< NtGetWriteWatch

/// GetWriteWatch fails with \p error and writes nothing at all.
void check_fails(const Question& question, DWORD error, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE());

/// NtGetWriteWatch fails with \p status and writes nothing at all.
void check_fails_nt(const Question& question, Status status, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE());

/// ResetWriteWatch fails with \p error.
void check_reset_fails(void* base, SIZE_T size, DWORD error, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE());

/// VirtualAlloc fails with \p error. What it allocates in spite of that is released.
void check_allocation_fails(void* base, SIZE_T size, DWORD type, DWORD protect, DWORD error,
                            const char* file = __builtin_FILE(), int line = __builtin_LINE());

} // namespace conformance

#endif
