// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A shared library as the dynamic loader mapped it: its RELRO segment and its imports.
// Allocates nothing. What the library's file says about itself is not trusted: nothing outside its
// segments is read, and a slot outside them is never handed out.
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

// What the dynamic loader tells about a library: dl_iterate_phdr(3).
struct LoadedLibrary {
    std::uintptr_t base = 0;
    const char* path = "";
    std::span<const Elf64_Phdr> headers;
};

class ElfImage {
  public:
    // Of a handle from dlopen. Errors: ENOENT (the loader does not know it), ENOEXEC as below.
    static Result<ElfImage> of(void* dl_handle) noexcept;

    // ENOEXEC: no segments, no dynamic section, or one without symbols. The headers must stay.
    static Result<ElfImage> of(const LoadedLibrary& library) noexcept;

    const char* path() const noexcept { return library_.path; }

    bool contains(std::uintptr_t address) const noexcept { return extent_.contains(address); }

    // The words of PT_GNU_RELRO: constant tables with addresses, read-only after relocation.
    std::span<Slot> relro() const noexcept { return relro_; }

    // Stores in `out` the slots through which this library calls an imported function (its GOT
    // entries), and returns how many there are.
    std::size_t find_imports(std::string_view symbol, std::span<Slot*> out) const noexcept;

  private:
    std::size_t find_imports(std::string_view symbol, std::span<const Elf64_Rela> relocations,
                             std::span<Slot*> out) const noexcept;

    // The part of the range from `start` on that lies in one readable segment.
    PageRange readable(std::uintptr_t start, std::uint64_t bytes) const noexcept;
    template<typename T>
    std::span<T> array(std::uintptr_t start, std::uint64_t bytes) const noexcept;
    bool is_named(const Elf64_Sym& symbol, std::string_view name) const noexcept;

    LoadedLibrary library_;
    PageRange extent_;
    std::span<Slot> relro_;
    std::span<const Elf64_Rela> relocations_;
    std::span<const Elf64_Rela> plt_relocations_;
    std::span<const Elf64_Sym> symbols_;
    std::uintptr_t strings_ = 0;
};

} // namespace writewatch::wine
