// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Exchanges function addresses in a loaded library's tables, all of them or none. Read-only pages
// (RELRO) are writable only meanwhile; that they are read-only again is read back from the kernel.
#pragma once

#include "shim/sys/result.h"
#include "wine-integration/host/elf_image.h"

#include <array>
#include <cstddef>
#include <span>

namespace writewatch::wine {

// The only word of `table` with this value: nullptr when there is none, or more than one (`matches`
// tells which).
Slot* find_unique(std::span<Slot> table, std::uintptr_t value, std::size_t& matches) noexcept;

class SlotSwap {
  public:
    // False when there is no room for another slot.
    bool add(Slot* slot, std::uintptr_t value) noexcept;

    std::size_t size() const noexcept { return count_; }

    // On an error every slot has its old value.
    Result<void> apply() noexcept;

  private:
    struct Entry {
        Slot* slot;
        std::uintptr_t value;
        int protection; // of its page, before
    };

    const Entry& first_on_page(const Entry& entry) const noexcept;
    Result<void> make_writable() noexcept;
    Result<void> restore_protection() noexcept;
    void exchange() noexcept;

    std::array<Entry, 16> entries_;
    std::size_t count_ = 0;
};

} // namespace writewatch::wine
