// SPDX-License-Identifier: LGPL-2.1-or-later
//
// VirtualAlloc and its family where the conformance suite does not go: many regions, the kernel's
// limit of mappings, fork, addresses that Windows never gives.
#include "tests/support/catch.h"

#include <writewatch/win32.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    void* const probe = VirtualAlloc(nullptr, 1, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (probe == nullptr)
        return Missing{std::getenv("WRITEWATCH_BACKEND"), "MEM_WRITE_WATCH is refused"};
    VirtualFree(probe, 0, MEM_RELEASE);
    return std::nullopt;
}

namespace {

constexpr std::size_t page = 4096;
constexpr DWORD watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

std::vector<std::size_t> get(char* base, std::size_t pages, DWORD flags = 0)
{
    std::vector<void*> found(pages);
    ULONG_PTR count = pages;
    ULONG granularity = 0;
    if (GetWriteWatch(flags, base, pages * page, found.data(), &count, &granularity) != 0)
        return {~std::size_t{0}, GetLastError()};
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < count; ++i)
        numbers.push_back(static_cast<std::size_t>(static_cast<char*>(found[i]) - base) / page);
    return numbers;
}

using Numbers = std::vector<std::size_t>;

// At the limit of mappings the mprotect backend cannot keep clean pages apart from written ones and
// reports more (its documented limit); pagemap-scan needs none.
bool is_as_written(const Numbers& found, const Numbers& written)
{
    const char* const backend = std::getenv("WRITEWATCH_BACKEND");
    if (backend == nullptr || std::strcmp(backend, "mprotect") != 0)
        return found == written;
    return std::includes(found.begin(), found.end(), written.begin(), written.end());
}

// Takes all mappings that the kernel has to spare but `spare`, by a mapping of alternating
// protections; gives them back at the end.
class MappingsUsedUp {
  public:
    explicit MappingsUsedUp(std::size_t spare)
    {
        bytes_ = 140'000 * page;
        start_ = static_cast<char*>(
            mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        REQUIRE(start_ != MAP_FAILED);
        std::size_t last = 1;
        while (last < 139'000 && mprotect(start_ + last * page, page, PROT_READ) == 0)
            last += 2;
        REQUIRE(last < 139'000);
        for (std::size_t i = 0; i < spare; i += 2) {
            last -= 2;
            REQUIRE(mprotect(start_ + last * page, page, PROT_NONE) == 0);
        }
    }
    ~MappingsUsedUp() { munmap(start_, bytes_); }
    MappingsUsedUp(const MappingsUsedUp&) = delete;
    MappingsUsedUp& operator=(const MappingsUsedUp&) = delete;

  private:
    char* start_;
    std::size_t bytes_;
};

} // namespace

TEST_CASE("30,000 watched regions, each with its own state", "[native][win32]")
{
    constexpr std::size_t many = 30'000;
    std::vector<char*> regions;
    regions.reserve(many);
    for (std::size_t i = 0; i < many; ++i) {
        // Two protections, so that neighbours do not merge into one mapping.
        auto* const base = static_cast<char*>(VirtualAlloc(
            nullptr, 2 * page, watched, i % 2 == 0 ? PAGE_READWRITE : PAGE_EXECUTE_READWRITE));
        if (base == nullptr)
            FAIL("region " << i << ": error " << GetLastError());
        regions.push_back(base);
    }
    for (std::size_t i = 0; i < many; i += 3)
        regions[i][(i % 2) * page] = 1;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < many; ++i) {
        const Numbers expected = i % 3 == 0 ? Numbers{i % 2} : Numbers{};
        wrong += get(regions[i], 2, WRITE_WATCH_FLAG_RESET) != expected;
        wrong += !get(regions[i], 2).empty();
    }
    CHECK(wrong == 0);
    // In another order than they came.
    for (std::size_t i = 0; i < many; ++i)
        wrong += VirtualFree(regions[i * 7'919 % many], 0, MEM_RELEASE) != TRUE;
    CHECK(wrong == 0);
    CHECK(get(regions[5], 2) == Numbers{~std::size_t{0}, ERROR_INVALID_PARAMETER});
}

TEST_CASE("past the kernel's limit of mappings: out of memory, and clean afterwards",
          "[native][win32]")
{
    std::vector<char*> regions;
    regions.reserve(100);
    {
        const MappingsUsedUp used(40);
        DWORD error = 0;
        for (std::size_t i = 0; i < 100; ++i) {
            SetLastError(0);
            auto* const base = static_cast<char*>(VirtualAlloc(
                nullptr, 2 * page, watched, i % 2 == 0 ? PAGE_READWRITE : PAGE_EXECUTE_READWRITE));
            if (base == nullptr) {
                error = GetLastError();
                break;
            }
            regions.push_back(base);
        }
        CHECK(error == ERROR_NOT_ENOUGH_MEMORY);
        CHECK(regions.size() > 5);
        // What there is works on.
        std::size_t wrong = 0;
        for (char* const base : regions) {
            base[page] = 1;
            wrong += !is_as_written(get(base, 2, WRITE_WATCH_FLAG_RESET), {1});
        }
        CHECK(wrong == 0);
    }
    for (char* const base : regions)
        CHECK(VirtualFree(base, 0, MEM_RELEASE) == TRUE);
    auto* const again =
        static_cast<char*>(VirtualAlloc(nullptr, 2 * page, watched, PAGE_READWRITE));
    REQUIRE(again != nullptr);
    again[0] = 1;
    CHECK(get(again, 2) == Numbers{0});
    CHECK(VirtualFree(again, 0, MEM_RELEASE) == TRUE);
}

TEST_CASE("a protection change that fails for want of mappings changes nothing", "[native][win32]")
{
    constexpr std::size_t pages = 64;
    auto* const base =
        static_cast<char*>(VirtualAlloc(nullptr, pages * page, watched, PAGE_READWRITE));
    REQUIRE(base != nullptr);
    base[10 * page] = 1;
    {
        const MappingsUsedUp used(0);
        DWORD old = 0x1234;
        // Some may still fit; in the end one cannot.
        std::size_t first = 20;
        while (first < 60 && VirtualProtect(base + first * page, page, PAGE_NOACCESS, &old))
            first += 2;
        REQUIRE(first < 60);
        CHECK(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
        old = 0x1234;
        CHECK_FALSE(VirtualProtect(base + 5 * page, page, PAGE_NOACCESS, &old));
        CHECK(old == 0x1234);
        CHECK_FALSE(VirtualFree(base + 7 * page, page, MEM_DECOMMIT));
        MEMORY_BASIC_INFORMATION info;
        REQUIRE(VirtualQuery(base + 5 * page, &info, sizeof(info)) == sizeof(info));
        CHECK(info.State == MEM_COMMIT);
        CHECK(info.Protect == PAGE_READWRITE);
        // Readable, writable, and writes are seen.
        base[5 * page] = 5;
        base[first * page] = 6;
        CHECK(base[5 * page] == 5);
        const Numbers found = get(base, pages);
        for (const std::size_t written : {std::size_t{5}, std::size_t{10}, first})
            CHECK(std::count(found.begin(), found.end(), written) == 1);
    }
    DWORD old = 0;
    CHECK(VirtualProtect(base, pages * page, PAGE_READWRITE, &old) == TRUE);
    CHECK(VirtualFree(base, 0, MEM_RELEASE) == TRUE);
}

TEST_CASE("a release that fails for want of mappings leaves the allocation as it was",
          "[native][win32]")
{
    // Side by side and alike, so that they are one mapping for the kernel.
    auto* const whole = static_cast<char*>(
        VirtualAlloc(nullptr, 3 * 0x10000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    REQUIRE(whole != nullptr);
    REQUIRE(VirtualFree(whole, 0, MEM_RELEASE));
    char* three[3];
    for (int i = 0; i < 3; ++i) {
        three[i] =
            static_cast<char*>(VirtualAlloc(whole + i * 0x10000, 0x10000, watched, PAGE_READWRITE));
        REQUIRE(three[i] == whole + i * 0x10000);
    }
    for (char* const base : three) // not before all are there: then they are one
        base[page] = 1;
    // Latched and decommitted: reported still.
    DWORD old = 0;
    REQUIRE(VirtualProtect(three[1] + page, page, PAGE_READWRITE, &old));
    REQUIRE(VirtualFree(three[1] + page, page, MEM_DECOMMIT));
    REQUIRE(VirtualAlloc(three[1] + page, page, MEM_COMMIT, PAGE_READWRITE) == three[1] + page);
    REQUIRE(get(three[1], 16) == Numbers{1});
    {
        const MappingsUsedUp used(0);
        if (VirtualFree(three[1], 0, MEM_RELEASE) == FALSE) {
            CHECK(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
            CHECK(is_as_written(get(three[1], 16), {1}));
            three[1][3 * page] = 1;
            CHECK(is_as_written(get(three[1], 16), {1, 3}));
        } else {
            WARN("the kernel did not merge the three mappings; nothing was tried");
            three[1] = nullptr;
        }
    }
    for (char* const base : three)
        CHECK((base == nullptr || VirtualFree(base, 0, MEM_RELEASE) == TRUE));
}

// In a child, since a soft limit that was lowered to nothing would be in Catch2's way, too.
template<typename Body> int at_limit(__rlimit_resource resource, rlim_t limit, Body body)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(20);
        auto* const base =
            static_cast<char*>(VirtualAlloc(nullptr, 16 * page, watched, PAGE_READWRITE));
        rlimit now{};
        if (base == nullptr || getrlimit(resource, &now) != 0)
            _exit(1);
        const rlimit lower{limit, now.rlim_max};
        if (setrlimit(resource, &lower) != 0)
            _exit(2);
        base[page] = 1;
        base[5 * page] = 1;
        if (get(base, 16, WRITE_WATCH_FLAG_RESET) != Numbers{1, 5})
            _exit(3);
        if (const int wrong = body(); wrong != 0)
            _exit(wrong);
        if (setrlimit(resource, &now) != 0)
            _exit(4);
        base[7 * page] = 1;
        auto* const more =
            static_cast<char*>(VirtualAlloc(nullptr, 4 * page, watched, PAGE_READWRITE));
        if (more == nullptr)
            _exit(5);
        more[page] = 1;
        _exit(get(base, 16) == Numbers{7} && get(more, 4) == Numbers{1} ? 0 : 6);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

TEST_CASE("no more descriptors: nothing here needs one", "[native][win32]")
{
    CHECK(at_limit(RLIMIT_NOFILE, 0, [] {
              auto* const base =
                  static_cast<char*>(VirtualAlloc(nullptr, 4 * page, watched, PAGE_READWRITE));
              if (base == nullptr)
                  return 10;
              base[2 * page] = 1;
              DWORD old = 0;
              if (!VirtualProtect(base, page, PAGE_READONLY, &old) || get(base, 4) != Numbers{2})
                  return 11;
              return VirtualFree(base, 0, MEM_RELEASE) ? 0 : 12;
          }) == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // their runtimes need some
TEST_CASE("no more address space: out of memory, and what there is works on", "[native][win32]")
{
    CHECK(at_limit(RLIMIT_AS, 1 << 20, [] {
              SetLastError(0);
              if (VirtualAlloc(nullptr, 64 << 20, watched, PAGE_READWRITE) != nullptr)
                  return 10;
              return GetLastError() == ERROR_NOT_ENOUGH_MEMORY ? 0 : 11;
          }) == 0);
}
#endif

TEST_CASE("the first 64 KiB are nobody's", "[native][win32]")
{
    for (const std::uintptr_t address : {0x1UL, 0x1000UL, 0xf000UL, 0xffffUL}) {
        SetLastError(0);
        CHECK(VirtualAlloc(reinterpret_cast<void*>(address), page, MEM_RESERVE, PAGE_READWRITE) ==
              nullptr);
        CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
    }
    // Nothing was mapped there: it could be now, by whoever may.
    MEMORY_BASIC_INFORMATION info;
    REQUIRE(VirtualQuery(nullptr, &info, sizeof(info)) == sizeof(info));
    CHECK(info.State == MEM_FREE);
}

TEST_CASE("sizes at the end of everything", "[native][win32]")
{
    for (const SIZE_T size : {~SIZE_T{0}, ~SIZE_T{0} - 4094, SIZE_T{1} << 63, SIZE_T{1} << 47,
                              (SIZE_T{1} << 47) + 1, (SIZE_T{1} << 47) - 1}) {
        SetLastError(0);
        CHECK(VirtualAlloc(nullptr, size, watched, PAGE_READWRITE) == nullptr);
        CHECK(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
    }
    auto* const base = static_cast<char*>(VirtualAlloc(nullptr, 1, watched, PAGE_READWRITE));
    REQUIRE(base != nullptr);
    DWORD old = 0;
    for (const SIZE_T size : {~SIZE_T{0}, ~SIZE_T{0} - reinterpret_cast<SIZE_T>(base),
                              (SIZE_T{1} << 47) - reinterpret_cast<SIZE_T>(base)}) {
        CHECK_FALSE(VirtualProtect(base, size, PAGE_READWRITE, &old));
        CHECK_FALSE(VirtualFree(base, size, MEM_DECOMMIT));
        CHECK(VirtualAlloc(base, size, MEM_COMMIT, PAGE_READWRITE) == nullptr);
    }
    CHECK(VirtualFree(base, 0, MEM_RELEASE) == TRUE);
}

TEST_CASE("a child of fork over-reports at most, and allocates on its own", "[native][win32]")
{
    auto* const base = static_cast<char*>(VirtualAlloc(nullptr, 8 * page, watched, PAGE_READWRITE));
    REQUIRE(base != nullptr);
    base[page] = 1;
    REQUIRE(get(base, 8, WRITE_WATCH_FLAG_RESET) == Numbers{1});
    base[3 * page] = 1;

    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    threads.reserve(2);
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&stop] {
            while (!stop) {
                auto* const own =
                    static_cast<char*>(VirtualAlloc(nullptr, 4 * page, watched, PAGE_READWRITE));
                if (own == nullptr)
                    continue;
                own[page] = 1;
                (void)get(own, 4, WRITE_WATCH_FLAG_RESET);
                VirtualFree(own, 0, MEM_RELEASE);
            }
        });
    }
    for (int round = 0; round < 50; ++round) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            alarm(20);
            const Numbers found = get(base, 8, WRITE_WATCH_FLAG_RESET);
            if (std::count(found.begin(), found.end(), 3) != 1 || found.size() > 2)
                _exit(1);
            base[5 * page] = 1;
            if (get(base, 8, WRITE_WATCH_FLAG_RESET) != Numbers{5})
                _exit(2);
            auto* const own =
                static_cast<char*>(VirtualAlloc(nullptr, 4 * page, watched, PAGE_READWRITE));
            if (own == nullptr)
                _exit(3);
            own[2 * page] = 1;
            if (get(own, 4) != Numbers{2})
                _exit(4);
            if (!VirtualFree(own, 0, MEM_RELEASE) || !VirtualFree(base, 0, MEM_RELEASE))
                _exit(5);
            _exit(0);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    CHECK(get(base, 8) == Numbers{3});
    CHECK(VirtualFree(base, 0, MEM_RELEASE) == TRUE);
}
