// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The library as a program meets it: the shared object, through the Win32 functions.
#include "shim/bench/peers.h"

#include <cstdio>
#include <cstdlib>

#include <writewatch/win32.h>

namespace bench {

namespace {

[[noreturn]] void fail(const char* function)
{
    std::fprintf(stderr, "bench: %s: error %u\n", function, static_cast<unsigned>(GetLastError()));
    std::exit(1);
}

class Writewatch : public Peer {
  public:
    std::string_view name() const override { return "writewatch"; }

    char* allocate(std::size_t bytes) override
    {
        return virtual_alloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    }
    char* reserve(std::size_t bytes) override
    {
        return virtual_alloc(nullptr, bytes, MEM_RESERVE | MEM_WRITE_WATCH);
    }
    void commit(char* base, std::size_t bytes) override { virtual_alloc(base, bytes, MEM_COMMIT); }
    void release(char* base, std::size_t) override
    {
        if (!VirtualFree(base, 0, MEM_RELEASE))
            fail("VirtualFree");
    }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return get_write_watch(0, base, bytes, out, capacity);
    }
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return get_write_watch(WRITE_WATCH_FLAG_RESET, base, bytes, out, capacity);
    }
    void reset(char* base, std::size_t bytes) override
    {
        if (ResetWriteWatch(base, bytes) != 0)
            fail("ResetWriteWatch");
    }

  private:
    static char* virtual_alloc(char* base, std::size_t bytes, DWORD type)
    {
        void* const memory = VirtualAlloc(base, bytes, type, PAGE_READWRITE);
        if (!memory)
            fail("VirtualAlloc");
        return static_cast<char*>(memory);
    }

    static std::size_t get_write_watch(DWORD flags, char* base, std::size_t bytes, void** out,
                                       std::size_t capacity)
    {
        ULONG_PTR count = capacity;
        ULONG granularity = 0;
        if (GetWriteWatch(flags, base, bytes, out, &count, &granularity) != 0)
            fail("GetWriteWatch");
        return count;
    }
};

} // namespace

std::unique_ptr<Peer> make_writewatch()
{
    return std::make_unique<Writewatch>();
}

} // namespace bench
