// SPDX-License-Identifier: LGPL-2.1-or-later
//
// suspension get|allocate|protect: a collector stops the world and then reads the watches, so a
// thread that was stopped inside a call about watches must not hold what others need. Where it
// does, this hangs, and the runner's timeout ends it.
#include "check.h"

#include <atomic>
#include <string_view>

namespace {

constexpr int rounds = 10000;
constexpr SIZE_T pages = 64;

volatile char* shared = nullptr;
std::atomic<bool> stop{false};
std::atomic<unsigned long> calls{0};

// Without an allocation: the stopped thread may hold the heap's lock.
ULONG_PTR get_without_heap(SIZE_T range, void** addresses)
{
    ULONG_PTR count = range;
    DWORD granularity = 0;
    const UINT result = GetWriteWatch(WRITE_WATCH_FLAG_RESET, unqualified(shared), range * page,
                                      addresses, &count, &granularity);
    return result == 0 ? count : 0;
}

void get()
{
    void* addresses[pages];
    shared[3 * page] = 1;
    (void)get_without_heap(32, addresses);
}

void allocate()
{
    volatile char* p = allocate_watched(4);
    CHECK(p != nullptr);
    p[0] = 1;
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

void protect()
{
    DWORD old = 0;
    shared[5 * page] = 1;
    CHECK(VirtualProtect(unqualified(shared), 8 * page, PAGE_READWRITE, &old));
    CHECK(VirtualFree(unqualified(shared), 8 * page, MEM_DECOMMIT));
    CHECK(VirtualAlloc(unqualified(shared), 8 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
}

template<void (*work)()> DWORD WINAPI repeat(void*)
{
    while (!stop) {
        work();
        ++calls;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view what = argc > 1 ? argv[1] : "get";
    const LPTHREAD_START_ROUTINE routine = what == "allocate"  ? repeat<allocate>
                                           : what == "protect" ? repeat<protect>
                                                               : repeat<get>;
    shared = allocate_watched(pages);
    CHECK(shared != nullptr);
    HANDLE thread = CreateThread(nullptr, 0, routine, nullptr, 0, nullptr);
    CHECK(thread != nullptr);

    int lost = 0;
    for (int i = 0; i < rounds; ++i) {
        if (SuspendThread(thread) == static_cast<DWORD>(-1)) {
            CHECK(false);
            break;
        }
        shared[40 * page] = static_cast<char>(i);
        void* addresses[pages];
        const ULONG_PTR count = get_without_heap(pages, addresses);
        bool found = false;
        for (ULONG_PTR entry = 0; entry < count; ++entry)
            found = found || addresses[entry] == unqualified(shared + 40 * page);
        lost += found ? 0 : 1;
        ResumeThread(thread);
    }
    stop = true;
    CHECK(WaitForSingleObject(thread, 10000) == WAIT_OBJECT_0);
    CHECK(lost == 0);
    CHECK(calls > 0);
    std::printf("suspended %d times in %lu calls of %s\n", rounds, calls.load(), what.data());
    return finish("suspension");
}
