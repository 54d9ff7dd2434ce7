// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the kernel tests share: checks, a skip with a reason, private memory, a userfaultfd and the
// PAGEMAP_SCAN call. The library is not used: these programs show what the *kernel* does, and are
// linked statically so that they can be copied into any guest.
//
// Exit status: 0 as relied on, 1 not so, 77 cannot be tried here (the reason is on stderr).
#pragma once

#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"
#include "tests/support/settings.h"

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace kerneltest {

using namespace writewatch::abi;

inline constexpr std::size_t page_size = 4096;
inline constexpr std::size_t huge_page_size = 2 * 1024 * 1024;
inline constexpr std::size_t pages_per_huge_page = huge_page_size / page_size;

// ---- checks -------------------------------------------------------------------------------------

inline int failures = 0;

[[gnu::format(printf, 1, 2)]] inline void note(const char* format, ...)
{
    va_list args;
    va_start(args, format);
    std::fputs("observed: ", stdout);
    std::vprintf(format, args);
    std::fputc('\n', stdout);
    std::fflush(stdout);
    va_end(args);
}

[[noreturn, gnu::format(printf, 1, 2)]] inline void skip(const char* format, ...)
{
    va_list args;
    va_start(args, format);
    std::fputs("skipped: ", stderr);
    std::vfprintf(stderr, format, args);
    std::fputc('\n', stderr);
    va_end(args);
    std::exit(failures == 0 ? 77 : 1);
}

// Set-up that a working kernel cannot fail: no point in going on.
[[noreturn]] inline void die(const char* what)
{
    std::fprintf(stderr, "FAILED: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

inline void check(bool ok, const char* text, const char* file, int line)
{
    if (ok)
        return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s:%d: %s\n", file, line, text);
}

inline void check_equal(std::uint64_t actual, std::uint64_t expected, const char* text,
                        const char* file, int line)
{
    if (actual == expected)
        return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s:%d: %s is %llu (0x%llx), expected %llu (0x%llx)\n", file, line,
                 text, static_cast<unsigned long long>(actual),
                 static_cast<unsigned long long>(actual), static_cast<unsigned long long>(expected),
                 static_cast<unsigned long long>(expected));
}

// Page numbers relative to the start of a Memory, ascending.
using Pages = std::vector<std::size_t>;

inline std::string to_string(const Pages& pages)
{
    std::string text = "{";
    for (std::size_t i = 0; i < pages.size(); ++i) {
        std::size_t last = i;
        while (last + 1 < pages.size() && pages[last + 1] == pages[last] + 1)
            ++last;
        text += (i == 0 ? "" : ",") + std::to_string(pages[i]);
        if (last > i)
            text += "-" + std::to_string(pages[last]);
        i = last;
    }
    return text + "}";
}

inline void check_pages(const Pages& actual, const Pages& expected, const char* text,
                        const char* file, int line)
{
    if (actual == expected)
        return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s:%d: %s is %s, expected %s\n", file, line, text,
                 to_string(actual).c_str(), to_string(expected).c_str());
}

#define CHECK(condition) ::kerneltest::check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected)                                                                 \
    ::kerneltest::check_equal(static_cast<std::uint64_t>(actual),                                  \
                              static_cast<std::uint64_t>(expected), #actual, __FILE__, __LINE__)
#define CHECK_PAGES(actual, ...)                                                                   \
    ::kerneltest::check_pages((actual), ::kerneltest::Pages __VA_ARGS__, #actual, __FILE__,        \
                              __LINE__)

[[nodiscard]] inline int finish()
{
    return failures == 0 ? 0 : 1;
}

inline Pages page_range(std::size_t first, std::size_t last)
{
    Pages pages;
    for (std::size_t i = first; i <= last; ++i)
        pages.push_back(i);
    return pages;
}

// ---- memory -------------------------------------------------------------------------------------

// A mapping of its own, by default private anonymous; VMAs on both sides cannot merge with it
// because of the PROT_NONE page before and after. `alignment` is for huge pages.
class Memory {
  public:
    explicit Memory(std::size_t pages, std::size_t alignment = page_size,
                    int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1)
        : pages_(pages)
    {
        whole_size_ = (pages + 2) * page_size + alignment;
        void* const whole = mmap(nullptr, whole_size_, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (whole == MAP_FAILED)
            die("mmap of the surroundings");
        whole_ = static_cast<char*>(whole);
        const auto address = reinterpret_cast<std::uintptr_t>(whole_) + page_size;
        start_ = reinterpret_cast<char*>((address + alignment - 1) / alignment * alignment);
        if (mmap(start_, size(), PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_NORESERVE, fd,
                 0) != start_)
            die("mmap");
    }
    ~Memory() { munmap(whole_, whole_size_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    [[nodiscard]] char* start() const { return start_; }
    [[nodiscard]] char* end() const { return start_ + size(); }
    [[nodiscard]] char* page(std::size_t i) const { return start_ + i * page_size; }
    [[nodiscard]] std::size_t pages() const { return pages_; }
    [[nodiscard]] std::size_t size() const { return pages_ * page_size; }

    void write(std::size_t i, char value = 1) const
    {
        *const_cast<volatile char*>(page(i)) = value;
    }
    char read(std::size_t i) const { return *const_cast<volatile char*>(page(i)); }

    void write_all() const
    {
        for (std::size_t i = 0; i < pages_; ++i)
            write(i);
    }
    void advise(int advice, std::size_t first = 0, std::size_t count = ~std::size_t{0}) const
    {
        if (madvise(page(first), (count < pages_ ? count : pages_ - first) * page_size, advice) !=
            0)
            die("madvise");
    }
    void protect(int protection, std::size_t first = 0, std::size_t count = ~std::size_t{0}) const
    {
        const std::size_t pages = count < pages_ ? count : pages_ - first;
        if (mprotect(page(first), pages * page_size, protection) != 0)
            die("mprotect");
    }
    // A new mapping over some pages, as a decommit under Wine makes it.
    void replace(std::size_t first, std::size_t count) const
    {
        if (mmap(page(first), count * page_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            die("mmap over the range");
    }

  private:
    std::size_t pages_;
    std::size_t whole_size_ = 0;
    char* whole_ = nullptr;
    char* start_ = nullptr;
};

// ---- scanning -----------------------------------------------------------------------------------

struct Masks {
    std::uint64_t inverted;
    std::uint64_t mask;
    std::uint64_t anyof;
    std::uint64_t returned;
};

// Written, populated and not the zero page: the library's scan of private anonymous memory.
inline constexpr Masks qualified{page_is_pfnzero, page_is_written | page_is_pfnzero,
                                 page_is_present | page_is_swapped, page_is_written};
// Written, whatever that means for an empty page: the library's scan of eagerly armed memory.
inline constexpr Masks plain{0, page_is_written, 0, page_is_written};
// Every page that has an entry, with all categories of Linux 6.7.
inline constexpr Masks everything{
    0, 0, page_is_written | page_is_file | page_is_present | page_is_swapped | page_is_huge, 0x7f};

inline PmScanArg scan_arg(const void* start, std::size_t size, const Masks& masks,
                          std::uint64_t flags = 0)
{
    PmScanArg arg{};
    arg.size = sizeof(arg);
    arg.flags = flags;
    arg.start = reinterpret_cast<std::uintptr_t>(start);
    arg.end = arg.start + size;
    arg.category_inverted = masks.inverted;
    arg.category_mask = masks.mask;
    arg.category_anyof_mask = masks.anyof;
    arg.return_mask = masks.returned;
    return arg;
}

inline void set_vec(PmScanArg& arg, PageRegion* vec, std::size_t length)
{
    arg.vec = reinterpret_cast<std::uintptr_t>(vec);
    arg.vec_len = length;
}

// Is `backend` named in WRITEWATCH_TEST_REQUIRE? Then its absence is a failure, not a skip.
inline bool is_required(const char* backend)
{
    const char* const value = std::getenv("WRITEWATCH_TEST_REQUIRE");
    return value != nullptr && std::strstr(value, backend) != nullptr;
}

[[noreturn]] inline void no_pagemap_scan(const char* what)
{
    if (is_required("pagemap-scan")) {
        std::fprintf(stderr, "FAILED: %s: %s, and WRITEWATCH_TEST_REQUIRE wants it\n", what,
                     std::strerror(errno));
        std::exit(1);
    }
    skip("%s: %s", what, std::strerror(errno));
}

// A userfaultfd without any feature agreed on; -1 with errno.
inline int open_userfaultfd(int flags = O_CLOEXEC | uffd_user_mode_only)
{
    return static_cast<int>(syscall(SYS_userfaultfd, flags));
}

// An asynchronous write-protect userfaultfd and this process's pagemap: all that tracking needs.
class Tracker {
  public:
    // Only WP_ASYNC is asked for: the library needs no more.
    explicit Tracker(int userfaultfd_flags = O_CLOEXEC | uffd_user_mode_only)
    {
        pagemap_ = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        if (pagemap_ < 0)
            die("/proc/self/pagemap");
        PmScanArg probe = scan_arg(nullptr, 0, plain);
        if (ioctl(pagemap_, pagemap_scan_request, &probe) != 0)
            no_pagemap_scan("PAGEMAP_SCAN");
        uffd_ = open_userfaultfd(userfaultfd_flags);
        if (uffd_ < 0)
            no_pagemap_scan("userfaultfd");
        uffdio_api api{};
        api.api = UFFD_API;
        api.features = uffd_feature_wp_async;
        if (ioctl(uffd_, UFFDIO_API, &api) != 0)
            no_pagemap_scan("UFFDIO_API with WP_ASYNC");
    }
    ~Tracker()
    {
        close_userfaultfd();
        close(pagemap_);
    }
    Tracker(const Tracker&) = delete;
    Tracker& operator=(const Tracker&) = delete;

    [[nodiscard]] int userfaultfd() const { return uffd_; }
    void close_userfaultfd()
    {
        if (uffd_ >= 0)
            close(uffd_);
        uffd_ = -1;
    }

    // 0 or an errno.
    [[nodiscard]] int try_watch(const void* start, std::size_t size) const
    {
        uffdio_register request{};
        request.range.start = reinterpret_cast<std::uintptr_t>(start);
        request.range.len = size;
        request.mode = UFFDIO_REGISTER_MODE_WP;
        return ioctl(uffd_, UFFDIO_REGISTER, &request) == 0 ? 0 : errno;
    }
    void watch(const void* start, std::size_t size) const
    {
        errno = try_watch(start, size);
        if (errno != 0)
            die("UFFDIO_REGISTER");
    }
    void watch(const Memory& memory) const { watch(memory.start(), memory.size()); }

    // Eager arming: write-protects everything, empty pages included.
    void arm(const void* start, std::size_t size) const
    {
        uffdio_writeprotect request{};
        request.range.start = reinterpret_cast<std::uintptr_t>(start);
        request.range.len = size;
        request.mode = UFFDIO_WRITEPROTECT_MODE_WP;
        if (ioctl(uffd_, UFFDIO_WRITEPROTECT, &request) != 0)
            die("UFFDIO_WRITEPROTECT");
    }
    void arm(const Memory& memory) const { arm(memory.start(), memory.size()); }

    // The bare call: its return value, or -1 with errno.
    int scan(PmScanArg& arg) const { return ioctl(pagemap_, pagemap_scan_request, &arg); }

    // The pages that match; with `flags`, WP_MATCHING re-arms them.
    [[nodiscard]] Pages pages(const Memory& memory, const Masks& masks,
                              std::uint64_t flags = 0) const
    {
        Pages found;
        for (const PageRegion& region : regions(memory, masks, flags))
            for (std::uint64_t at = region.start; at < region.end; at += page_size)
                found.push_back((at - reinterpret_cast<std::uintptr_t>(memory.start())) /
                                page_size);
        return found;
    }
    [[nodiscard]] std::vector<PageRegion> regions(const Memory& memory, const Masks& masks,
                                                  std::uint64_t flags = 0) const
    {
        std::vector<PageRegion> found;
        std::vector<PageRegion> vec(512);
        PmScanArg arg = scan_arg(memory.start(), memory.size(), masks, flags);
        set_vec(arg, vec.data(), vec.size());
        for (;;) {
            const int count = scan(arg);
            if (count < 0)
                die("PAGEMAP_SCAN");
            found.insert(found.end(), vec.begin(), vec.begin() + count);
            // Complete when the vector was not filled; walk_end says so less reliably
            // (scan-walk-end-after-batches.cpp).
            if (static_cast<std::size_t>(count) < vec.size() || arg.walk_end >= arg.end)
                return found;
            arg.start = arg.walk_end;
        }
    }
    [[nodiscard]] std::uint64_t categories(const Memory& memory, std::size_t page) const
    {
        PageRegion region{};
        PmScanArg arg = scan_arg(memory.page(page), page_size, everything);
        set_vec(arg, &region, 1);
        if (scan(arg) < 0)
            die("PAGEMAP_SCAN");
        return region.categories;
    }

    [[nodiscard]] Pages get(const Memory& memory) const { return pages(memory, qualified); }
    Pages get_and_reset(const Memory& memory) const
    {
        return pages(memory, qualified, pm_scan_wp_matching);
    }

    // The errno of a scan that insists on a registration; 0 when there is one.
    [[nodiscard]] int check_registered(const void* start, std::size_t size) const
    {
        PageRegion region{};
        PmScanArg arg = scan_arg(start, size, qualified, pm_scan_check_wpasync);
        set_vec(arg, &region, 1);
        return scan(arg) < 0 ? errno : 0;
    }

  private:
    int uffd_ = -1;
    int pagemap_ = -1;
};

// The three ways in which a watched page of private memory can be clean; a write must be seen from
// each: 0 never touched, 1 only read (the zero page), 2 written and reset.
inline constexpr std::size_t clean_states = 3;
inline constexpr const char* clean_state_name[clean_states] = {"untouched", "read", "reset"};

inline void make_clean_states(const Tracker& tracker, const Memory& memory)
{
    memory.write(2);
    tracker.get_and_reset(memory);
    memory.read(1);
    if (!tracker.get(memory).empty())
        die("set-up: the pages are not clean");
}

// Calls `write_to(address)` for a page in each clean state and expects the scan to report it.
template<typename Write> void expect_write_is_reported(Write write_to)
{
    const Tracker tracker;
    const Memory memory(clean_states);
    tracker.watch(memory);
    make_clean_states(tracker, memory);
    for (std::size_t state = 0; state < clean_states; ++state) {
        write_to(memory.page(state));
        const Pages found = tracker.get_and_reset(memory);
        if (found != Pages{state}) {
            ++failures;
            std::fprintf(stderr, "FAILED: a write to a page that was %s: reported %s\n",
                         clean_state_name[state], to_string(found).c_str());
        }
    }
}

// ---- the machine --------------------------------------------------------------------------------

using writewatch::test::read_file;
using writewatch::test::write_file;

// As its namesake; skips the test when the setting may not be changed.
inline void set_until_exit(const char* path, const std::string& value)
{
    std::string before;
    if (writewatch::test::set_until_exit(path, value, before))
        return;
    if (before.empty())
        skip("%s: %s", path, std::strerror(errno));
    skip("cannot set %s to %s: %s", path, value.c_str(), std::strerror(errno));
}

// A line of /proc/self/status, in KiB.
inline std::uint64_t status_kib(const char* name)
{
    std::string text;
    if (!read_file("/proc/self/status", text))
        die("/proc/self/status");
    const std::size_t at = text.find(std::string("\n") + name + ":");
    if (at == std::string::npos)
        die(name);
    return std::strtoull(text.c_str() + at + std::strlen(name) + 2, nullptr, 10);
}

// Huge pages of private memory are possible at all ("madvise" or "always").
inline void require_thp()
{
    std::string text;
    if (!read_file("/sys/kernel/mm/transparent_hugepage/enabled", text))
        skip("this kernel has no transparent huge pages");
    if (text.find("[never]") != std::string::npos)
        skip("transparent huge pages are off (/sys/kernel/mm/transparent_hugepage/enabled)");
}

// Runs `body` in a child process; its exit status counts as part of this test. The child's
// `failures` start at 0.
template<typename Body> void in_child(Body body)
{
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        failures = 0;
        body();
        std::fflush(nullptr);
        _exit(finish());
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        die("waitpid");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

} // namespace kerneltest
