// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A shared library as the dynamic loader mapped it: its RELRO segment and its imports.
// Allocates nothing.
#pragma once

#include "shim/sys/result.h"

#include <cstddef>
#include <cstdint>
#include <link.h>
#include <span>
#include <string_view>

namespace writewatch::wine {

// A word of a loaded library that holds a function's address.
using Slot = std::uintptr_t;

class ElfImage {
  public:
    static Result<ElfImage> of(void* dl_handle) noexcept;

    const char* path() const noexcept { return path_; }

    bool contains(std::uintptr_t address) const noexcept { return extent_.contains(address); }

    // The words of PT_GNU_RELRO: constant tables with addresses, read-only after relocation.
    std::span<Slot> relro() const noexcept { return relro_; }

    // Stores in `out` the slots through which this library calls an imported function (its GOT
    // entries), and returns how many there are.
    std::size_t find_imports(std::string_view symbol, std::span<Slot*> out) const noexcept;

  private:
    std::size_t find_imports(std::string_view symbol, std::span<const Elf64_Rela> relocations,
                             std::span<Slot*> out) const noexcept;

    std::uintptr_t base_ = 0;
    const char* path_ = "";
    PageRange extent_;
    std::span<Slot> relro_;
    std::span<const Elf64_Rela> relocations_;
    std::span<const Elf64_Rela> plt_relocations_;
    const Elf64_Sym* symbols_ = nullptr;
    const char* strings_ = nullptr;
};

} // namespace writewatch::wine
