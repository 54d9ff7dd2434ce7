// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ask.h"

#include <algorithm>

namespace conformance {

namespace {

constexpr std::size_t array_entries = 64;

template<typename Call> Answer ask_with(const Question& question, const Call& call)
{
    Answer answer;
    answer.count = question.count;
    answer.granularity = granularity_sentinel;
    answer.addresses.assign(array_entries, address_sentinel());
    require("the question's count fits the array that asks", question.count <= array_entries);
    SetLastError(ERROR_SUCCESS);
    call(question.addresses_null ? nullptr : answer.addresses.data(),
         question.count_null ? nullptr : &answer.count,
         question.granularity_null ? nullptr : &answer.granularity, answer);
    return answer;
}

void check_untouched(const Question& question, const Answer& answer, const char* file, int line)
{
    check_equal("*count after a failure", answer.count, question.count, file, line);
    check_equal("*granularity after a failure", answer.granularity, granularity_sentinel, file,
                line);
    check("no entry is written by a failing call",
          std::all_of(answer.addresses.begin(), answer.addresses.end(),
                      [](void* each) { return each == address_sentinel(); }),
          file, line);
}

} // namespace

void* address_sentinel()
{
    static char somewhere;
    return &somewhere;
}

Answer ask(const Question& question)
{
    return ask_with(question,
                    [&](void** addresses, ULONG_PTR* count, ULONG* granularity, Answer& answer) {
                        answer.result = GetWriteWatch(question.flags, question.base, question.size,
                                                      addresses, count, granularity);
                        answer.error = {GetLastError()};
                    });
}

Answer ask_nt(const Question& question)
{
    return ask_with(
        question, [&](void** addresses, ULONG_PTR* count, ULONG* granularity, Answer& answer) {
            answer.status = {NtGetWriteWatch(own_process(), question.flags, question.base,
                                             question.size, addresses, count, granularity)};
        });
}

void check_fails(const Question& question, DWORD error, const char* file, int line)
{
    const Answer answer = ask(question);
    check_equal("result of GetWriteWatch", answer.result, get_failed, file, line);
    check_equal("last error", answer.error, Error{error}, file, line);
    check_untouched(question, answer, file, line);
}

void check_fails_nt(const Question& question, Status status, const char* file, int line)
{
    const Answer answer = ask_nt(question);
    check_equal("result of NtGetWriteWatch", answer.status, status, file, line);
    check_untouched(question, answer, file, line);
}

void check_reset_fails(void* base, SIZE_T size, DWORD error, const char* file, int line)
{
    SetLastError(ERROR_SUCCESS);
    const UINT result = ResetWriteWatch(base, size);
    const Error last{GetLastError()};
    check_equal("result of ResetWriteWatch", result, get_failed, file, line);
    check_equal("last error", last, Error{error}, file, line);
}

void check_allocation_fails(void* base, SIZE_T size, DWORD type, DWORD protect, DWORD error,
                            const char* file, int line)
{
    SetLastError(ERROR_SUCCESS);
    void* const got = VirtualAlloc(base, size, type, protect);
    const Error last{GetLastError()};
    check_equal("result of VirtualAlloc", static_cast<const void*>(got),
                static_cast<const void*>(nullptr), file, line);
    if (!got)
        check_equal("last error", last, Error{error}, file, line);
    else if (!base)
        VirtualFree(got, 0, MEM_RELEASE);
}

} // namespace conformance
