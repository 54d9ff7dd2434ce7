// SPDX-License-Identifier: LGPL-2.1-or-later
//
// terminate get|reset|allocate|protect|all: TerminateThread ends a thread by pthread_exit in a
// signal handler, at any instruction: also inside our calls. The process goes on, and so does
// tracking.
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

// A region that its thread was ended with stays: at most one each time.
void allocate_and_release()
{
    volatile char* p = allocate_watched(4);
    if (p == nullptr)
        return;
    p[0] = 1;
    VirtualFree(unqualified(p), 2 * page, MEM_DECOMMIT);
    VirtualAlloc(unqualified(p), 2 * page, MEM_COMMIT, PAGE_READWRITE);
    VirtualFree(unqualified(p), 0, MEM_RELEASE);
}

DWORD WINAPI allocate_forever(void*)
{
    for (;;) {
        allocate_and_release();
        ++calls;
    }
}

// Pages from the 64th on: what is decommitted when the thread ends is committed by the next.
void protect_and_commit()
{
    DWORD old = 0;
    char* const part = static_cast<char*>(unqualified(shared + 64 * page));
    VirtualAlloc(part, 64 * page, MEM_COMMIT, PAGE_READWRITE);
    *static_cast<volatile char*>(part + 3 * page) = 1;
    VirtualProtect(part, 8 * page, PAGE_READONLY, &old);
    VirtualProtect(part, 8 * page, PAGE_READWRITE, &old);
    VirtualFree(part, 16 * page, MEM_DECOMMIT);
}

DWORD WINAPI protect_forever(void*)
{
    for (;;) {
        protect_and_commit();
        ++calls;
    }
}

DWORD WINAPI everything_forever(void*)
{
    static void* addresses[pages];
    for (;;) {
        shared[3 * page] = 1;
        ULONG_PTR count = pages;
        DWORD granularity = 0;
        GetWriteWatch(WRITE_WATCH_FLAG_RESET, unqualified(shared), 128 * page, addresses, &count,
                      &granularity);
        allocate_and_release();
        protect_and_commit();
        ResetWriteWatch(unqualified(shared), 128 * page);
        ++calls;
    }
}

LPTHREAD_START_ROUTINE routine_for(std::string_view what)
{
    return what == "get"        ? get_forever
           : what == "reset"    ? reset_forever
           : what == "allocate" ? allocate_forever
           : what == "protect"  ? protect_forever
                                : everything_forever;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view what = argc > 1 ? argv[1] : "get";
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 300;
    shared = allocate_watched(pages);
    for (int i = 0; i < rounds; ++i) {
        const unsigned long before = calls;
        HANDLE thread = CreateThread(nullptr, 0, routine_for(what), nullptr, 0, nullptr);
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
