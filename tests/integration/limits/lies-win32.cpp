// SPDX-License-Identifier: LGPL-2.1-or-later
//
// lies.cpp through the Win32 calls: what GetWriteWatch answers when the kernel answers nonsense.
#include "tests/integration/limits/lying-kernel.h"
#include "tests/support/catch.h"

#include <writewatch/win32.h>

#include <cstdlib>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    void* const probe = VirtualAlloc(nullptr, 1, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (probe == nullptr)
        return Missing{"pagemap-scan", "MEM_WRITE_WATCH is refused"};
    VirtualFree(probe, 0, MEM_RELEASE);
    return std::nullopt;
}

TEST_CASE("a get fails and writes nothing; a get with reset returns every page", "[limits][lies]")
{
    constexpr SIZE_T page = 4096;
    constexpr SIZE_T pages = 64;
    auto* const base = static_cast<char*>(VirtualAlloc(
        nullptr, pages * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    REQUIRE(base != nullptr);
    void* found[pages] = {};
    ULONG_PTR count = pages;
    ULONG granularity = 1;
    const auto get = [&](DWORD flags) {
        count = pages;
        granularity = 1;
        return GetWriteWatch(flags, base, pages * page, found, &count, &granularity);
    };
    REQUIRE(get(WRITE_WATCH_FLAG_RESET) == 0);
    base[3 * page] = 1;
    base[9 * page] = 1;

    lie("far-too-long");
    SetLastError(0);
    CHECK(get(0) != 0);
    CHECK(GetLastError() == 1359); // ERROR_INTERNAL_ERROR
    CHECK(count == pages);
    CHECK(granularity == 1);
    REQUIRE(get(WRITE_WATCH_FLAG_RESET) == 0);
    REQUIRE(count == pages);
    for (SIZE_T i = 0; i < pages; ++i)
        CHECK(found[i] == base + i * page);

    lie(nullptr);
    base[5 * page] = 1;
    REQUIRE(get(WRITE_WATCH_FLAG_RESET) == 0);
    REQUIRE(count == 1);
    CHECK(found[0] == base + 5 * page);
    CHECK(VirtualFree(base, 0, MEM_RELEASE) == TRUE);
}
