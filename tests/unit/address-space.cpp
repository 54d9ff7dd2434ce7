// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The native host's memory when a system call in the middle of a change fails. The memory is real,
// the backend is the fake; the linker puts this file's munmap, mprotect and madvise in place of
// libc's (--wrap).
#include "shim/backend/fake.h"
#include "shim/host/address_space.h"
#include "shim/sys/mapping.h"
#include "shim/sys/memory.h"
#include "shim/win32/status.h"
#include "tests/support/catch.h"
#include "tests/support/pages.h"

#include <array>
#include <cerrno>
#include <functional>
#include <sys/mman.h>
#include <utility>
#include <vector>

using namespace writewatch;
using namespace writewatch::test;
using namespace writewatch::win32;
using Step = backend::Fake::Step;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

// Each takes the place of one call.
std::function<int(void* start, std::size_t bytes)> at_munmap;
std::function<int(void* start, std::size_t bytes, int protection)> at_mprotect;
std::vector<std::pair<PageRange, int>> advised;

std::uintptr_t to_address(const void* pointer)
{
    return reinterpret_cast<std::uintptr_t>(pointer);
}

void* to_pointer(std::uintptr_t address)
{
    return reinterpret_cast<void*>(address); // NOLINT(performance-no-int-to-ptr)
}

int no_memory()
{
    errno = ENOMEM;
    return -1;
}

} // namespace

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
int __real_munmap(void* start, std::size_t bytes);
int __real_mprotect(void* start, std::size_t bytes, int protection);
int __real_madvise(void* start, std::size_t bytes, int advice);

int __wrap_munmap(void* start, std::size_t bytes)
{
    const auto instead = std::exchange(at_munmap, nullptr);
    return instead ? instead(start, bytes) : __real_munmap(start, bytes);
}

int __wrap_mprotect(void* start, std::size_t bytes, int protection)
{
    const auto instead = std::exchange(at_mprotect, nullptr);
    return instead ? instead(start, bytes, protection) : __real_mprotect(start, bytes, protection);
}

int __wrap_madvise(void* start, std::size_t bytes, int advice)
{
    advised.emplace_back(PageRange{to_address(start), to_address(start) + bytes}, advice);
    return __real_madvise(start, bytes, advice);
}
// NOLINTEND(bugprone-reserved-identifier)
}

namespace {

constexpr ULONG watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;
constexpr ULONG plain = MEM_RESERVE | MEM_COMMIT;
constexpr std::size_t page_count = 16;

struct Memory {
    backend::Fake fake;
    core::WatchSet set{fake};
    // As a process' one: it stays among those that a fork goes through.
    host::AddressSpace& space = *new host::AddressSpace(set);

    Memory()
    {
        REQUIRE(set.open());
        REQUIRE(space.open());
    }
    ~Memory() { set.close(); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    std::uintptr_t allocate(ULONG type)
    {
        void* base = nullptr;
        SIZE_T size = page_count * page_size;
        REQUIRE(space.allocate(base, size, type, PAGE_READWRITE) == status_success);
        return to_address(base);
    }
    void release(std::uintptr_t base)
    {
        REQUIRE(space.free(to_pointer(base), 0, MEM_RELEASE) == status_success);
    }
    NTSTATUS protect(PageRange range, ULONG protection, ULONG& old)
    {
        return space.protect(to_pointer(range.start), range.bytes(), protection, old);
    }
    std::size_t written(std::uintptr_t base)
    {
        std::array<std::uintptr_t, page_count> found{};
        const auto count =
            set.get(pages(base, 0, page_count), false, std::span<std::uintptr_t>(found));
        REQUIRE(count);
        return *count;
    }
};

int protection_of(PageRange range)
{
    const auto mapping = sys::inspect_mapping(range);
    REQUIRE(mapping);
    CHECK(mapping->same_protection);
    return mapping->protection;
}

} // namespace

TEST_CASE("a release that fails leaves the memory, watched as before", "[host]")
{
    Memory memory;
    const std::uintptr_t base = memory.allocate(watched);
    memory.fake.write(base);
    at_munmap = [](void*, std::size_t) { return no_memory(); };
    CHECK(memory.space.free(to_pointer(base), 0, MEM_RELEASE) == status_no_memory);
    CHECK(sys::is_mapped(pages(base, 0)));
    CHECK(memory.written(base) == 1);
    memory.release(base);
    CHECK_FALSE(memory.set.find(base));
}

TEST_CASE("an allocation that cannot be watched leaves no memory behind", "[host]")
{
    Memory memory;
    const std::uintptr_t place = memory.allocate(plain);
    memory.release(place);
    memory.fake.fail_call(Step::track, 0, ENOMEM);
    void* base = to_pointer(place);
    SIZE_T size = page_count * page_size;
    CHECK(memory.space.allocate(base, size, watched, PAGE_READWRITE) == status_no_memory);
    for (std::size_t i = 0; i < page_count; ++i)
        CHECK_FALSE(sys::is_mapped(pages(place, i)));
    CHECK_FALSE(memory.set.find(place));
}

TEST_CASE("a protection change that fails half-way is undone", "[host]")
{
    Memory memory;
    const std::uintptr_t base = memory.allocate(plain);
    ULONG old = 0;
    REQUIRE(memory.protect(pages(base, 2, 2), PAGE_READONLY, old) == status_success);
    old = 0xdead;
    // As the kernel's, over several mappings: those before the failure are changed.
    at_mprotect = [](void* start, std::size_t, int protection) {
        REQUIRE(__real_mprotect(start, 3 * page_size, protection) == 0);
        return no_memory();
    };
    CHECK(memory.protect(pages(base, 0, 6), PAGE_NOACCESS, old) == status_no_memory);
    CHECK(old == 0xdead);
    CHECK(protection_of(pages(base, 0, 2)) == (PROT_READ | PROT_WRITE));
    CHECK(protection_of(pages(base, 2, 2)) == PROT_READ);
    CHECK(protection_of(pages(base, 4, 12)) == (PROT_READ | PROT_WRITE));
    memory.release(base);
}

TEST_CASE("a protection change whose pages cannot be latched is not begun", "[host]")
{
    Memory memory;
    const std::uintptr_t base = memory.allocate(watched);
    memory.fake.write(base);
    const int before = memory.fake.protection;
    memory.fake.fail_call(Step::scan, 0, ENOMEM);
    ULONG old = 0xdead;
    CHECK(memory.protect(pages(base, 0, 4), PAGE_READONLY, old) == status_no_memory);
    CHECK(memory.fake.protection == before);
    CHECK(memory.fake.calls(Step::protect) == 0);
    CHECK(old == 0xdead);
    memory.release(base);
}

TEST_CASE("MEM_RESET discards the whole pages inside the range, and the backend is told", "[host]")
{
    Memory memory;
    const std::uintptr_t base = memory.allocate(watched);
    advised.clear();
    void* start = to_pointer(base + 100);
    SIZE_T size = 2 * page_size;
    REQUIRE(memory.space.allocate(start, size, MEM_RESET, PAGE_NOACCESS) == status_success);
    CHECK(advised == std::vector{std::pair{pages(base, 1), MADV_FREE}});
    CHECK(memory.fake.told_dropped == std::vector{pages(base, 1)});
    CHECK(to_address(start) == base);
    CHECK(size == 3 * page_size);
    memory.release(base);
}

TEST_CASE("MEM_RESET of memory that is not watched is nothing to the backend", "[host]")
{
    Memory memory;
    const std::uintptr_t base = memory.allocate(plain);
    advised.clear();
    void* start = to_pointer(base);
    SIZE_T size = page_size;
    REQUIRE(memory.space.allocate(start, size, MEM_RESET, PAGE_NOACCESS) == status_success);
    CHECK(advised == std::vector{std::pair{pages(base, 0), MADV_FREE}});
    CHECK(memory.fake.told_dropped.empty());
    memory.release(base);
}
