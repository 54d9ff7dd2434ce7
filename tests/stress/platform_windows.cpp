// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/stress/platform.h"

#include <writewatch/win32.h>

#include <cstdio>
#include <cstdlib>

namespace writewatch::test {

namespace {

// Wine reads a pipe straight into the program's memory.
Way by_read_file()
{
    HANDLE out = nullptr;
    HANDLE in = nullptr;
    if (!CreatePipe(&in, &out, nullptr, 4096))
        fail("CreatePipe");
    return {"ReadFile", false, sizeof(std::uint64_t), [in, out](char* at, std::uint64_t value) {
                DWORD count = 0;
                if (!WriteFile(out, &value, sizeof(value), &count, nullptr) ||
                    !ReadFile(in, at, sizeof(value), &count, nullptr) || count != sizeof(value))
                    fail("ReadFile into watched memory");
            }};
}

// Wine's server writes, as another process.
Way by_write_process_memory()
{
    return {"WriteProcessMemory", true, sizeof(std::uint64_t), [](char* at, std::uint64_t value) {
                SIZE_T count = 0;
                if (!WriteProcessMemory(GetCurrentProcess(), at, &value, sizeof(value), &count) ||
                    count != sizeof(value))
                    fail("WriteProcessMemory into watched memory");
            }};
}

} // namespace

std::vector<Way> open_ways(std::vector<std::string>&)
{
    return {by_read_file(), by_write_process_memory()};
}

bool move_contents(char*, std::size_t, std::size_t)
{
    return false;
}

bool reset_in_fork(char*, std::size_t)
{
    return false;
}

void fail(const std::string& what)
{
    std::fprintf(stderr, "FAILED: %s (last error %lu)\n", what.c_str(), GetLastError());
    std::fflush(nullptr);
    _Exit(1);
}

} // namespace writewatch::test
