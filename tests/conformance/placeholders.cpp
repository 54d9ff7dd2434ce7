// SPDX-License-Identifier: LGPL-2.1-or-later
// A placeholder (a reserved address range) can be replaced by watched memory.
#include "ask.h"
#include "memory.h"
#include "nt.h"

using namespace conformance;

#ifdef _WIN32

namespace {

using AllocateEx = NTSTATUS(NTAPI*)(HANDLE process, PVOID* base, SIZE_T* size, ULONG type,
                                    ULONG protect, void* parameters, ULONG parameter_count);

NTSTATUS allocate_ex(void** base, SIZE_T size, ULONG type, ULONG protect)
{
    const auto call = function_or_skip<AllocateEx>("ntdll.dll", "NtAllocateVirtualMemoryEx");
    return call(own_process(), base, &size, type, protect, nullptr, 0);
}

/// A placeholder; released at the end of its scope, with whatever took its place.
class Placeholder {
  public:
    explicit Placeholder(std::size_t pages)
    {
        const NTSTATUS status = allocate_ex(&base_, pages * page_size,
                                            MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS);
        if (Status{status} != status_success)
            skip("no placeholders here: " + show(Status{status}));
    }
    Placeholder(const Placeholder&) = delete;
    Placeholder& operator=(const Placeholder&) = delete;
    ~Placeholder() { VirtualFree(base_, 0, MEM_RELEASE); }
    void* base() const { return base_; }

  private:
    void* base_ = nullptr;
};

void replace(void* base, std::size_t pages, ULONG type)
{
    const NTSTATUS status =
        allocate_ex(&base, pages * page_size, type | MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE);
    require("a placeholder is replaced, got " + show(Status{status}),
            Status{status} == status_success);
}

Pages written(void* base, std::size_t pages, DWORD flags = 0)
{
    const Answer answer =
        ask({.flags = flags, .base = base, .size = pages * page_size, .count = pages});
    require("GetWriteWatch succeeds, got " + show(answer.error), answer.result == 0);
    Pages found;
    for (std::size_t i = 0; i < answer.count; ++i)
        found.push_back(static_cast<std::size_t>(static_cast<std::byte*>(answer.addresses[i]) -
                                                 static_cast<std::byte*>(base)) /
                        page_size);
    return found;
}

} // namespace

RULE(placeholders, replaced_by_watched_memory, "observed: Wine's tests")
{
    const Placeholder place(16);
    replace(place.base(), 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    check_equal("pages reported", written(place.base(), 16), Pages{});
    auto* const base = static_cast<std::byte*>(place.base());
    store(base + 3 * page_size);
    store(base + 15 * page_size);
    check_equal("pages returned", written(base, 16, WRITE_WATCH_FLAG_RESET), Pages{3, 15});
    check_equal("pages reported afterwards", written(base, 16), Pages{});
}

RULE(placeholders, replaced_by_a_watched_reservation, "observed: Wine's tests")
{
    const Placeholder place(16);
    replace(place.base(), 16, MEM_RESERVE | MEM_WRITE_WATCH);
    auto* const base = static_cast<std::byte*>(place.base());
    require("committing succeeds", VirtualAlloc(base + 4 * page_size, 4 * page_size, MEM_COMMIT,
                                                PAGE_READWRITE) != nullptr);
    store(base + 5 * page_size);
    check_equal("pages reported", written(base, 16), Pages{5});
}

RULE(placeholders, replaced_by_unwatched_memory, "Microsoft Learn: VirtualAlloc2")
{
    const Placeholder place(16);
    replace(place.base(), 16, MEM_RESERVE | MEM_COMMIT);
    check_fails({.base = place.base(), .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(placeholders, placeholder_is_not_watched, "Microsoft Learn: VirtualAlloc2")
{
    const Placeholder place(16);
    check_fails({.base = place.base(), .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(placeholders, split_in_two_watched_halves, "Microsoft Learn: VirtualFree")
{
    const Placeholder place(32);
    auto* const base = static_cast<std::byte*>(place.base());
    if (!VirtualFree(base, 16 * page_size, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER))
        skip("a placeholder cannot be split here: " + show(Error{GetLastError()}));
    struct Upper {
        void* base;
        ~Upper() { VirtualFree(base, 0, MEM_RELEASE); }
    } const upper{base + 16 * page_size};

    replace(base, 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    replace(upper.base, 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    store(base + 15 * page_size);
    store(base + 16 * page_size);
    check_equal("pages of the lower half", written(base, 16), Pages{15});
    check_equal("pages of the upper half", written(upper.base, 16), Pages{0});
    check_fails({.base = base, .size = 32 * page_size}, ERROR_INVALID_PARAMETER);
}

RULE(placeholders, watched_memory_becomes_a_placeholder_again, "Microsoft Learn: VirtualFree")
{
    const Placeholder place(16);
    auto* const base = static_cast<std::byte*>(place.base());
    replace(base, 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    store(base + 3 * page_size);
    if (!VirtualFree(base, 16 * page_size, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER))
        skip("memory cannot become a placeholder here: " + show(Error{GetLastError()}));
    check_fails({.base = base, .size = page_size}, ERROR_INVALID_PARAMETER);
    replace(base, 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    check_equal("pages reported in its third life", written(base, 16), Pages{});
    store(base + 9 * page_size);
    check_equal("pages reported after a write", written(base, 16), Pages{9});
}

#else

namespace {
constexpr char no_placeholders[] = "the library has no VirtualAlloc2";
}
NOT_APPLICABLE(placeholders, replaced_by_watched_memory, no_placeholders)
NOT_APPLICABLE(placeholders, replaced_by_a_watched_reservation, no_placeholders)
NOT_APPLICABLE(placeholders, replaced_by_unwatched_memory, no_placeholders)
NOT_APPLICABLE(placeholders, placeholder_is_not_watched, no_placeholders)
NOT_APPLICABLE(placeholders, split_in_two_watched_halves, no_placeholders)
NOT_APPLICABLE(placeholders, watched_memory_becomes_a_placeholder_again, no_placeholders)

#endif
