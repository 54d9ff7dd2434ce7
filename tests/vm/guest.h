// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What only the tests for guests need: they own the machine, so they may give it swap, run out of
// its memory and change its settings.
#pragma once

#include "tests/kernel/support.h"

#include <random>
#include <sys/swap.h>

// Newer than the C library's headers may be
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

namespace guesttest {

using namespace kerneltest;

// A swap device of compressed memory. Skips the test where there is no zram.
inline void make_zram_swap(std::size_t pages)
{
    std::string size;
    if (!read_file("/sys/block/zram0/disksize", size))
        skip("no zram device");
    if (std::atol(size.c_str()) != 0)
        return; // An earlier test made it.
    if (!write_file("/sys/block/zram0/disksize", std::to_string(pages * page_size)))
        skip("zram: %s", std::strerror(errno));
    // What mkswap writes: version 1, the last page, no bad pages, and a magic at the end.
    std::vector<char> header(page_size);
    const std::uint32_t fields[3] = {1, static_cast<std::uint32_t>(pages - 1), 0};
    std::memcpy(header.data() + 1024, fields, sizeof(fields));
    std::memcpy(header.data() + page_size - 10, "SWAPSPACE2", 10);
    const int fd = open("/dev/zram0", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, header.data(), page_size, 0) != static_cast<ssize_t>(page_size))
        die("/dev/zram0");
    fsync(fd);
    close(fd);
    if (swapon("/dev/zram0", 0) != 0)
        die("swapon");
}

inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise)
{
    const char* const value = std::getenv(variable);
    return value != nullptr ? std::strtoull(value, nullptr, 0) : otherwise;
}

// A seed that is printed, so that a run can be repeated with WRITEWATCH_SEED.
inline std::uint64_t seed()
{
    static const std::uint64_t value = [] {
        const std::uint64_t chosen = number_from("WRITEWATCH_SEED", std::random_device{}());
        note("WRITEWATCH_SEED=%llu", static_cast<unsigned long long>(chosen));
        return chosen;
    }();
    return value;
}

inline int memory_file(std::size_t size, unsigned flags = 0)
{
    const int fd = static_cast<int>(syscall(SYS_memfd_create, "guesttest", flags));
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0)
        die("memfd_create");
    return fd;
}

} // namespace guesttest
