// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program that watches memory and does what its standard input says, a line each, so that a test
// knows what there is to see. It answers each line with one.
//
//     watch PAGES          the address of a new region
//     write FIRST COUNT    writes to pages of the last region; "done"
//     read FIRST COUNT     reads them; "done"
//     get                  pages written, as numbers
//     get-reset            the same, and resets them
//     gets COUNT           so many get-resets; "done"
//     reset                "done"
//     free                 releases the last region; "done"
//     fork                 a child that only waits shares its memory; "done"
//     hide                 forbids others to look into this process (PR_SET_DUMPABLE); "done"
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <sys/prctl.h>
#include <unistd.h>
#include <vector>

#include <writewatch/win32.h>

namespace {

constexpr std::size_t page = 4096;

struct Region {
    volatile char* memory = nullptr;
    std::size_t pages = 0;
};

void get(const Region& region, DWORD flags, bool print)
{
    std::vector<void*> found(region.pages);
    ULONG_PTR count = found.size();
    ULONG granularity = 0;
    if (GetWriteWatch(flags, const_cast<char*>(region.memory), region.pages * page, found.data(),
                      &count, &granularity) != 0) {
        std::puts("failed");
        return;
    }
    if (!print)
        return;
    for (std::size_t i = 0; i < count; ++i)
        std::printf(
            "%zu ",
            static_cast<std::size_t>(static_cast<volatile char*>(found[i]) - region.memory) / page);
    std::puts("");
}

} // namespace

int main()
{
    Region region;
    std::string word;
    while (std::cin >> word) {
        std::size_t first = 0;
        std::size_t count = 0;
        if (word == "watch") {
            std::cin >> region.pages;
            region.memory = static_cast<char*>(
                VirtualAlloc(nullptr, region.pages * page,
                             MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
            if (region.memory == nullptr)
                return 1;
            std::printf("0x%zx\n", reinterpret_cast<std::size_t>(region.memory));
        } else if (region.memory == nullptr) {
            return 1; // "watch" comes first
        } else if (word == "write" || word == "read") {
            std::cin >> first >> count;
            for (std::size_t i = first; i < first + count; ++i) {
                if (word == "write")
                    region.memory[i * page] = static_cast<char>(region.memory[i * page] + 1);
                else
                    (void)region.memory[i * page];
            }
            std::puts("done");
        } else if (word == "get") {
            get(region, 0, true);
        } else if (word == "get-reset") {
            get(region, WRITE_WATCH_FLAG_RESET, true);
        } else if (word == "gets") {
            std::cin >> count;
            for (std::size_t i = 0; i < count; ++i)
                get(region, WRITE_WATCH_FLAG_RESET, false);
            std::puts("done");
        } else if (word == "reset") {
            ResetWriteWatch(const_cast<char*>(region.memory), region.pages * page);
            std::puts("done");
        } else if (word == "free") {
            VirtualFree(const_cast<char*>(region.memory), 0, MEM_RELEASE);
            std::puts("done");
        } else if (word == "fork") {
            if (fork() == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                for (;;)
                    pause();
            }
            std::puts("done");
        } else if (word == "hide") {
            prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
            std::puts("done");
        } else {
            std::printf("unknown: %s\n", word.c_str());
        }
        std::fflush(stdout);
    }
    return 0;
}
