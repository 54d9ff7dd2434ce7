// SPDX-License-Identifier: LGPL-2.1-or-later
//
// 1 GiB, every second page written, two rounds of get with reset: exact. (Stock Wine needs one
// mapping per page for this, and does not finish.)
#include "check.h"

int main()
{
    constexpr SIZE_T pages = (SIZE_T{1} << 30) / page;
    volatile char* p = allocate_watched(pages);
    CHECK(p != nullptr);
    std::vector<void*> addresses(pages);
    const DWORD start = GetTickCount();
    for (SIZE_T round = 0; round < 2; ++round) {
        for (SIZE_T i = round; i < pages; i += 2)
            p[i * page] = 1;
        ULONG_PTR count = pages;
        DWORD granularity = 0;
        CHECK(GetWriteWatch(WRITE_WATCH_FLAG_RESET, unqualified(p), pages * page, addresses.data(),
                            &count, &granularity) == 0);
        CHECK(count == pages / 2);
        SIZE_T wrong = 0;
        for (SIZE_T i = 0; i < count; ++i)
            wrong += addresses[i] == unqualified(p + (2 * i + round) * page) ? 0 : 1;
        CHECK(wrong == 0);
        CHECK(written(p, 64) == Pages{});
    }
    std::printf("two rounds: %lu ms\n", static_cast<unsigned long>(GetTickCount() - start));
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));

    // A large reservation costs neither time nor memory of its own.
    volatile char* reserved = allocate_watched((SIZE_T{256} << 30) / page, MEM_RESERVE);
    CHECK(reserved != nullptr);
    volatile char* part = reserved + (SIZE_T{200} << 30);
    CHECK(VirtualAlloc(unqualified(part), 4 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    part[2 * page] = 1;
    CHECK(written(part, 4) == Pages{2});
    CHECK(VirtualFree(unqualified(reserved), 0, MEM_RELEASE));
    return finish("gigabyte");
}
