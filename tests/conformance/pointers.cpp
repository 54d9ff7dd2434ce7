// SPDX-License-Identifier: LGPL-2.1-or-later
// Pointers that cannot be written through. The status comes back, nothing is reset, and later calls
// work. Each question asks for a reset, so that a page lost by it would show.
#include "ask.h"
#include "memory.h"
#include "nt.h"
#include "platform.h"

#include <atomic>
#include <functional>
#include <thread>

using namespace conformance;

#ifdef _WIN32

namespace {

constexpr char source[] = "observed: Wine's tests; contract 4: a failed call loses no dirty state";

/// Memory that cannot be written, of several kinds.
class BadMemory {
  public:
    BadMemory() : region_(48, unwatched)
    {
        // A sensible value where a count could be read.
        *reinterpret_cast<ULONG_PTR*>(region_.page(2)) = 8;
        region_.protect(0, 16, PAGE_READONLY);
        region_.protect(16, 16, PAGE_NOACCESS);
        region_.decommit(32, 16);
    }
    void* read_only() const { return region_.page(2); }
    void* no_access() const { return region_.page(18); }
    void* not_committed() const { return region_.page(34); }

  private:
    Region region_;
};

const Pages dirty{1, 3, 4};

/// A fault inside a call must not leave a lock behind: another thread can still allocate and ask.
/// If it cannot, the process is beyond repair and ends here; the rules after this one get a new
/// one.
void check_other_threads()
{
    std::atomic<bool> done{false};
    std::thread other([&] {
        const Region region(8);
        region.write(2);
        check_equal("pages returned to another thread", region.take(), Pages{2});
        done = true;
    });
    for (int waits = 0; waits < 1000 && !done; ++waits)
        Sleep(10);
    if (!done) {
        record_failure("a lock was left behind: other threads hang", __FILE__, __LINE__);
        exit_at_once(1);
    }
    other.join();
}

/// \p pointer stands for one argument. All must fail with STATUS_ACCESS_VIOLATION.
void check_pointer(const std::function<NTSTATUS(const Region&, void* pointer)>& call)
{
    const BadMemory bad;
    struct {
        const char* what;
        void* pointer;
    } const kinds[] = {
        {"read-only memory", bad.read_only()},
        {"memory without access", bad.no_access()},
        {"memory that is not committed", bad.not_committed()},
        {"the lowest pages", reinterpret_cast<void*>(std::uintptr_t{0x10})},
        {"the kernel's half", reinterpret_cast<void*>(std::uintptr_t{0xffff800000001000})},
    };
    for (const auto& kind : kinds) {
        Region region(8);
        region.write(dirty);
        check_equal(std::string("status for ") + kind.what, Status{call(region, kind.pointer)},
                    status_access_violation);
        check_equal(std::string("pages returned after ") + kind.what, region.take(), dirty);
        check_equal(std::string("pages reported at last after ") + kind.what, region.written(),
                    Pages{});
    }
    check_other_threads();
}

} // namespace

RULE(pointers, count, source)
{
    check_pointer([](const Region& region, void* pointer) {
        void* addresses[8];
        ULONG granularity = granularity_sentinel;
        const NTSTATUS status =
            NtGetWriteWatch(own_process(), WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                            addresses, static_cast<ULONG_PTR*>(pointer), &granularity);
        check_equal("*granularity", granularity, granularity_sentinel);
        return status;
    });
}

RULE(pointers, granularity, source)
{
    check_pointer([](const Region& region, void* pointer) {
        void* addresses[8];
        ULONG_PTR count = 8;
        const NTSTATUS status =
            NtGetWriteWatch(own_process(), WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                            addresses, &count, static_cast<ULONG*>(pointer));
        check_equal("*count", count, ULONG_PTR{8});
        return status;
    });
}

RULE(pointers, addresses, source)
{
    check_pointer([](const Region& region, void* pointer) {
        ULONG_PTR count = 8;
        ULONG granularity = granularity_sentinel;
        const NTSTATUS status =
            NtGetWriteWatch(own_process(), WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                            static_cast<void**>(pointer), &count, &granularity);
        check_equal("*count", count, ULONG_PTR{8});
        check_equal("*granularity", granularity, granularity_sentinel);
        return status;
    });
}

RULE(pointers, addresses_that_end_in_bad_memory, source)
{
    // The first two entries can be written, the third cannot.
    Region array(2, unwatched);
    array.protect(1, 1, PAGE_NOACCESS);
    auto** const addresses = reinterpret_cast<void**>(array.page(1)) - 2;
    Region region(8);
    region.write(dirty);
    ULONG_PTR count = 8;
    ULONG granularity = granularity_sentinel;
    check_equal("status",
                Status{NtGetWriteWatch(own_process(), WRITE_WATCH_FLAG_RESET, region.base(),
                                       region.size(), addresses, &count, &granularity)},
                status_access_violation);
    check_equal("*count", count, ULONG_PTR{8});
    check_equal("*granularity", granularity, granularity_sentinel);
    check_equal("pages returned afterwards", region.take(), dirty);
    check_other_threads();
}

RULE(pointers, error_is_no_access, "observed: Wine's tests")
{
    const BadMemory bad;
    Region region(8);
    region.write(dirty);
    void* addresses[8];
    ULONG_PTR count = 8;
    ULONG granularity = 0;
    SetLastError(ERROR_SUCCESS);
    check_equal("result for a bad count",
                GetWriteWatch(WRITE_WATCH_FLAG_RESET, region.base(), region.size(), addresses,
                              static_cast<ULONG_PTR*>(bad.no_access()), &granularity),
                get_failed);
    check_equal("last error", Error{GetLastError()}, Error{ERROR_NOACCESS});
    SetLastError(ERROR_SUCCESS);
    check_equal("result for bad addresses",
                GetWriteWatch(WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                              static_cast<void**>(bad.no_access()), &count, &granularity),
                get_failed);
    check_equal("last error", Error{GetLastError()}, Error{ERROR_NOACCESS});
    check_equal("pages returned afterwards", region.take(), dirty);
    check_other_threads();
}

RULE(pointers, misaligned_addresses_lose_nothing, "contract 4: a failed call loses no dirty state")
{
    // Whether Windows accepts them is not known here; what it may not do is lose pages.
    Region region(8);
    region.write(dirty);
    alignas(8) char memory[9 * sizeof(void*)];
    ULONG_PTR count = 8;
    ULONG granularity = 0;
    const NTSTATUS status =
        NtGetWriteWatch(own_process(), WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                        reinterpret_cast<void**>(memory + 3), &count, &granularity);
    note("status " + show(Status{status}));
    if (Status{status} == status_success) {
        check_equal("count", count, ULONG_PTR{dirty.size()});
        check_equal("pages reported afterwards", region.written(), Pages{});
    } else {
        check_equal("pages returned afterwards", region.take(), dirty);
    }
}

RULE(pointers, allocation_calls_with_bad_pointers, "contract 4: a failed call loses no dirty state")
{
    // NtAllocateVirtualMemory and NtFreeVirtualMemory write through base and size,
    // NtProtectVirtualMemory through the old protection. Whatever they answer: nothing hangs and
    // the watch still works.
    const BadMemory bad;
    Region region(8);
    region.write(dirty);
    SIZE_T size = page_size;
    void* base = region.page(6);
    check("a decommit with a bad base fails",
          NtFreeVirtualMemory(own_process(), static_cast<void**>(bad.no_access()), &size,
                              MEM_DECOMMIT) < 0);
    check("a decommit with a bad size fails",
          NtFreeVirtualMemory(own_process(), &base, static_cast<SIZE_T*>(bad.no_access()),
                              MEM_DECOMMIT) < 0);
    check("a commit with a bad base fails",
          NtAllocateVirtualMemory(own_process(), static_cast<void**>(bad.no_access()), 0, &size,
                                  MEM_COMMIT, PAGE_READWRITE) < 0);
    ULONG* const bad_old = static_cast<ULONG*>(bad.no_access());
    check("a protection change with a bad place for the old one fails",
          NtProtectVirtualMemory(own_process(), &base, &size, PAGE_READWRITE, bad_old) < 0);
    check_equal("pages reported", region.written(), dirty);
    region.write(6);
    check_equal("pages returned after a write", region.take(), Pages{1, 3, 4, 6});
    check_other_threads();
}

#else

namespace {
constexpr char no_exceptions[] =
    "natively NULL gets Windows' error and any other bad pointer faults in the caller";
}
NOT_APPLICABLE(pointers, count, no_exceptions)
NOT_APPLICABLE(pointers, granularity, no_exceptions)
NOT_APPLICABLE(pointers, addresses, no_exceptions)
NOT_APPLICABLE(pointers, addresses_that_end_in_bad_memory, no_exceptions)
NOT_APPLICABLE(pointers, error_is_no_access, no_exceptions)
NOT_APPLICABLE(pointers, misaligned_addresses_lose_nothing, no_exceptions)
NOT_APPLICABLE(pointers, allocation_calls_with_bad_pointers, no_exceptions)

#endif
