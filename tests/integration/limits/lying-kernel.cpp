// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/limits/lying-kernel.h"

#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using writewatch::abi::PageRegion;
using writewatch::abi::PmScanArg;

constexpr std::uint64_t page = 4096;

int truth(int fd, unsigned long request, void* argument)
{
    return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}

// What the kernel would have to be to answer so: each takes the true answer and spoils it.
using Spoil = int (*)(PmScanArg& argument, PageRegion* regions, int found);

struct Lie {
    std::string_view name;
    Spoil scan = nullptr;
};

constexpr std::array lies{
    Lie{"too-many", [](PmScanArg& argument, PageRegion*,
                       int) { return static_cast<int>(argument.vec_len) + 1; }},
    Lie{"outside",
        [](PmScanArg& argument, PageRegion* regions, int found) {
            if (found > 0)
                regions[found - 1] = {argument.end + page, argument.end + 9 * page, 0};
            return found;
        }},
    Lie{"far-too-long",
        [](PmScanArg&, PageRegion* regions, int found) {
            if (found > 0)
                regions[found - 1].end = std::uint64_t{1} << 46;
            return found;
        }},
    Lie{"backwards",
        [](PmScanArg&, PageRegion* regions, int found) {
            if (found > 0)
                regions[0] = {regions[0].end, regions[0].start, 0};
            return found;
        }},
    Lie{"unordered",
        [](PmScanArg&, PageRegion* regions, int found) {
            if (found > 1)
                std::swap(regions[0], regions[found - 1]);
            else if (found == 1)
                regions[0].end = regions[0].start;
            return found;
        }},
    Lie{"no-pages",
        [](PmScanArg&, PageRegion* regions, int found) {
            if (found > 0)
                regions[0].start += 8;
            return found;
        }},
    Lie{"walk-end-beyond",
        [](PmScanArg& argument, PageRegion*, int found) {
            argument.walk_end = argument.end + (std::uint64_t{1} << 40);
            return found;
        }},
    Lie{"walk-end-before",
        [](PmScanArg& argument, PageRegion*, int found) {
            argument.walk_end = 0;
            return found;
        }},
    Lie{"register-refused"},
    Lie{"register-ignored"},
    Lie{"reset-ignored"},
};

const Lie* find(const char* name)
{
    for (const Lie& one : lies) {
        if (name != nullptr && one.name == name)
            return &one;
    }
    if (name != nullptr)
        std::abort(); // else nothing would be tested
    return nullptr;
}

const Lie* from_environment()
{
    return find(std::getenv("LYING_KERNEL"));
}

std::atomic<const Lie*> now{from_environment()};

} // namespace

void lie(const char* name)
{
    now = find(name);
}

extern "C" int ioctl(int fd, unsigned long request, ...) noexcept
{
    std::va_list arguments;
    va_start(arguments, request);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);

    const Lie* const lie = now;
    if (lie == nullptr)
        return truth(fd, request, argument);
    if (request == UFFDIO_REGISTER && lie->name == "register-refused") {
        errno = EINVAL;
        return -1;
    }
    if (request == UFFDIO_REGISTER && lie->name == "register-ignored") {
        static_cast<uffdio_register*>(argument)->ioctls = ~std::uint64_t{0};
        return 0;
    }
    if (request != writewatch::abi::pagemap_scan_request)
        return truth(fd, request, argument);
    auto& scan = *static_cast<PmScanArg*>(argument);
    if (lie->name == "reset-ignored")
        scan.flags &= ~std::uint64_t{writewatch::abi::pm_scan_wp_matching};
    const int found = truth(fd, request, argument);
    if (found < 0 || lie->scan == nullptr || scan.vec == 0)
        return found;
    return lie->scan(scan, reinterpret_cast<PageRegion*>(scan.vec), found);
}
