// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The Win32 translation over the fake backend: order of checks, rounding, statuses, allocation
// types (facts/semantics.md).
#include "shim/sys/memory.h"
#include "shim/win32/allocation.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"
#include "tests/support/fake_watch_set.h"

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <sys/mman.h>

using namespace writewatch;
using namespace writewatch::test;
using namespace writewatch::win32;
using Step = backend::Fake::Step;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr PageRange region = pages(base, 0, 64);

void* pointer(std::uintptr_t address)
{
    return reinterpret_cast<void*>(address); // NOLINT(performance-no-int-to-ptr)
}

sigjmp_buf before_fault;

struct Watched : FakeWatchSet {
    Watched()
    {
        watch(region);
        std::fill(addresses.begin(), addresses.end(), pointer(0xdead));
    }

    NTSTATUS get(ULONG flags, std::uintptr_t start, SIZE_T size)
    {
        return get_write_watch(set, flags, pointer(start), size, addresses.data(), &count,
                               &granularity);
    }
    bool nothing_written_out(ULONG_PTR capacity) const
    {
        return count == capacity && granularity == 0xdead && addresses[0] == pointer(0xdead);
    }

    std::array<void*, 64> addresses;
    ULONG_PTR count = 64;
    ULONG granularity = 0xdead;
};

} // namespace

TEST_CASE("a get fills addresses, count and granularity", "[win32]")
{
    Watched w;
    w.write({2, 3});
    CHECK(w.get(0, base, 64 * page_size) == status_success);
    CHECK(w.count == 2);
    CHECK(w.granularity == page_size);
    CHECK(w.addresses[0] == pointer(base + 2 * page_size));
    CHECK(w.addresses[1] == pointer(base + 3 * page_size));
    CHECK(w.addresses[2] == pointer(0xdead));
}

TEST_CASE("the range is rounded outward to pages", "[win32]")
{
    Watched w;
    w.write({0, 1, 2, 3});
    CHECK(w.get(0, base + 2 * page_size - 1, 2) == status_success);
    CHECK(w.count == 2);
    CHECK(w.addresses[0] == pointer(base + page_size));
    w.count = 64;
    CHECK(w.get(0, base + 63 * page_size + 4095, 1) == status_success);
    CHECK(w.count == 0);
    // One byte past the end, after rounding.
    w.count = 64;
    CHECK(w.get(0, base + 63 * page_size + 4095, 2) == status_invalid_parameter);
    CHECK(w.get(0, base, 64 * page_size + 1) == status_invalid_parameter);
    CHECK(w.get(0, base - 1, 1) == status_invalid_parameter);
}

TEST_CASE("checks come in Windows' order", "[win32]")
{
    Watched w;
    w.write({1});
    ULONG_PTR zero = 0;
    void* const start = pointer(base);
    constexpr SIZE_T size = 64 * page_size;
    void** const out = w.addresses.data();

    // Each call has every later mistake as well.
    CHECK(get_write_watch(w.set, 99, nullptr, 0, nullptr, nullptr, &w.granularity) ==
          status_access_violation);
    CHECK(get_write_watch(w.set, 99, nullptr, 0, nullptr, &zero, nullptr) ==
          status_access_violation);
    CHECK(get_write_watch(w.set, 0, start, size, nullptr, &zero, &w.granularity) ==
          status_invalid_parameter);
    CHECK(get_write_watch(w.set, 0, start, 0, nullptr, &w.count, &w.granularity) ==
          status_invalid_parameter);
    CHECK(get_write_watch(w.set, 2, nullptr, size, nullptr, &w.count, &w.granularity) ==
          status_invalid_parameter);
    CHECK(get_write_watch(w.set, 0, nullptr, size, nullptr, &w.count, &w.granularity) ==
          status_access_violation);
    CHECK(get_write_watch(w.set, 0, nullptr, size, out, &w.count, &w.granularity) ==
          status_invalid_parameter);
    CHECK(w.nothing_written_out(64));
    CHECK(zero == 0);
    CHECK(w.FakeWatchSet::get(region) == Numbers{1});
}

TEST_CASE("flags other than 0 and RESET are refused", "[win32]")
{
    Watched w;
    for (const ULONG flags : {2U, 3U, 0x80000000U, ~0U, 0x100U})
        CHECK(w.get(flags, base, page_size) == status_invalid_parameter);
    CHECK(w.nothing_written_out(64));
}

TEST_CASE("ranges that wrap, or leave the user half, are not watched", "[win32]")
{
    Watched w;
    CHECK(w.get(0, base, ~SIZE_T{0}) == status_invalid_parameter);
    CHECK(w.get(0, base, ~SIZE_T{0} - base + 2) == status_invalid_parameter);
    CHECK(w.get(0, ~std::uintptr_t{0}, 1) == status_invalid_parameter);
    CHECK(w.get(0, ~std::uintptr_t{0}, ~SIZE_T{0}) == status_invalid_parameter);
    CHECK(w.get(0, address_space_end, 1) == status_invalid_parameter);
    CHECK(w.get(0, address_space_end - 1, 1) == status_invalid_parameter);
    CHECK(w.get(0, address_space_end - 1, 2) == status_invalid_parameter);
    CHECK(reset_write_watch(w.set, pointer(base), ~SIZE_T{0}) == status_invalid_parameter);
    CHECK(reset_write_watch(w.set, pointer(base), 0) == status_invalid_parameter);
    CHECK(reset_write_watch(w.set, nullptr, 1) == status_invalid_parameter);
    CHECK(w.nothing_written_out(64));

    CHECK_FALSE(pages_of(pointer(base), 0));
    CHECK_FALSE(pages_of(pointer(address_space_end), 1));
    CHECK(pages_of(pointer(address_space_end - 1), 1) ==
          PageRange{address_space_end - page_size, address_space_end});
    CHECK(pages_of(nullptr, address_space_end) == PageRange{0, address_space_end});
    CHECK_FALSE(pages_of(nullptr, address_space_end + 1));
    CHECK(pages_of(pointer(0x1fff), 2) == PageRange{0x1000, 0x3000});
}

TEST_CASE("a count larger than any array stands for all pages", "[win32]")
{
    Watched w;
    w.fake.write(region);
    w.count = ~ULONG_PTR{0};
    CHECK(w.get(WRITE_WATCH_FLAG_RESET, base, 64 * page_size) == status_success);
    CHECK(w.count == 64);
}

TEST_CASE("RESET resets exactly what was returned", "[win32]")
{
    Watched w;
    w.write({1, 2, 3});
    w.count = 1;
    CHECK(w.get(WRITE_WATCH_FLAG_RESET, base, 64 * page_size) == status_success);
    CHECK(w.count == 1);
    CHECK(w.addresses[1] == pointer(0xdead));
    CHECK(w.FakeWatchSet::get(region) == Numbers{2, 3});
    CHECK(reset_write_watch(w.set, pointer(base + 2 * page_size + 5), 1) == status_success);
    CHECK(w.FakeWatchSet::get(region) == Numbers{3});
}

TEST_CASE("arrays, counts and granularities may be misaligned", "[win32]")
{
    Watched w;
    constexpr std::size_t many = 600; // more than one piece
    const PageRange large = pages(base, 1000, 2 * many);
    w.watch(large);
    for (std::size_t i = 0; i < many; ++i)
        w.fake.write(large.start + 2 * i * page_size);

    std::vector<char> array(many * sizeof(void*) + 1, 0x5a);
    alignas(8) char words[24] = {};
    auto* const count = reinterpret_cast<ULONG_PTR*>(words + 1);
    auto* const granularity = reinterpret_cast<ULONG*>(words + 11);
    const auto capacity = ULONG_PTR{GENERATE(600u, 599u, 257u, 1u)};
    const ULONG flags = GENERATE(ULONG{0}, ULONG{WRITE_WATCH_FLAG_RESET});
    std::memcpy(count, &capacity, sizeof(capacity));
    CHECK(get_write_watch(w.set, flags, pointer(large.start), large.bytes(),
                          reinterpret_cast<void**>(array.data() + 1), count,
                          granularity) == status_success);
    ULONG_PTR found = 0;
    std::memcpy(&found, count, sizeof(found));
    CHECK(found == capacity);
    ULONG unit = 0;
    std::memcpy(&unit, granularity, sizeof(unit));
    CHECK(unit == page_size);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < found; ++i) {
        std::uintptr_t address = 0;
        std::memcpy(&address, array.data() + 1 + i * sizeof(void*), sizeof(address));
        wrong += address != large.start + 2 * i * page_size;
    }
    CHECK(wrong == 0);
    CHECK(array[0] == 0x5a);
    CHECK(w.FakeWatchSet::get(large).size() == (flags == 0 ? many : many - capacity));
}

TEST_CASE("a get that fails in the kernel writes nothing and loses nothing", "[win32]")
{
    Watched w;
    w.write({1, 3, 5});
    w.fake.runs_per_step = 1;
    const unsigned step = GENERATE(0u, 1u, 2u);
    w.fake.fail_call(Step::scan, step, ENOMEM);
    CHECK(w.get(WRITE_WATCH_FLAG_RESET, base, 64 * page_size) == status_no_memory);
    CHECK(w.count == 64);
    CHECK(w.granularity == 0xdead);
    CHECK(w.FakeWatchSet::get(region) == Numbers{1, 3, 5});
}

// What the fault becomes is the host's affair: it leaves the call here by siglongjmp.
TEST_CASE("a get into an array that cannot be written faults before anything is reset", "[win32]")
{
    Watched w;
    w.write({1, 3, 5});
    const PageRange memory =
        sys::map_anonymous(2 * page_size, PROT_READ | PROT_WRITE).value_or(PageRange{});
    REQUIRE_FALSE(memory.empty());
    REQUIRE(sys::protect({memory.start + page_size, memory.end}, PROT_READ));
    const std::size_t fitting = GENERATE(0u, 2u); // addresses before the page that is read-only
    auto** const addresses =
        static_cast<void**>(pointer(memory.start + page_size - fitting * sizeof(void*)));

    struct sigaction old = {};
    struct sigaction action = {};
    action.sa_handler = [](int) { siglongjmp(before_fault, 1); };
    sigaction(SIGSEGV, &action, &old);
    volatile bool returned = false;
    if (sigsetjmp(before_fault, 1) == 0) {
        (void)get_write_watch(w.set, WRITE_WATCH_FLAG_RESET, pointer(base), 64 * page_size,
                              addresses, &w.count, &w.granularity);
        returned = true;
    }
    sigaction(SIGSEGV, &old, nullptr);
    CHECK_FALSE(returned);
    CHECK(w.count == 64);
    CHECK(w.granularity == 0xdead);
    CHECK(w.FakeWatchSet::get(region) == Numbers{1, 3, 5});
    REQUIRE(sys::unmap(memory));
}

TEST_CASE("a get into a misaligned array that fails after its first piece loses nothing", "[win32]")
{
    Watched w;
    constexpr std::size_t many = 600;
    const PageRange large = pages(base, 1000, many);
    w.watch(large);
    w.fake.write(large);
    w.fake.runs_per_step = 1;
    const unsigned step = GENERATE(0u, 1u, 2u);
    CAPTURE(step);
    w.fake.fail_call(Step::scan, step, ENOMEM);
    std::vector<char> array(many * sizeof(void*) + 1);
    ULONG_PTR count = many;
    CHECK(get_write_watch(w.set, WRITE_WATCH_FLAG_RESET, pointer(large.start), large.bytes(),
                          reinterpret_cast<void**>(array.data() + 1), &count,
                          &w.granularity) == status_no_memory);
    CHECK(count == many);
    CHECK(w.granularity == 0xdead);
    CHECK(w.FakeWatchSet::get(large).size() == many);
}

TEST_CASE("statuses become Windows' errors", "[win32]")
{
    CHECK(to_win32_error(status_success) == 0);
    CHECK(to_win32_error(status_access_violation) == 998);
    CHECK(to_win32_error(status_invalid_handle) == 6);
    CHECK(to_win32_error(status_info_length_mismatch) == 24);
    CHECK(to_win32_error(status_invalid_parameter) == 87);
    CHECK(to_win32_error(status_invalid_page_protection) == 87);
    CHECK(to_win32_error(status_unable_to_free_vm) == 87);
    CHECK(to_win32_error(status_no_memory) == 8);
    CHECK(to_win32_error(status_conflicting_addresses) == 487);
    CHECK(to_win32_error(status_not_committed) == 487);
    CHECK(to_win32_error(status_free_vm_not_at_base) == 487);
    CHECK(to_win32_error(status_memory_not_allocated) == 487);
    CHECK(to_win32_error(status_not_supported) == 50);
    CHECK(to_win32_error(status_internal_error) == 1359);
    CHECK(to_win32_error(static_cast<NTSTATUS>(0xC0001234)) != 0);
}

TEST_CASE("errno values become statuses", "[win32]")
{
    CHECK(from_errno(ENOENT) == status_invalid_parameter);
    CHECK(from_errno(EINVAL) == status_invalid_parameter);
    CHECK(from_errno(ENOMEM) == status_no_memory);
    CHECK(from_errno(EAGAIN) == status_no_memory);
    CHECK(from_errno(EMFILE) == status_no_memory); // a child that cannot open its own handles
    CHECK(from_errno(ENFILE) == status_no_memory);
    CHECK(from_errno(EEXIST) == status_conflicting_addresses);
    CHECK(from_errno(EPERM) == status_internal_error);
    CHECK(from_errno(ENOTSUP) == status_not_supported);
    CHECK(from_errno(EIO) == status_internal_error);
}

TEST_CASE("allocation types: what Windows accepts", "[win32]")
{
    for (const ULONG type : std::initializer_list<ULONG>{
             MEM_COMMIT, MEM_RESERVE, MEM_COMMIT | MEM_RESERVE, MEM_RESET, MEM_RESET_UNDO,
             MEM_RESERVE | MEM_TOP_DOWN, MEM_COMMIT | MEM_TOP_DOWN, MEM_RESERVE | MEM_WRITE_WATCH,
             MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
             MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH | MEM_TOP_DOWN}) {
        CAPTURE(type);
        CHECK(check_allocation_type(type) == status_success);
    }
    for (const ULONG type : std::initializer_list<ULONG>{
             0, MEM_TOP_DOWN, MEM_WRITE_WATCH, MEM_WRITE_WATCH | MEM_COMMIT,
             MEM_WRITE_WATCH | MEM_RESET, MEM_RESET | MEM_COMMIT, MEM_RESET | MEM_RESERVE,
             MEM_RESET | MEM_RESET_UNDO, MEM_RESET_UNDO | MEM_COMMIT, MEM_FREE, MEM_RELEASE,
             MEM_RESERVE | 1, 0x80000000U | MEM_RESERVE,
             MEM_RESERVE | MEM_WRITE_WATCH | MEM_LARGE_PAGES,
             MEM_RESERVE | MEM_WRITE_WATCH | MEM_PHYSICAL,
             MEM_RESERVE | MEM_WRITE_WATCH | MEM_RESERVE_PLACEHOLDER}) {
        CAPTURE(type);
        CHECK(check_allocation_type(type) == status_invalid_parameter);
    }
    // A placeholder may be replaced by a watched region (facts/semantics.md).
    CHECK(check_write_watch_type(MEM_RESERVE | MEM_WRITE_WATCH | MEM_REPLACE_PLACEHOLDER) ==
          status_success);
    CHECK(check_write_watch_type(MEM_COMMIT) == status_success);
}

TEST_CASE("page protections become mmap's, or are refused", "[win32]")
{
    CHECK(to_protection(PAGE_NOACCESS) == PROT_NONE);
    CHECK(to_protection(PAGE_READONLY) == PROT_READ);
    CHECK(to_protection(PAGE_READWRITE) == (PROT_READ | PROT_WRITE));
    CHECK(to_protection(PAGE_EXECUTE) == (PROT_READ | PROT_EXEC));
    CHECK(to_protection(PAGE_EXECUTE_READ) == (PROT_READ | PROT_EXEC));
    CHECK(to_protection(PAGE_EXECUTE_READWRITE) == (PROT_READ | PROT_WRITE | PROT_EXEC));
    CHECK(to_protection(PAGE_READWRITE | PAGE_NOCACHE) == (PROT_READ | PROT_WRITE));
    CHECK(to_protection(PAGE_READWRITE | PAGE_WRITECOMBINE) == (PROT_READ | PROT_WRITE));
    for (const ULONG refused : {0U, 3U, 6U, 0xcU, static_cast<ULONG>(PAGE_WRITECOPY),
                                static_cast<ULONG>(PAGE_EXECUTE_WRITECOPY), 0x800U, ~0U,
                                static_cast<ULONG>(PAGE_READWRITE | PAGE_GUARD),
                                static_cast<ULONG>(PAGE_NOACCESS | PAGE_NOCACHE)}) {
        CAPTURE(refused);
        CHECK_FALSE(to_protection(refused));
    }
}
