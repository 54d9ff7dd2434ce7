// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/memory.h"

#include <cerrno>
#include <sys/mman.h>

#include "shim/bench/peer.h"

namespace bench {

char* map_memory(std::size_t bytes, int protection)
{
    void* const memory =
        mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap", errno);
    if (madvise(memory, bytes, MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
        die("MADV_NOHUGEPAGE", errno);
    return static_cast<char*>(memory);
}

void unmap_memory(char* base, std::size_t bytes)
{
    if (munmap(base, bytes) != 0)
        die("munmap", errno);
}

void allow_access(char* base, std::size_t bytes)
{
    if (mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0)
        die("mprotect", errno);
}

} // namespace bench
