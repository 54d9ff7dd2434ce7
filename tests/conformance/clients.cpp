// SPDX-License-Identifier: LGPL-2.1-or-later
// How real programs use write watches.
#include "ask.h"
#include "memory.h"

#include <vector>

using namespace conformance;

RULE(clients, hundred_entries_restarting_after_the_last,
     ".NET's collector: a fixed array, until it is not full")
{
    constexpr std::size_t entries = 100;
    Region region(1000);
    const Pages expected = every(3, 333);
    region.write(expected);

    Pages found;
    std::size_t next = 0;
    for (int call = 0; call < 20; ++call) {
        const Pages part =
            region.written(WRITE_WATCH_FLAG_RESET, next, region.pages() - next, entries);
        found.insert(found.end(), part.begin(), part.end());
        if (part.size() < entries)
            break;
        next = part.back() + 1;
    }
    check_equal("pages found", found, expected);
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(clients, reserve_one_page_and_ask_with_reset, "bdwgc: its probe at start")
{
    void* const page = VirtualAlloc(nullptr, page_size, reserved, PAGE_READWRITE);
    require("the reservation succeeds", page != nullptr);
    const Answer answer =
        ask({.flags = WRITE_WATCH_FLAG_RESET, .base = page, .size = page_size, .count = 16});
    VirtualFree(page, 0, MEM_RELEASE);
    check_equal("result", answer.result, UINT{0});
    check_equal("count", answer.count, ULONG_PTR{0});
    check_equal("granularity", answer.granularity, ULONG{page_size});
}

RULE(clients, four_thousand_entries_per_section, "bdwgc: one call per heap section")
{
    Region first(4096);
    Region second(16);
    const Pages expected = every(5, 819);
    first.write(expected);
    second.write(15);
    check_equal("the large section", first.written(WRITE_WATCH_FLAG_RESET, 0, 4096, 4096),
                expected);
    check_equal("the small section", second.written(WRITE_WATCH_FLAG_RESET, 0, 16, 4096),
                Pages{15});
    check_equal("the large section afterwards", first.written(), Pages{});
}

RULE(clients, single_page_calls_over_a_segment,
     "ChakraCore: segments of up to 272 pages, page by page")
{
    constexpr std::size_t pages = 272;
    Region region(pages);
    const Pages expected = every(7, 38, 3);
    region.write(expected);
    Pages found;
    for (std::size_t i = 0; i < pages; ++i)
        for (const std::size_t page : region.written(WRITE_WATCH_FLAG_RESET, i, 1, 1))
            found.push_back(page);
    check_equal("pages found", found, expected);
}

RULE(clients, every_frame_a_whole_answer, "save states: the array has an entry for every page")
{
    Region region(2048);
    for (std::size_t frame = 0; frame < 16; ++frame) {
        const Pages expected = every(16, 128, frame);
        region.write(expected);
        check_equal("pages of frame " + std::to_string(frame), region.take(), expected);
    }
}

RULE(clients, reset_then_count_a_few_writes, "D3D12 layers: regions of 64 KiB")
{
    Region region(16);
    region.write_all();
    for (int round = 0; round < 10; ++round) {
        region.reset();
        region.write(Pages{0, 9, 15});
        check_equal("pages returned", region.take(), Pages{0, 9, 15});
    }
}

RULE(clients, exact_count_on_sixteen_mebibytes, "anti-debug checks: nobody else may have written")
{
    Region region(4096);
    check_equal("pages written by nobody", region.written().size(), std::size_t{0});
    store(region.page(0));
    check_equal("pages after one write", region.written().size(), std::size_t{1});
    region.write_all();
    check_equal("pages after writing all", region.take().size(), std::size_t{4096});
    check_equal("pages afterwards", region.written().size(), std::size_t{0});
}

RULE(clients, ask_for_the_granularity, "an emulator: flags 0, one entry")
{
    Region region(1);
    const Answer answer = ask({.base = region.base(), .size = 1, .count = 1});
    check_equal("result", answer.result, UINT{0});
    check_equal("granularity", answer.granularity, ULONG{page_size});
}

RULE(clients, commit_and_decommit_pieces_of_a_reservation,
     "collectors: a heap that grows and shrinks")
{
    Region region(1024, reserved);
    for (std::size_t piece = 0; piece < 1024; piece += 128)
        region.commit(piece, 64);
    region.write(Pages{0, 128, 300, 900});
    check_equal("pages returned", region.take(), Pages{0, 128, 300, 900});
    region.decommit(256, 64);
    region.write(Pages{1, 129});
    region.commit(256, 64);
    region.write(256);
    check_equal("pages returned after shrinking and growing", region.take(), Pages{1, 129, 256});
}

RULE(clients, reset_in_quanta_of_128_mebibytes, ".NET's collector: ResetWriteWatch in pieces")
{
    constexpr std::size_t quantum = 128 * 1024 * 1024 / page_size;
    Region region(2 * quantum, reserved);
    region.commit(0, 16);
    region.commit(quantum - 8, 16);
    const Pages expected{3, quantum - 1, quantum};
    region.write(expected);
    check_equal("pages reported", region.written(0, 0, 2 * quantum, 8), expected);
    region.reset(0, quantum);
    check_equal("pages after the first quantum", region.written(0, 0, 2 * quantum, 8),
                Pages{quantum});
    region.reset(quantum, quantum);
    check_equal("pages after the second", region.written(0, 0, 2 * quantum, 8), Pages{});
}

RULE(clients, count_is_larger_than_the_array_can_be, "clients pass the size of nothing they own")
{
    // One entry fits before the end of the array's memory; only one page can be reported.
    Region region(4);
    Region array(16, unwatched);
    array.protect(15, 1, PAGE_NOACCESS);
    auto** const last = reinterpret_cast<void**>(array.page(15)) - 4;
    for (const ULONG_PTR capacity :
         {ULONG_PTR{5}, ULONG_PTR{0x100000}, ~ULONG_PTR{0} / 8, ~ULONG_PTR{0}}) {
        region.write(Pages{1, 3});
        ULONG_PTR count = capacity;
        ULONG granularity = 0;
        const UINT result = GetWriteWatch(WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                                          last, &count, &granularity);
        if (platform() == Platform::windows && result != 0) {
            check_equal("pages reported after Windows refused", region.take(), Pages{1, 3});
            continue;
        }
        check_equal("result with count " + show(capacity), result, UINT{0});
        check_equal("count", count, ULONG_PTR{2});
        check("the entries are pages 1 and 3",
              last[0] == region.page(1) && last[1] == region.page(3));
        check_equal("pages reported afterwards", region.written(), Pages{});
    }
}
