// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Uses the C API once and prints what it answered: "open ANSWER [BACKEND]", "watch ANSWER",
// "collect ANSWER". An answer is "ok", or the name of an errno.
#include <writewatch/writewatch.h>

#include <cstdio>
#include <cstring>
#include <sys/mman.h>

namespace {

const char* answer(long result)
{
    return result >= 0 ? "ok" : strerrorname_np(static_cast<int>(-result));
}

} // namespace

int main()
{
    constexpr std::size_t page = 4096;
    ww_tracker* tracker = nullptr;
    const int opened = ww_open(nullptr, &tracker);
    if (opened != 0) {
        std::printf("open %s\n", answer(opened));
        return 0;
    }
    std::printf("open ok %s\n", ww_backend(tracker));
    void* const memory =
        mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    const int watched = ww_watch(tracker, memory, 4 * page, 0);
    std::printf("watch %s\n", answer(watched));
    if (watched != 0)
        return 0;
    static_cast<volatile char*>(memory)[2 * page] = 1;
    void* found[4];
    const long count = ww_collect(tracker, memory, 4 * page, WW_RESET, found, 4);
    std::printf("collect %s\n", answer(count));
    // Whatever happens: a write that was made is reported.
    if (count >= 0 && (count != 1 || found[0] != static_cast<char*>(memory) + 2 * page))
        return 1;
    ww_close(tracker);
    return 0;
}
