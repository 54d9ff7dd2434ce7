// SPDX-License-Identifier: LGPL-2.1-or-later
// The table finder on damaged images of ntdll.so: whatever the file says about itself, nothing
// outside its segments is read (AddressSanitizer watches their edges), and what is found lies in
// them.
#include "wine-integration/host/elf_image.h"
#include "wine-integration/host/slot_swap.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <fuzzer/FuzzedDataProvider.h>
#include <iterator>
#include <memory>
#include <sanitizer/asan_interface.h>
#include <string>
#include <vector>

using namespace writewatch;
using wine::ElfImage;
using wine::Slot;

namespace {

[[noreturn]] void give_up(const std::string& what)
{
    std::fprintf(stderr, "fuzz-elf-image: %s\n", what.c_str());
    std::abort();
}

void require(bool holds, const char* what)
{
    if (!holds)
        give_up(what);
}

struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
};

// A library's file, laid out as a loader maps it, without relocations applied.
class Library {
  public:
    explicit Library(const std::string& path)
    {
        std::ifstream file(path, std::ios::binary);
        const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
        require(bytes.size() > sizeof(Elf64_Ehdr), "cannot read the image");
        Elf64_Ehdr header;
        std::memcpy(&header, bytes.data(), sizeof header);
        headers_.resize(header.e_phnum);
        std::memcpy(headers_.data(), bytes.data() + header.e_phoff,
                    headers_.size() * sizeof(Elf64_Phdr));
        for (const Elf64_Phdr& each : headers_)
            if (each.p_type == PT_LOAD)
                contents_.resize(
                    std::max<std::size_t>(contents_.size(), each.p_vaddr + each.p_memsz));
        for (const Elf64_Phdr& each : headers_)
            if (each.p_type == PT_LOAD)
                std::memcpy(contents_.data() + each.p_vaddr, bytes.data() + each.p_offset,
                            each.p_filesz);
    }

    const std::vector<Elf64_Phdr>& headers() const { return headers_; }
    const std::vector<std::byte>& contents() const { return contents_; }

    // Where damage tells: the dynamic section, and the tables that it points to.
    std::vector<PageRange> interesting() const
    {
        std::vector<PageRange> parts{{0, contents_.size()}};
        for (const Elf64_Phdr& each : headers_) {
            if (each.p_type != PT_DYNAMIC)
                continue;
            parts.push_back({each.p_vaddr, each.p_vaddr + each.p_memsz});
            for (std::size_t at = each.p_vaddr; at < each.p_vaddr + each.p_memsz;
                 at += sizeof(Elf64_Dyn)) {
                Elf64_Dyn entry;
                std::memcpy(&entry, contents_.data() + at, sizeof entry);
                if (entry.d_tag == DT_RELA || entry.d_tag == DT_JMPREL ||
                    entry.d_tag == DT_SYMTAB || entry.d_tag == DT_STRTAB)
                    parts.push_back(
                        {entry.d_un.d_ptr,
                         std::min<std::size_t>(entry.d_un.d_ptr + 4096, contents_.size())});
            }
        }
        return parts;
    }

  private:
    std::vector<Elf64_Phdr> headers_;
    std::vector<std::byte> contents_;
};

// One mapping of it, with damage, whose gaps may not be touched.
class Mapped {
  public:
    Mapped(const Library& library, FuzzedDataProvider& input)
        : headers_(library.headers()), size_(page_ceil(library.contents().size())),
          memory_(static_cast<std::byte*>(std::aligned_alloc(page_size, size_)))
    {
        std::memcpy(memory_.get(), library.contents().data(), library.contents().size());
        damage(library, input);
        __asan_poison_memory_region(memory_.get(), size_);
        for (const Elf64_Phdr& each : headers_)
            if (each.p_type == PT_LOAD)
                __asan_unpoison_memory_region(memory_.get() + each.p_vaddr, each.p_memsz);
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    ~Mapped() { __asan_unpoison_memory_region(memory_.get(), size_); }

    wine::LoadedLibrary loaded() const
    {
        return {reinterpret_cast<std::uintptr_t>(memory_.get()), "damaged", headers_};
    }

    bool in_a_segment(const void* start, std::size_t bytes) const
    {
        const std::size_t offset = reinterpret_cast<std::uintptr_t>(start) -
                                   reinterpret_cast<std::uintptr_t>(memory_.get());
        return std::any_of(headers_.begin(), headers_.end(), [&](const Elf64_Phdr& each) {
            return each.p_type == PT_LOAD && offset >= each.p_vaddr &&
                   offset - each.p_vaddr < each.p_memsz &&
                   bytes <= each.p_memsz - (offset - each.p_vaddr);
        });
    }

  private:
    void damage(const Library& library, FuzzedDataProvider& input)
    {
        const std::vector<PageRange> parts = library.interesting();
        while (input.remaining_bytes() > 0) {
            if (input.ConsumeIntegralInRange(0, 7) == 0) {
                // What is mapped, the loader has checked; where sections are, it has not.
                Elf64_Phdr& header =
                    headers_[input.ConsumeIntegralInRange<std::size_t>(0, headers_.size() - 1)];
                if (header.p_type == PT_LOAD)
                    continue;
                header.p_vaddr = edge(input, library.contents().size());
                header.p_memsz = edge(input, library.contents().size());
                continue;
            }
            const PageRange part =
                parts[input.ConsumeIntegralInRange<std::size_t>(0, parts.size() - 1)];
            const std::size_t at =
                part.start + input.ConsumeIntegralInRange<std::size_t>(0, part.bytes() - 1);
            const std::uint64_t word = edge(input, library.contents().size());
            const std::size_t aligned = at & ~std::size_t{7};
            std::memcpy(memory_.get() + aligned, &word,
                        std::min(sizeof word, library.contents().size() - aligned));
        }
    }

    // A number near what makes a difference, or any.
    static std::uint64_t edge(FuzzedDataProvider& input, std::size_t size)
    {
        if (input.ConsumeBool())
            return input.ConsumeIntegral<std::uint64_t>();
        return input.ConsumeIntegralInRange<std::uint64_t>(0, size + 16);
    }

    std::vector<Elf64_Phdr> headers_;
    std::size_t size_;
    std::unique_ptr<std::byte, Free> memory_;
};

const std::vector<Library>& libraries()
{
    static const std::vector<Library> all = [] {
        std::vector<Library> found{Library(FAKE_NTDLL)};
        const char* const debian = "/usr/lib/x86_64-linux-gnu/wine/x86_64-unix/ntdll.so";
        if (std::ifstream(debian).good())
            found.emplace_back(debian);
        return found;
    }();
    return all;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    FuzzedDataProvider input(data, size);
    const Library& library =
        libraries()[input.ConsumeIntegralInRange<std::size_t>(0, libraries().size() - 1)];
    const Mapped mapped(library, input);
    const auto image = ElfImage::of(mapped.loaded());
    if (!image)
        return 0;

    require(image->relro().empty() ||
                mapped.in_a_segment(image->relro().data(), image->relro().size_bytes()),
            "RELRO reaches out of its segment");
    for (const char* const symbol : {"mmap", "mmap64", "munmap", "no such function"}) {
        std::array<Slot*, 4> slots{};
        const std::size_t found = image->find_imports(symbol, slots);
        for (std::size_t i = 0; i < std::min(found, slots.size()); ++i)
            require(mapped.in_a_segment(slots[i], sizeof(Slot)), "a slot lies outside");
    }
    if (!image->relro().empty()) {
        std::size_t matches = 0;
        const Slot value = image->relro().back();
        const Slot* const slot = wine::find_unique(image->relro(), value, matches);
        require(matches > 0 && (slot != nullptr) == (matches == 1), "find_unique");
    }
    return 0;
}
