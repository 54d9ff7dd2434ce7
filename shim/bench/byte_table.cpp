// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/byte_table.h"

#include <cerrno>
#include <new>
#include <sys/mman.h>

#include "shim/bench/peer.h"

namespace bench {

namespace {

// User addresses have 47 bits.
constexpr std::size_t table_bytes = (std::size_t{1} << 47) / page_size;

} // namespace

ByteTable::ByteTable() : bytes_(nullptr)
{
    static_assert(sizeof(std::atomic<std::uint8_t>) == 1);
    void* const memory = mmap(nullptr, table_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        throw Unavailable("no address space for a byte per page");
    bytes_ = static_cast<std::atomic<std::uint8_t>*>(memory);
}

ByteTable::~ByteTable()
{
    munmap(bytes_, table_bytes);
}

void ByteTable::set(char* base, std::size_t bytes, PageState state) const
{
    for (std::size_t offset = 0; offset < bytes; offset += page_size)
        of(base + offset).store(state, std::memory_order_relaxed);
}

std::size_t ByteTable::collect(char* base, std::size_t bytes, void** out, std::size_t capacity,
                               char*& end) const
{
    std::size_t count = 0;
    char* page = base;
    for (char* const last = base + bytes; page < last && count < capacity; page += page_size)
        if (of(page).load(std::memory_order_relaxed) == written)
            out[count++] = page;
    end = page;
    return count;
}

} // namespace bench
