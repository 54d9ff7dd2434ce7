// SPDX-License-Identifier: LGPL-2.1-or-later
//
// terminate get|reset: TerminateThread ends a thread by pthread_exit in a signal handler, at any
// instruction: also inside our calls. The process goes on, and so does tracking.
#include "check.h"

#include <atomic>
#include <string_view>

namespace {

constexpr SIZE_T pages = 256;

volatile char* shared = nullptr;
std::atomic<unsigned long> calls{0};

// No heap in here: a terminated thread would take its lock along.
DWORD WINAPI get_forever(void*)
{
    static void* addresses[pages];
    for (;;) {
        for (SIZE_T i = 0; i < 128; i += 2)
            shared[i * page] = 1;
        ULONG_PTR count = pages;
        DWORD granularity = 0;
        GetWriteWatch(WRITE_WATCH_FLAG_RESET, unqualified(shared), 128 * page, addresses, &count,
                      &granularity);
        ++calls;
    }
}

DWORD WINAPI reset_forever(void*)
{
    for (;;) {
        for (SIZE_T i = 0; i < 128; i += 2)
            shared[i * page] = 1;
        ResetWriteWatch(unqualified(shared), 128 * page);
        ++calls;
    }
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view what = argc > 1 ? argv[1] : "get";
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 300;
    shared = allocate_watched(pages);
    for (int i = 0; i < rounds; ++i) {
        const unsigned long before = calls;
        HANDLE thread = CreateThread(nullptr, 0, what == "get" ? get_forever : reset_forever,
                                     nullptr, 0, nullptr);
        CHECK(thread != nullptr);
        while (calls < before + 2 + static_cast<unsigned long>(i % 5))
            SwitchToThread();
        CHECK(TerminateThread(thread, 7));
        CHECK(WaitForSingleObject(thread, 10000) == WAIT_OBJECT_0);
        DWORD code = 0;
        CHECK(GetExitCodeThread(thread, &code) && code == 7);
        CloseHandle(thread);

        shared[200 * page] = static_cast<char>(i);
        const Pages now = written(shared, pages, WRITE_WATCH_FLAG_RESET);
        CHECK(!now.empty() && now.back() == 200);
        CHECK(written(shared, pages) == Pages{});
        volatile char* p = allocate_watched(4);
        CHECK(p != nullptr);
        p[page] = 1;
        CHECK(written(p, 4) == Pages{1});
        CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
        if (failures > 10)
            break;
    }
    std::printf("terminated %d threads in %lu calls\n", rounds, calls.load());
    return finish("terminate");
}
