// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wine-integration/host/elf_image.h"

#include <algorithm>
#include <cerrno>
#include <dlfcn.h>
#include <optional>

namespace writewatch::wine {

namespace {

// glibc relocates the addresses in a library's dynamic section when it loads it, where that section
// is writable; other loaders do not.
std::uintptr_t dynamic_address(std::uintptr_t base, Elf64_Addr value)
{
    return value < base ? base + value : value;
}

const Elf64_Phdr* find_header(const LoadedLibrary& library, Elf64_Word type)
{
    const auto found = std::find_if(library.headers.begin(), library.headers.end(),
                                    [type](const Elf64_Phdr& each) { return each.p_type == type; });
    return found == library.headers.end() ? nullptr : &*found;
}

// The entries of a dynamic section that we read; 0 where one is missing.
struct Dynamic {
    Elf64_Addr relocations = 0;
    Elf64_Addr plt_relocations = 0;
    Elf64_Addr symbols = 0;
    Elf64_Addr strings = 0;
    std::uint64_t relocations_size = 0;
    std::uint64_t plt_relocations_size = 0;

    explicit Dynamic(std::span<const Elf64_Dyn> section)
    {
        for (const Elf64_Dyn& entry : section) {
            switch (entry.d_tag) {
            case DT_NULL:
                return;
            case DT_RELA:
                relocations = entry.d_un.d_ptr;
                break;
            case DT_RELASZ:
                relocations_size = entry.d_un.d_val;
                break;
            case DT_JMPREL:
                plt_relocations = entry.d_un.d_ptr;
                break;
            case DT_PLTRELSZ:
                plt_relocations_size = entry.d_un.d_val;
                break;
            case DT_SYMTAB:
                symbols = entry.d_un.d_ptr;
                break;
            case DT_STRTAB:
                strings = entry.d_un.d_ptr;
                break;
            default:
                break;
            }
        }
    }
};

struct Search {
    std::uintptr_t dynamic_section;
    std::optional<LoadedLibrary> found;
};

int find_library(dl_phdr_info* info, std::size_t, void* data) noexcept
{
    auto& search = *static_cast<Search*>(data);
    const LoadedLibrary library{
        info->dlpi_addr, info->dlpi_name, {info->dlpi_phdr, info->dlpi_phnum}};
    const Elf64_Phdr* const dynamic = find_header(library, PT_DYNAMIC);
    if (dynamic == nullptr || library.base + dynamic->p_vaddr != search.dynamic_section)
        return 0;
    search.found = library;
    return 1;
}

} // namespace

Result<ElfImage> ElfImage::of(void* dl_handle) noexcept
{
    link_map* library = nullptr;
    if (dlinfo(dl_handle, RTLD_DI_LINKMAP, &library) != 0 || library == nullptr)
        return fail(ENOENT, "dlinfo(RTLD_DI_LINKMAP)");

    Search search{reinterpret_cast<std::uintptr_t>(library->l_ld), {}};
    dl_iterate_phdr(find_library, &search);
    if (!search.found)
        return fail(ENOENT, "dl_iterate_phdr");
    return of(*search.found);
}

Result<ElfImage> ElfImage::of(const LoadedLibrary& library) noexcept
{
    ElfImage image;
    image.library_ = library;
    for (const Elf64_Phdr& header : library.headers) {
        if (header.p_type != PT_LOAD)
            continue;
        const std::uintptr_t start = library.base + header.p_vaddr;
        image.extent_.start = image.extent_.empty() ? start : std::min(image.extent_.start, start);
        image.extent_.end = std::max(image.extent_.end, start + header.p_memsz);
    }

    const Elf64_Phdr* const section = find_header(library, PT_DYNAMIC);
    if (section == nullptr)
        return fail(ENOEXEC, "dynamic section");
    const Dynamic dynamic(
        image.array<const Elf64_Dyn>(library.base + section->p_vaddr, section->p_memsz));
    if (dynamic.symbols == 0 || dynamic.strings == 0)
        return fail(ENOEXEC, "dynamic section");

    // Nothing says how many symbols there are: as many as fit, relocations name them by index.
    image.symbols_ = image.array<const Elf64_Sym>(dynamic_address(library.base, dynamic.symbols),
                                                  ~std::uint64_t{0});
    image.strings_ = dynamic_address(library.base, dynamic.strings);
    image.relocations_ = image.array<const Elf64_Rela>(
        dynamic_address(library.base, dynamic.relocations), dynamic.relocations_size);
    image.plt_relocations_ = image.array<const Elf64_Rela>(
        dynamic_address(library.base, dynamic.plt_relocations), dynamic.plt_relocations_size);
    if (const Elf64_Phdr* const relro = find_header(library, PT_GNU_RELRO))
        image.relro_ = image.array<Slot>(library.base + relro->p_vaddr, relro->p_memsz);
    return image;
}

PageRange ElfImage::readable(std::uintptr_t start, std::uint64_t bytes) const noexcept
{
    for (const Elf64_Phdr& header : library_.headers) {
        if (header.p_type != PT_LOAD || (header.p_flags & PF_R) == 0)
            continue;
        const std::uintptr_t segment = library_.base + header.p_vaddr;
        const std::uintptr_t offset = start - segment; // wraps when start is below: too large then
        if (offset < header.p_memsz)
            return {start, start + std::min<std::uint64_t>(bytes, header.p_memsz - offset)};
    }
    return {start, start};
}

template<typename T>
std::span<T> ElfImage::array(std::uintptr_t start, std::uint64_t bytes) const noexcept
{
    if (start % alignof(T) != 0)
        return {};
    const PageRange memory = readable(start, bytes);
    return {reinterpret_cast<T*>(memory.start), (memory.end - memory.start) / sizeof(T)};
}

bool ElfImage::is_named(const Elf64_Sym& symbol, std::string_view name) const noexcept
{
    const PageRange text = readable(strings_ + symbol.st_name, name.size() + 1);
    const auto* const characters = reinterpret_cast<const char*>(text.start);
    return text.end - text.start == name.size() + 1 && characters[name.size()] == '\0' &&
           name == std::string_view(characters, name.size());
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
        const std::uint64_t index = ELF64_R_SYM(relocation.r_info);
        if (index >= symbols_.size() || symbols_[index].st_shndx != SHN_UNDEF ||
            !is_named(symbols_[index], symbol))
            continue;
        const auto slot = array<Slot>(library_.base + relocation.r_offset, sizeof(Slot));
        if (slot.empty())
            continue; // no word of this library: whatever it is, no call goes through it
        if (found < out.size())
            out[found] = slot.data();
        ++found;
    }
    return found;
}

} // namespace writewatch::wine
