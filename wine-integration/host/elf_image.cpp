// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wine-integration/host/elf_image.h"

#include <cerrno>
#include <dlfcn.h>

namespace writewatch::wine {

namespace {

struct SegmentSearch {
    const link_map* library;
    PageRange extent;
    std::span<Slot> relro;
};

int find_segments(dl_phdr_info* info, std::size_t, void* data) noexcept
{
    auto& search = *static_cast<SegmentSearch*>(data);
    const std::uintptr_t base = info->dlpi_addr;
    bool is_library = false;
    PageRange extent{};
    std::span<Slot> relro;
    for (const Elf64_Phdr& header : std::span{info->dlpi_phdr, info->dlpi_phnum}) {
        const std::uintptr_t start = base + header.p_vaddr;
        if (header.p_type == PT_LOAD) // in ascending order
            extent = {extent.empty() ? start : extent.start, start + header.p_memsz};
        if (header.p_type == PT_DYNAMIC)
            is_library = start == reinterpret_cast<std::uintptr_t>(search.library->l_ld);
        if (header.p_type == PT_GNU_RELRO)
            relro = {reinterpret_cast<Slot*>(start), header.p_memsz / sizeof(Slot)};
    }
    if (!is_library)
        return 0;
    search.extent = extent;
    search.relro = relro;
    return 1;
}

// glibc relocates the addresses in a library's dynamic section when it loads it, where that section
// is writable; other loaders do not.
template<typename T> T* dynamic_address(std::uintptr_t base, Elf64_Addr value)
{
    return reinterpret_cast<T*>(value < base ? base + value : value);
}

} // namespace

Result<ElfImage> ElfImage::of(void* dl_handle) noexcept
{
    link_map* library = nullptr;
    if (dlinfo(dl_handle, RTLD_DI_LINKMAP, &library) != 0 || library == nullptr)
        return fail(ENOENT, "dlinfo(RTLD_DI_LINKMAP)");

    SegmentSearch search{library, {}, {}};
    if (dl_iterate_phdr(find_segments, &search) == 0)
        return fail(ENOENT, "dl_iterate_phdr");

    ElfImage image;
    image.base_ = library->l_addr;
    image.path_ = library->l_name;
    image.extent_ = search.extent;
    image.relro_ = search.relro;

    const Elf64_Rela* relocations = nullptr;
    const Elf64_Rela* plt_relocations = nullptr;
    std::size_t relocations_size = 0;
    std::size_t plt_relocations_size = 0;
    for (const Elf64_Dyn* entry = library->l_ld; entry->d_tag != DT_NULL; ++entry) {
        switch (entry->d_tag) {
        case DT_RELA:
            relocations = dynamic_address<const Elf64_Rela>(image.base_, entry->d_un.d_ptr);
            break;
        case DT_RELASZ:
            relocations_size = entry->d_un.d_val;
            break;
        case DT_JMPREL:
            plt_relocations = dynamic_address<const Elf64_Rela>(image.base_, entry->d_un.d_ptr);
            break;
        case DT_PLTRELSZ:
            plt_relocations_size = entry->d_un.d_val;
            break;
        case DT_SYMTAB:
            image.symbols_ = dynamic_address<const Elf64_Sym>(image.base_, entry->d_un.d_ptr);
            break;
        case DT_STRTAB:
            image.strings_ = dynamic_address<const char>(image.base_, entry->d_un.d_ptr);
            break;
        default:
            break;
        }
    }
    if (image.symbols_ == nullptr || image.strings_ == nullptr)
        return fail(ENOEXEC, "dynamic section");
    if (relocations != nullptr)
        image.relocations_ = {relocations, relocations_size / sizeof(Elf64_Rela)};
    if (plt_relocations != nullptr)
        image.plt_relocations_ = {plt_relocations, plt_relocations_size / sizeof(Elf64_Rela)};
    return image;
}

std::size_t ElfImage::find_imports(std::string_view symbol, std::span<Slot*> out) const noexcept
{
    std::size_t found = find_imports(symbol, plt_relocations_, out);
    found +=
        find_imports(symbol, relocations_, found < out.size() ? out.subspan(found) : out.last(0));
    return found;
}

std::size_t ElfImage::find_imports(std::string_view symbol, std::span<const Elf64_Rela> relocations,
                                   std::span<Slot*> out) const noexcept
{
    std::size_t found = 0;
    for (const Elf64_Rela& relocation : relocations) {
        const auto type = ELF64_R_TYPE(relocation.r_info);
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64)
            continue;
        const Elf64_Sym& target = symbols_[ELF64_R_SYM(relocation.r_info)];
        if (target.st_shndx != SHN_UNDEF || symbol != strings_ + target.st_name)
            continue;
        if (found < out.size())
            out[found] = reinterpret_cast<Slot*>(base_ + relocation.r_offset);
        ++found;
    }
    return found;
}

} // namespace writewatch::wine
