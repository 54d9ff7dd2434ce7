// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/stress/calls.h"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace calls {

namespace {

constexpr DWORD watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;
constexpr std::size_t own_pages = 4;

char* map_pages()
{
    void* const memory =
        mmap(nullptr, own_pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

char* heap_of(const World& world, Interface interface)
{
    return world.heap[static_cast<int>(interface)];
}

template<typename Address> Kept to_bits(const char* heap, std::span<const Address> addresses)
{
    Kept bits = 0;
    for (const Address address : addresses) {
        const auto number =
            static_cast<std::size_t>(reinterpret_cast<const char*>(address) - heap) / page;
        if (number < kept)
            bits |= Kept{1} << number;
    }
    return bits;
}

// The results of a call; those of a misaligned array begin one byte later.
template<std::size_t Offset> Kept taken_addresses(const World& world, Interface interface)
{
    void* addresses[pages] = {};
    const auto count = world.answered ? static_cast<std::size_t>(world.count) : 0;
    std::memcpy(addresses, world.found + Offset, count * sizeof(void*));
    return to_bits(heap_of(world, interface), std::span<void* const>(addresses, count));
}

Kept taken_ranges(const World& world)
{
    ww_range ranges[pages];
    const auto count = world.answered ? static_cast<std::size_t>(world.count) : 0;
    std::memcpy(ranges, world.found, count * sizeof(ww_range));
    Kept bits = 0;
    for (std::size_t i = 0; i < count; ++i)
        for (std::uintptr_t at = ranges[i].start; at < ranges[i].end; at += page)
            bits |= to_bits(heap_of(world, Interface::c), std::span<const std::uintptr_t>(&at, 1));
    return bits;
}

// Calls of Win32

void write_some(World& world)
{
    for (const Interface interface : {Interface::win32, Interface::c})
        for (std::size_t number = 1; number < first_dropped; number += 5)
            write(world, interface, number);
}

bool nothing_to_undo(World&)
{
    return true;
}

template<DWORD Flags, std::size_t Capacity, std::size_t Offset = 0> bool make_get(World& world)
{
    ULONG_PTR count = Capacity;
    ULONG granularity = 0;
    world.answered =
        GetWriteWatch(Flags, heap_of(world, Interface::win32), first_dropped * page,
                      reinterpret_cast<void**>(world.found + Offset), &count, &granularity) == 0;
    world.count = static_cast<long>(count);
    return world.answered;
}

bool make_reset(World& world)
{
    return ResetWriteWatch(heap_of(world, Interface::win32) + first_reset * page, reset * page) ==
           0;
}

void open_process(World& world)
{
    write_some(world);
    if (world.process == nullptr)
        world.process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, static_cast<DWORD>(getpid()));
}

bool make_nt_get(World& world)
{
    ULONG_PTR count = pages;
    ULONG granularity = 0;
    world.answered =
        NtGetWriteWatch(world.process, WRITE_WATCH_FLAG_RESET, heap_of(world, Interface::win32),
                        first_dropped * page, reinterpret_cast<void**>(world.found), &count,
                        &granularity) == 0;
    world.count = static_cast<long>(count);
    return world.answered;
}

bool make_nt_reset(World& world)
{
    return NtResetWriteWatch(world.process, heap_of(world, Interface::win32) + first_reset * page,
                             reset * page) == 0;
}

void forget_process(World& world)
{
    world.process = nullptr;
}

bool make_open_process(World& world)
{
    world.process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, static_cast<DWORD>(getpid()));
    return world.process != nullptr;
}

bool make_close_handle(World& world)
{
    return CloseHandle(world.process) == TRUE;
}

bool close_process(World& world)
{
    const bool ok = world.process == nullptr || CloseHandle(world.process) == TRUE;
    world.process = nullptr;
    return ok;
}

void forget_memory(World& world)
{
    world.memory = nullptr;
    world.opened = nullptr;
}

bool make_allocate(World& world)
{
    world.memory =
        static_cast<char*>(VirtualAlloc(nullptr, own_pages * page, watched, PAGE_READWRITE));
    return world.memory != nullptr;
}

bool free_memory(World& world)
{
    return VirtualFree(world.memory, 0, MEM_RELEASE) == TRUE;
}

void allocate(World& world)
{
    (void)make_allocate(world);
    world.memory[page] = 1;
}

bool make_decommit(World& world)
{
    return VirtualFree(world.memory + page, 2 * page, MEM_DECOMMIT) == TRUE;
}

void allocate_and_decommit(World& world)
{
    allocate(world);
    (void)make_decommit(world);
}

bool make_commit(World& world)
{
    return VirtualAlloc(world.memory + page, 2 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr;
}

bool make_discard(World& world)
{
    return VirtualAlloc(world.memory, 2 * page, MEM_RESET, PAGE_READWRITE) != nullptr;
}

bool make_protect(World& world)
{
    DWORD old = 0;
    return VirtualProtect(heap_of(world, Interface::win32), pages * page, PAGE_READWRITE, &old) ==
           TRUE;
}

bool make_query(World& world)
{
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(heap_of(world, Interface::win32) + page, &info, sizeof(info)) ==
               sizeof(info) &&
           info.State == MEM_COMMIT;
}

// With the mprotect backend: its handler of SIGSEGV.
template<Interface interface> void make_clean(World& world)
{
    (void)get(world, interface, true);
}

template<Interface interface> bool make_write(World& world)
{
    write(world, interface, stored_page);
    return true;
}

// Calls of the C API

template<unsigned Flags, std::size_t Capacity> bool make_collect(World& world)
{
    world.count = ww_collect(world.tracker, heap_of(world, Interface::c), first_dropped * page,
                             Flags, reinterpret_cast<void**>(world.found), Capacity);
    world.answered = world.count >= 0;
    return world.answered;
}

bool make_collect_ranges(World& world)
{
    world.count =
        ww_collect_ranges(world.tracker, heap_of(world, Interface::c), first_dropped * page,
                          WW_RESET, reinterpret_cast<ww_range*>(world.found), pages);
    world.answered = world.count >= 0;
    return world.answered;
}

bool make_ww_reset(World& world)
{
    return ww_reset(world.tracker, heap_of(world, Interface::c) + first_reset * page,
                    reset * page) == 0;
}

bool make_ww_latch(World& world)
{
    return ww_latch(world.tracker, heap_of(world, Interface::c), pages * page) == 0;
}

void map(World& world)
{
    world.memory = map_pages();
}

template<unsigned Flags> bool make_watch(World& world)
{
    return ww_watch(world.tracker, world.memory, own_pages * page, Flags) == 0;
}

bool unwatch_and_unmap(World& world)
{
    const bool ok = ww_unwatch(world.tracker, world.memory, own_pages * page) == 0;
    return munmap(world.memory, own_pages * page) == 0 && ok;
}

void map_and_watch(World& world)
{
    map(world);
    (void)make_watch<WW_FRESH>(world);
    world.memory[page] = 1;
}

bool make_unwatch(World& world)
{
    return ww_unwatch(world.tracker, world.memory, own_pages * page) == 0;
}

void replace(World& world)
{
    map_and_watch(world);
    (void)mmap(world.memory, 2 * page, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

bool make_rearm(World& world)
{
    return ww_rearm(world.tracker, world.memory, 2 * page) == 0;
}

// Replaced memory without a word: the collect makes the lost registration again.
bool make_collect_of_replaced(World& world)
{
    void* found[own_pages];
    return ww_collect(world.tracker, world.memory, own_pages * page, WW_RESET, found, own_pages) >=
           0;
}

bool make_open(World& world)
{
    return ww_open(nullptr, &world.opened) == 0;
}

bool close_opened(World& world)
{
    ww_close(world.opened);
    return true;
}

void open_tracker(World& world)
{
    (void)make_open(world);
}

bool make_close(World& world)
{
    ww_close(world.opened);
    return true;
}

bool make_capabilities(World&)
{
    return ww_capabilities(nullptr, sizeof(ww_capability), 0) > 0;
}

constexpr Call call_table[] = {
    {"GetWriteWatch", write_some, make_get<0, pages>, nothing_to_undo},
    {"GetWriteWatch, reset", write_some, make_get<WRITE_WATCH_FLAG_RESET, pages>, nothing_to_undo,
     1, Interface::win32,
     [](const World& world) { return taken_addresses<0>(world, Interface::win32); }},
    {"GetWriteWatch, reset, two at a time", write_some, make_get<WRITE_WATCH_FLAG_RESET, 2>,
     nothing_to_undo, 1, Interface::win32,
     [](const World& world) { return taken_addresses<0>(world, Interface::win32); }},
    {"GetWriteWatch, reset, misaligned array", write_some,
     make_get<WRITE_WATCH_FLAG_RESET, pages, 1>, nothing_to_undo, 1, Interface::win32,
     [](const World& world) { return taken_addresses<1>(world, Interface::win32); }},
    {"ResetWriteWatch", write_some, make_reset, nothing_to_undo},
    {"NtGetWriteWatch by handle", open_process, make_nt_get, close_process, 4, Interface::win32,
     [](const World& world) { return taken_addresses<0>(world, Interface::win32); }},
    {"NtResetWriteWatch by handle", open_process, make_nt_reset, close_process, 4},
    {"OpenProcess", forget_process, make_open_process, close_process, 8, Interface::win32, nullptr,
     1},
    {"CloseHandle", open_process, make_close_handle,
     [](World& world) {
         forget_process(world);
         return true;
     },
     8},
    {"VirtualAlloc", forget_memory, make_allocate, free_memory},
    {"VirtualAlloc, MEM_COMMIT", allocate_and_decommit, make_commit, free_memory},
    {"VirtualAlloc, MEM_RESET", allocate, make_discard, free_memory, 2},
    {"VirtualFree, MEM_DECOMMIT", allocate, make_decommit, free_memory},
    {"VirtualFree, MEM_RELEASE", allocate, free_memory, nothing_to_undo},
    {"VirtualProtect", write_some, make_protect, nothing_to_undo},
    {"VirtualQuery", forget_memory, make_query, nothing_to_undo},
    {"a store", make_clean<Interface::win32>, make_write<Interface::win32>, nothing_to_undo, 1,
     Interface::win32, nullptr, 0, true},
    {"ww_collect", write_some, make_collect<0, pages>, nothing_to_undo},
    {"ww_collect, reset", write_some, make_collect<WW_RESET, pages>, nothing_to_undo, 1,
     Interface::c, [](const World& world) { return taken_addresses<0>(world, Interface::c); }},
    {"ww_collect, reset, two at a time", write_some, make_collect<WW_RESET, 2>, nothing_to_undo, 1,
     Interface::c, [](const World& world) { return taken_addresses<0>(world, Interface::c); }},
    {"ww_collect_ranges, reset", write_some, make_collect_ranges, nothing_to_undo, 1, Interface::c,
     taken_ranges},
    {"ww_reset", write_some, make_ww_reset, nothing_to_undo},
    {"ww_latch", write_some, make_ww_latch, nothing_to_undo},
    {"ww_watch, WW_FRESH", map, make_watch<WW_FRESH>, unwatch_and_unmap},
    {"ww_watch", map, make_watch<0>, unwatch_and_unmap, 16},
    {"ww_unwatch", map_and_watch, make_unwatch, unwatch_and_unmap},
    {"ww_rearm", replace, make_rearm, unwatch_and_unmap, 16},
    {"ww_collect of replaced memory", replace, make_collect_of_replaced, unwatch_and_unmap, 2},
    {"a store, C API", make_clean<Interface::c>, make_write<Interface::c>, nothing_to_undo, 1,
     Interface::c, nullptr, 0, true},
    {"ww_open", forget_memory, make_open, close_opened, 64, Interface::c, nullptr, 4},
    {"ww_close", open_tracker, make_close, nothing_to_undo, 64},
    {"ww_capabilities", forget_memory, make_capabilities, nothing_to_undo, 64},
};

// What others ask

bool ask_own_region(const World&)
{
    auto* const own =
        static_cast<char*>(VirtualAlloc(nullptr, own_pages * page, watched, PAGE_READWRITE));
    if (own == nullptr)
        return false;
    own[2 * page] = 1;
    void* found[own_pages];
    ULONG_PTR count = own_pages;
    ULONG granularity = 0;
    const bool ok = GetWriteWatch(WRITE_WATCH_FLAG_RESET, own, own_pages * page, found, &count,
                                  &granularity) == 0 &&
                    count == 1 && found[0] == own + 2 * page;
    return VirtualFree(own, 0, MEM_RELEASE) == TRUE && ok;
}

bool ask_own_tracked(const World& world)
{
    char* const own = map_pages();
    if (own == nullptr || ww_watch(world.tracker, own, own_pages * page, WW_FRESH) != 0)
        return false;
    own[2 * page] = 1;
    void* found[own_pages];
    const bool ok =
        ww_collect(world.tracker, own, own_pages * page, WW_RESET, found, own_pages) == 1 &&
        found[0] == own + 2 * page;
    return ww_unwatch(world.tracker, own, own_pages * page) == 0 &&
           munmap(own, own_pages * page) == 0 && ok;
}

bool ask_reset(const World& world)
{
    return ResetWriteWatch(heap_of(world, Interface::win32) + first_reset * page, reset * page) ==
           0;
}

bool ask_ww_reset(const World& world)
{
    return ww_reset(world.tracker, heap_of(world, Interface::c) + first_reset * page,
                    reset * page) == 0;
}

bool ask_protect(const World& world)
{
    DWORD old = 0;
    return VirtualProtect(heap_of(world, Interface::win32), first_dropped * page, PAGE_READWRITE,
                          &old) == TRUE;
}

bool ask_latch(const World& world)
{
    return ww_latch(world.tracker, heap_of(world, Interface::c), first_dropped * page) == 0;
}

bool ask_decommit(const World& world)
{
    char* const part = heap_of(world, Interface::win32) + first_dropped * page;
    part[3 * page] = 1;
    if (VirtualFree(part, dropped * page, MEM_DECOMMIT) != TRUE ||
        VirtualAlloc(part, dropped * page, MEM_COMMIT, PAGE_READWRITE) != part)
        return false;
    part[5 * page] = 1;
    void* found[dropped];
    ULONG_PTR count = dropped;
    ULONG granularity = 0;
    if (GetWriteWatch(0, part, dropped * page, found, &count, &granularity) != 0)
        return false;
    bool reported = false;
    for (ULONG_PTR i = 0; i < count; ++i)
        reported = reported || found[i] == part + 5 * page;
    return reported;
}

bool ask_query(const World& world)
{
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(heap_of(world, Interface::win32), &info, sizeof(info)) == sizeof(info) &&
           info.AllocationBase == heap_of(world, Interface::win32);
}

bool ask_by_handle(const World& world)
{
    HANDLE self = OpenProcess(PROCESS_ALL_ACCESS, FALSE, static_cast<DWORD>(getpid()));
    void* found[reset];
    ULONG_PTR count = reset;
    ULONG granularity = 0;
    const bool ok = NtGetWriteWatch(self, WRITE_WATCH_FLAG_RESET,
                                    heap_of(world, Interface::win32) + first_reset * page,
                                    reset * page, found, &count, &granularity) == 0;
    return CloseHandle(self) == TRUE && ok;
}

bool ask_tracker(const World&)
{
    ww_tracker* own = nullptr;
    if (ww_open(nullptr, &own) != 0)
        return false;
    char* const memory = map_pages();
    bool ok = ww_watch(own, memory, own_pages * page, 0) == 0;
    memory[page] = 1;
    void* found[own_pages];
    ok = ww_collect(own, memory, own_pages * page, WW_RESET, found, own_pages) == 1 && ok;
    ww_close(own);
    return munmap(memory, own_pages * page) == 0 && ok;
}

// A reader of the table of regions begins again when it was changed meanwhile; with a change at
// every instruction it would never come to its end.
constexpr unsigned table_changes = 32;

constexpr Question question_table[] = {
    {"own region", ask_own_region, table_changes},
    {"own tracked memory", ask_own_tracked, table_changes},
    {"ResetWriteWatch", ask_reset},
    {"ww_reset", ask_ww_reset},
    {"VirtualProtect", ask_protect},
    {"ww_latch", ask_latch},
    {"decommit and commit", ask_decommit},
    {"VirtualQuery", ask_query},
    {"by handle", ask_by_handle, 16},
    {"own tracker", ask_tracker, 64, true},
};

} // namespace

std::span<const Call> all()
{
    return call_table;
}

std::span<const Question> questions()
{
    return question_table;
}

bool open(World& world)
{
    world.heap[0] =
        static_cast<char*>(VirtualAlloc(nullptr, pages * page, watched, PAGE_READWRITE));
    void* const mapped =
        mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    world.heap[1] = static_cast<char*>(mapped);
    return world.heap[0] != nullptr && mapped != MAP_FAILED &&
           ww_open(nullptr, &world.tracker) == 0 &&
           ww_watch(world.tracker, mapped, pages * page, WW_FRESH) == 0;
}

Kept get(const World& world, Interface interface, bool with_reset)
{
    void* found[kept];
    char* const heap = heap_of(world, interface);
    if (interface == Interface::c) {
        const long count =
            ww_collect(world.tracker, heap, kept * page, with_reset ? WW_RESET : 0, found, kept);
        return count < 0
                   ? ~Kept{0}
                   : to_bits(heap, std::span<void* const>(found, static_cast<std::size_t>(count)));
    }
    ULONG_PTR count = kept;
    ULONG granularity = 0;
    if (GetWriteWatch(with_reset ? WRITE_WATCH_FLAG_RESET : 0, heap, kept * page, found, &count,
                      &granularity) != 0)
        return ~Kept{0};
    return to_bits(heap, std::span<void* const>(found, count));
}

} // namespace calls
