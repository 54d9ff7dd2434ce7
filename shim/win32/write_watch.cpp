// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/win32/write_watch.h"

#include "shim/sys/signals.h"
#include "shim/win32/program_memory.h"
#include "shim/win32/status.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

namespace writewatch::win32 {

namespace {

static_assert(sizeof(void*) == sizeof(std::uintptr_t));

// For an array that is not aligned: in pieces, through one that is.
Result<std::size_t> get_misaligned(core::WatchSet& watches, const core::Region& region,
                                   PageRange range, bool reset, void** addresses,
                                   std::size_t entries) noexcept
{
    const PageRange whole = range;
    std::array<std::uintptr_t, 256> piece;
    std::size_t count = 0;
    while (!range.empty() && count < entries) {
        const auto found = watches.get(
            region, range, reset,
            std::span<std::uintptr_t>(piece).first(std::min(piece.size(), entries - count)));
        if (!found) {
            // What earlier pieces reset reaches nobody.
            for (std::size_t i = 0; reset && i < count; ++i) {
                std::uintptr_t page = 0;
                std::memcpy(&page, reinterpret_cast<char*>(addresses) + i * sizeof(void*),
                            sizeof(page));
                if (whole.contains(page))
                    watches.give_back({page_floor(page), page_floor(page) + page_size});
            }
            return found;
        }
        if (*found == 0)
            break;
        std::memcpy(reinterpret_cast<char*>(addresses) + count * sizeof(void*), piece.data(),
                    *found * sizeof(void*));
        count += *found;
        range.start = piece[*found - 1] + page_size;
    }
    return count;
}

// Windows' checks of what does not depend on the memory, in its order.
inline NTSTATUS check_get(ULONG flags, SIZE_T size, void** addresses, const ULONG_PTR* count,
                          const ULONG* granularity, ULONG_PTR& capacity) noexcept
{
    if (count == nullptr || granularity == nullptr)
        return status_access_violation;
    capacity = read_from_program(count);
    if (capacity == 0 || size == 0)
        return status_invalid_parameter;
    if ((flags & ~static_cast<ULONG>(WRITE_WATCH_FLAG_RESET)) != 0)
        return status_invalid_parameter;
    return addresses == nullptr ? status_access_violation : status_success;
}

} // namespace

std::optional<PageRange> pages_of(const void* base, SIZE_T size) noexcept
{
    const auto start = reinterpret_cast<std::uintptr_t>(base);
    if (size == 0 || start >= address_space_end || size > address_space_end - start)
        return std::nullopt;
    return PageRange{page_floor(start), page_ceil(start + size)};
}

NTSTATUS get_write_watch(core::WatchSet& watches, ULONG flags, void* base, SIZE_T size,
                         void** addresses, ULONG_PTR* count, ULONG* granularity) noexcept
{
    return get_write_watch(watches, watches.find(reinterpret_cast<std::uintptr_t>(base)), flags,
                           base, size, addresses, count, granularity);
}

NTSTATUS get_write_watch(core::WatchSet& watches, const std::optional<core::Region>& region,
                         ULONG flags, void* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                         ULONG* granularity) noexcept
{
    ULONG_PTR capacity = 0;
    if (const NTSTATUS status = check_get(flags, size, addresses, count, granularity, capacity);
        status != status_success)
        return status;
    const auto range = pages_of(base, size);
    if (!range || !region || !region->range.contains(*range))
        return status_invalid_parameter;

    const std::size_t entries = std::min<std::size_t>(capacity, range->pages());
    probe_for_write(addresses, entries * sizeof(void*));
    probe_for_write(count);
    probe_for_write(granularity);

    const bool reset = (flags & WRITE_WATCH_FLAG_RESET) != 0;
    const bool aligned = reinterpret_cast<std::uintptr_t>(addresses) % sizeof(void*) == 0;
    const std::span pages(reinterpret_cast<std::uintptr_t*>(addresses), entries);
    const auto found = aligned
                           ? watches.get(*region, *range, reset, pages)
                           : get_misaligned(watches, *region, *range, reset, addresses, entries);
    if (!found)
        return from_errno(found.error().code);
    write_to_program(granularity, static_cast<ULONG>(page_size));
    write_to_program(count, static_cast<ULONG_PTR>(*found));
    return status_success;
}

NTSTATUS reset_write_watch(core::WatchSet& watches, void* base, SIZE_T size) noexcept
{
    return reset_write_watch(watches, watches.find(reinterpret_cast<std::uintptr_t>(base)), base,
                             size);
}

NTSTATUS reset_write_watch(core::WatchSet& watches, const std::optional<core::Region>& region,
                           void* base, SIZE_T size) noexcept
{
    const auto range = pages_of(base, size);
    if (!range || !region || !region->range.contains(*range))
        return status_invalid_parameter;
    if (const auto done = watches.reset(*region, *range); !done)
        return from_errno(done.error().code);
    return status_success;
}

NTSTATUS from_remote_errno(int error) noexcept
{
    switch (error) {
    case ESRCH:
        return status_process_is_terminating;
    case EPERM:
    case EACCES:
        return status_access_denied;
    case ENOBUFS: // latched pages that the target could not publish
        return status_no_memory;
    default:
        return from_errno(error);
    }
}

// RemoteProcess has functions with exception tables: it is called uninterrupted.
//
// Through an array of our own: the caller's is written when nothing is held any more.
NTSTATUS get_write_watch(registry::RemoteProcess& process, ULONG flags, void* base, SIZE_T size,
                         void** addresses, ULONG_PTR* count, ULONG* granularity) noexcept
{
    ULONG_PTR capacity = 0;
    if (const NTSTATUS status = check_get(flags, size, addresses, count, granularity, capacity);
        status != status_success)
        return status;
    const auto range = pages_of(base, size);
    if (!range)
        return status_invalid_parameter;
    const std::size_t entries = std::min<std::size_t>(capacity, range->pages());
    probe_for_write(addresses, entries * sizeof(void*));
    probe_for_write(count);
    probe_for_write(granularity);

    std::array<std::uintptr_t, 512> piece;
    std::size_t done = 0;
    for (PageRange rest = *range; !rest.empty() && done < entries;) {
        const std::size_t wanted = std::min(piece.size(), entries - done);
        const auto found = sys::uninterrupted([&] {
            return process.get(rest, (flags & WRITE_WATCH_FLAG_RESET) != 0,
                               std::span<std::uintptr_t>(piece).first(wanted));
        });
        if (!found) {
            // What earlier pieces reset reaches nobody.
            for (std::size_t i = 0; (flags & WRITE_WATCH_FLAG_RESET) != 0 && i < done; ++i) {
                const auto page = reinterpret_cast<std::uintptr_t>(
                    read_from_program(static_cast<void* const*>(addresses + i)));
                sys::uninterrupted([&] {
                    process.give_back(page);
                    return true;
                });
            }
            return from_remote_errno(found.error().code);
        }
        std::memcpy(reinterpret_cast<char*>(addresses) + done * sizeof(void*), piece.data(),
                    *found * sizeof(void*));
        done += *found;
        if (*found < wanted)
            break;
        rest.start = piece[*found - 1] + page_size;
    }
    write_to_program(granularity, static_cast<ULONG>(page_size));
    write_to_program(count, static_cast<ULONG_PTR>(done));
    return status_success;
}

NTSTATUS reset_write_watch(registry::RemoteProcess& process, void* base, SIZE_T size) noexcept
{
    const auto range = pages_of(base, size);
    if (!range)
        return status_invalid_parameter;
    if (const auto done = sys::uninterrupted([&] { return process.reset(*range); }); !done)
        return from_remote_errno(done.error().code);
    return status_success;
}

} // namespace writewatch::win32
