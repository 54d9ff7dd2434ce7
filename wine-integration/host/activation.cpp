// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wine-integration/host/activation.h"

#include "shim/backend/select.h"
#include "shim/sys/env.h"
#include "shim/sys/log.h"
#include "wine-integration/host/calling_convention.h"
#include "wine-integration/host/elf_image.h"
#include "wine-integration/host/hooks.h"
#include "wine-integration/host/slot_swap.h"
#include "wine-integration/host/state.h"

#include <array>
#include <cerrno>
#include <dlfcn.h>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>

namespace writewatch::wine {

namespace {

// Why Wine stays as it is. The level says who should care: the user who turned it off does not.
struct Inert {
    log::Level level;
    std::string reason;
};

template<typename T> using OrInert = tl::expected<T, Inert>;

tl::unexpected<Inert> inert(log::Level level, std::string reason)
{
    return tl::unexpected<Inert>(Inert{level, std::move(reason)});
}

tl::unexpected<Inert> inert(const Error& error)
{
    return inert(log::Level::warn, describe(error));
}

OrInert<ExportAddresses> find_exports(void* ntdll)
{
    // Other software has an ntdll.so of its own; this symbol is what Wine's loader calls next.
    if (dlsym(ntdll, "__wine_main") == nullptr)
        return inert(log::Level::info, "it is not Wine's: no __wine_main");
    ExportAddresses addresses{};
    for (std::size_t i = 0; i < export_count; ++i) {
        addresses[i] = reinterpret_cast<std::uintptr_t>(dlsym(ntdll, export_names[i]));
        if (addresses[i] == 0)
            return inert(log::Level::warn, std::string("it does not export ") + export_names[i]);
    }
    return addresses;
}

// The system-call table: by the functions in it, since an index differs in every release.
OrInert<void> add_table_slots(SlotSwap& swap, const ElfImage& image,
                              const ExportAddresses& addresses, CallingConvention convention)
{
    for (std::size_t i = 0; i < hooked_export_count; ++i) {
        std::size_t matches = 0;
        Slot* slot = find_unique(image.relro(), addresses[i], matches);
        if (slot == nullptr)
            return inert(log::Level::warn,
                         fmt::format("{} is in {} constant table slots, not in one",
                                     export_names[i], matches));
        if (!swap.add(slot, hook_for(static_cast<Export>(i), convention)))
            return inert(log::Level::warn, "too many slots");
    }
    return {};
}

// The slots through which ntdll.so calls an imported function (`symbols`: its names), and what is
// in them.
OrInert<std::uintptr_t> add_import_slots(SlotSwap& swap, const ElfImage& image,
                                         std::initializer_list<const char*> symbols,
                                         std::uintptr_t hook)
{
    std::uintptr_t original = 0;
    for (const char* symbol : symbols) {
        std::array<Slot*, 4> slots{};
        const std::size_t found = image.find_imports(symbol, slots);
        if (found > slots.size())
            return inert(log::Level::warn, fmt::format("{} imports of {}", found, symbol));
        for (Slot* slot : std::span{slots}.first(found)) {
            // Bound lazily: the slot leads to a resolver, which would overwrite our hook.
            if (image.contains(*slot))
                return inert(log::Level::warn,
                             fmt::format("its import of {} is not bound", symbol));
            if (original != 0 && original != *slot)
                return inert(log::Level::warn, fmt::format("its imports of {} differ", symbol));
            original = *slot;
            if (!swap.add(slot, hook))
                return inert(log::Level::warn, "too many slots");
        }
    }
    if (original == 0)
        return inert(log::Level::warn, fmt::format("it does not import {}", *symbols.begin()));
    return original;
}

// Without the kernel Wine's own tracking is better than our fallback, which could not see writes by
// system calls.
OrInert<std::unique_ptr<backend::Backend>> open_backend()
{
    const std::string name(sys::environment("WRITEWATCH_BACKEND").value_or("auto"));
    if (name == "mprotect")
        return inert(log::Level::error,
                     "WRITEWATCH_BACKEND=mprotect: not available under Wine, whose "
                     "own tracking works that way; allowed: auto, pagemap-scan");
    backend::Selection selection =
        backend::select(name == "auto" ? "pagemap-scan" : name,
                        backend::PagemapScanOptions{.drops_are_told = true});
    if (!selection.backend) {
        if (name == "auto")
            return inert(log::Level::warn, selection.reason);
        return inert(log::Level::error, "WRITEWATCH_BACKEND=" + name + ": " + selection.reason);
    }
    return std::move(selection.backend);
}

OrInert<std::string> take_over(void* ntdll)
{
    if (sys::environment("WRITEWATCH_DISABLE") == "1")
        return inert(log::Level::info, "WRITEWATCH_DISABLE=1");
    const auto image = ElfImage::of(ntdll);
    if (!image)
        return inert(image.error());
    const auto addresses = find_exports(ntdll);
    if (!addresses)
        return tl::unexpected(addresses.error());
    const CallingConvention convention = probe_calling_convention((*addresses)[0]);
    if (convention == CallingConvention::unknown)
        return inert(log::Level::warn, "its functions use an unknown calling convention");

    SlotSwap swap;
    if (auto ok = add_table_slots(swap, *image, *addresses, convention); !ok)
        return tl::unexpected(ok.error());
    const auto original_mmap = add_import_slots(swap, *image, {"mmap", "mmap64"},
                                                reinterpret_cast<std::uintptr_t>(&hook_mmap));
    if (!original_mmap)
        return tl::unexpected(original_mmap.error());
    const auto original_munmap =
        add_import_slots(swap, *image, {"munmap"}, reinterpret_cast<std::uintptr_t>(&hook_munmap));
    if (!original_munmap)
        return tl::unexpected(original_munmap.error());

    auto backend = open_backend();
    if (!backend)
        return tl::unexpected(backend.error());

    // Both live as long as the process: threads run after main has returned.
    alignas(Host) static std::byte storage[sizeof(Host)];
    auto* candidate = new (storage) Host(**backend);
    if (auto ok = candidate->watches.open(); !ok)
        return inert(ok.error());
    candidate->wine = make_wine_functions(*addresses, convention);
    candidate->wine.mmap = reinterpret_cast<Mmap*>(*original_mmap);
    candidate->wine.munmap = reinterpret_cast<Munmap*>(*original_munmap);

    candidate->publisher.set_backend((*backend)->name(), "");

    host = candidate;
    if (auto ok = swap.apply(); !ok) {
        host = nullptr;
        candidate->watches.close();
        return inert(ok.error());
    }
    const std::string_view backend_name = backend->release()->name();
    return fmt::format("{}, {} hooks, {}, Wine ntdll.so {}", backend_name, swap.size(),
                       name(convention), image->path());
}

} // namespace

} // namespace writewatch::wine

void writewatch_wine_activate(void* ntdll) noexcept
{
    using namespace writewatch;
    static bool decided = false;
    if (std::exchange(decided, true))
        return;
    try {
        const wine::OrInert<std::string> result = wine::take_over(ntdll);
        if (result)
            log::info("wine", "active: {}", *result);
        else
            log::message(result.error().level, "wine", "inert: {}", result.error().reason);
    } catch (...) { // out of memory; nothing was changed before the last step
    }
}
