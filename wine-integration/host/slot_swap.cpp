// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wine-integration/host/slot_swap.h"

#include "shim/sys/memory.h"
#include "shim/sys/protection.h"

#include <cerrno>
#include <sys/mman.h>
#include <utility>

namespace writewatch::wine {

namespace {

PageRange page_of(const Slot* slot)
{
    const std::uintptr_t page = page_floor(reinterpret_cast<std::uintptr_t>(slot));
    return {page, page + page_size};
}

} // namespace

Slot* find_unique(std::span<Slot> table, std::uintptr_t value, std::size_t& matches) noexcept
{
    Slot* found = nullptr;
    matches = 0;
    for (Slot& slot : table) {
        if (slot != value)
            continue;
        found = &slot;
        ++matches;
    }
    return matches == 1 ? found : nullptr;
}

bool SlotSwap::add(Slot* slot, std::uintptr_t value) noexcept
{
    if (count_ == entries_.size())
        return false;
    entries_[count_++] = {slot, value, 0};
    return true;
}

Result<void> SlotSwap::apply() noexcept
{
    const auto entries = std::span{entries_}.first(count_);
    // All protections are read before the first changes: slots share pages. Each page once: it
    // takes a tenth of a millisecond in a Wine process with its hundreds of mappings.
    for (Entry& entry : entries) {
        const Entry& first = first_on_page(entry);
        if (&first != &entry) {
            entry.protection = first.protection;
            continue;
        }
        const Result<int> protection = sys::protection_of(page_of(entry.slot));
        if (!protection)
            return tl::unexpected(protection.error());
        // Never writable and executable at once.
        if ((*protection & PROT_EXEC) != 0)
            return fail(EACCES, "a slot lies in executable memory", page_of(entry.slot));
        entry.protection = *protection;
    }
    if (Result<void> writable = make_writable(); !writable) {
        (void)restore_protection();
        return writable;
    }
    exchange();
    if (Result<void> restored = restore_protection(); !restored) {
        // A table left writable is a table that an exploit can use: take our part in it back.
        if (make_writable())
            exchange();
        (void)restore_protection();
        return restored;
    }
    return {};
}

const SlotSwap::Entry& SlotSwap::first_on_page(const Entry& entry) const noexcept
{
    const Entry* first = entries_.data();
    while (page_of(first->slot) != page_of(entry.slot))
        ++first;
    return *first;
}

Result<void> SlotSwap::make_writable() noexcept
{
    for (const Entry& entry : std::span{entries_}.first(count_)) {
        if ((entry.protection & PROT_WRITE) != 0 || &first_on_page(entry) != &entry)
            continue;
        Result<void> done =
            sys::protect(page_of(entry.slot), entry.protection | PROT_READ | PROT_WRITE);
        if (!done)
            return done;
    }
    return {};
}

void SlotSwap::exchange() noexcept
{
    for (Entry& entry : std::span{entries_}.first(count_))
        entry.value = __atomic_exchange_n(entry.slot, entry.value, __ATOMIC_SEQ_CST);
}

Result<void> SlotSwap::restore_protection() noexcept
{
    for (const Entry& entry : std::span{entries_}.first(count_)) {
        if ((entry.protection & PROT_WRITE) != 0 || &first_on_page(entry) != &entry)
            continue;
        const PageRange page = page_of(entry.slot);
        if (Result<void> done = sys::protect(page, entry.protection); !done)
            return done;
        const Result<int> now = sys::protection_of(page);
        if (!now)
            return tl::unexpected(now.error());
        if (*now != entry.protection)
            return fail(EACCES, "RELRO is still writable", page);
    }
    return {};
}

} // namespace writewatch::wine
