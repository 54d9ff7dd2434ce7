// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/memory.h"

#include <cerrno>
#include <sys/mman.h>

namespace writewatch::sys {

namespace {

constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

void* to_pointer(std::uintptr_t address) noexcept
{
    return reinterpret_cast<void*>(address); // NOLINT(performance-no-int-to-ptr)
}

} // namespace

Result<PageRange> map_anonymous(std::size_t bytes, int protection) noexcept
{
    void* const base = ::mmap(nullptr, bytes, protection, anonymous, -1, 0);
    if (base == MAP_FAILED)
        return fail(errno, "mmap");
    const auto start = reinterpret_cast<std::uintptr_t>(base);
    return PageRange{start, start + bytes};
}

Result<PageRange> map_anonymous_at(PageRange range, int protection) noexcept
{
    void* const base = ::mmap(to_pointer(range.start), range.bytes(), protection,
                              anonymous | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED)
        return fail(errno, "mmap", range);
    if (reinterpret_cast<std::uintptr_t>(base) != range.start) {
        // Kernels before 4.17 take the flag for a hint.
        ::munmap(base, range.bytes());
        return fail(EEXIST, "mmap", range);
    }
    return range;
}

Result<void> unmap(PageRange range) noexcept
{
    if (::munmap(to_pointer(range.start), range.bytes()) != 0)
        return fail(errno, "munmap", range);
    return {};
}

Result<void> protect(PageRange range, int protection) noexcept
{
    if (::mprotect(to_pointer(range.start), range.bytes(), protection) != 0)
        return fail(errno, "mprotect", range);
    return {};
}

Result<void> advise(PageRange range, int advice) noexcept
{
    if (::madvise(to_pointer(range.start), range.bytes(), advice) == 0)
        return {};
    // EAGAIN is the kernel's word, in this call only, for a mapping that it could not split for
    // want of memory or of mappings (mm/madvise.c); to try again would not help.
    return fail(errno == EAGAIN ? ENOMEM : errno, "madvise", range);
}

Result<void> empty(PageRange range) noexcept
{
    if (::munlock(to_pointer(range.start), range.bytes()) != 0)
        return fail(errno, "munlock", range);
    return advise(range, MADV_DONTNEED);
}

bool is_mapped(PageRange page) noexcept
{
    unsigned char resident = 0;
    return ::mincore(to_pointer(page.start), page_size, &resident) == 0 || errno != ENOMEM;
}

} // namespace writewatch::sys
