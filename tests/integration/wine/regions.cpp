// SPDX-License-Identifier: LGPL-2.1-or-later
//
// regions [COUNT]: very many watched allocations, each tracked by itself; and allocations until the
// kernel has no more mappings, where the answer must be Windows' out of memory and nothing else.
#include "check.h"

namespace {

bool is_exact(volatile char* p, long index)
{
    return written(p, 2, WRITE_WATCH_FLAG_RESET) == Pages{index % 2} && written(p, 2) == Pages{};
}

void test_many(std::size_t count)
{
    std::vector<volatile char*> regions;
    for (std::size_t i = 0; i < count; ++i) {
        volatile char* p = allocate_watched(2);
        if (p == nullptr) {
            std::printf("only %zu regions: error %lu\n", i,
                        static_cast<unsigned long>(GetLastError()));
            ++failures;
            break;
        }
        regions.push_back(p);
    }
    for (std::size_t i = 0; i < regions.size(); ++i)
        regions[i][(i % 2) * page] = 1;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < regions.size(); ++i)
        wrong += is_exact(regions[i], static_cast<long>(i)) ? 0 : 1;
    CHECK(wrong == 0);
    // Every third goes, the others stay.
    for (std::size_t i = 0; i < regions.size(); i += 3)
        CHECK(VirtualFree(unqualified(regions[i]), 0, MEM_RELEASE));
    for (std::size_t i = 0; i < regions.size(); ++i) {
        if (i % 3 == 0) {
            wrong += written(regions[i], 2) == Pages{-1} ? 0 : 1;
            continue;
        }
        regions[i][(i % 2) * page] = 1;
        wrong += is_exact(regions[i], static_cast<long>(i)) ? 0 : 1;
        CHECK(VirtualFree(unqualified(regions[i]), 0, MEM_RELEASE));
    }
    CHECK(wrong == 0);
}

// vm.max_map_count is 65,530 by default. (Memory that is released at this point stays mapped: the
// kernel refuses Wine's mapping over it, and Wine does not look. So nothing is allocated after it.)
void test_until_there_are_no_more()
{
    std::vector<volatile char*> regions;
    regions.reserve(200000);
    DWORD error = 0;
    while (error == 0 && regions.size() < 200000) {
        volatile char* p = allocate_watched(3, MEM_RESERVE);
        if (p == nullptr)
            error = GetLastError();
        else
            regions.push_back(p);
        // Few can be committed at the limit; these are.
        if (regions.size() == 1)
            CHECK(VirtualAlloc(unqualified(p + page), page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    }
    std::printf("%zu regions, then error %lu\n", regions.size(), static_cast<unsigned long>(error));
    CHECK(error == ERROR_NOT_ENOUGH_MEMORY);
    volatile char* first = regions.front();
    first[page] = 1;
    CHECK(written(first, 3, WRITE_WATCH_FLAG_RESET) == Pages{1});
    first[page] = 2;
    CHECK(written(first, 3) == Pages{1});
    CHECK(written(regions.back(), 3) == Pages{});
}

} // namespace

int main(int argc, char** argv)
{
    if (argc > 1)
        test_many(std::strtoul(argv[1], nullptr, 10));
    else
        test_until_there_are_no_more();
    return finish("regions");
}
