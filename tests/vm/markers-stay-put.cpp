// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Pages of private memory that are armed before they exist are markers in the page table. Whatever
// else looks at the page table takes them for what they are: nothing there. They are not populated
// by it, not lost by it, and go away with the memory, its registration or its move.
#include "tests/vm/guest.h"

#include <algorithm>
#include <sys/resource.h>
#include <sys/uio.h>

using namespace guesttest;

namespace {

constexpr std::size_t pages = pages_per_huge_page;

// A written page and `pages` - 1 markers, all armed.
struct Armed {
    explicit Armed(const Tracker& tracker, std::size_t count = pages)
        : memory(count, huge_page_size)
    {
        memory.advise(MADV_NOHUGEPAGE);
        tracker.watch(memory);
        memory.write(3);
        tracker.arm(memory);
    }
    Memory memory;
};

std::size_t resident(const Memory& memory)
{
    std::vector<unsigned char> found(memory.pages());
    if (mincore(memory.start(), memory.size(), found.data()) != 0)
        die("mincore");
    return static_cast<std::size_t>(std::count_if(
        found.begin(), found.end(), [](unsigned char page) { return (page & 1) != 0; }));
}

// Advice about pages finds none behind a marker.
void advice(const Tracker& tracker)
{
    const struct {
        int advice;
        const char* name;
    } all[] = {{MADV_WILLNEED, "WILLNEED"}, {MADV_COLD, "COLD"},         {MADV_PAGEOUT, "PAGEOUT"},
               {MADV_FREE, "FREE"},         {MADV_DONTFORK, "DONTFORK"}, {MADV_DOFORK, "DOFORK"}};
    for (const auto& each : all) {
        const Armed armed(tracker);
        if (madvise(armed.memory.start(), armed.memory.size(), each.advice) != 0)
            die(each.name);
        if (!tracker.pages(armed.memory, plain).empty())
            note("MADV_%s", each.name);
        CHECK_PAGES(tracker.pages(armed.memory, plain), {});
        CHECK(resident(armed.memory) <= 1);
        armed.memory.write(100);
        CHECK_PAGES(tracker.pages(armed.memory, plain), {100});
    }
}

// Neither khugepaged's check nor MADV_COLLAPSE makes a huge page of markers: it would have no place
// for the 511 bits.
void collapse(const Tracker& tracker)
{
    const Armed armed(tracker);
    armed.memory.advise(MADV_HUGEPAGE);
    CHECK(madvise(armed.memory.start(), armed.memory.size(), MADV_COLLAPSE) != 0);
    CHECK_EQ(resident(armed.memory), 1);
    CHECK_PAGES(tracker.pages(armed.memory, plain), {});
    armed.memory.write(5);
    CHECK_PAGES(tracker.pages(armed.memory, plain), {5});
}

// A forked child is not registered: it has no markers, its writes end, and the parent's markers
// stay.
void fork_them(const Tracker& tracker)
{
    const Armed armed(tracker);
    in_child([&] {
        alarm(20);
        armed.memory.write(10);
        CHECK_EQ(armed.memory.read(10), 1);
        CHECK_EQ(armed.memory.read(11), 0);
    });
    CHECK_PAGES(tracker.pages(armed.memory, plain), {});
    armed.memory.write(10);
    CHECK_PAGES(tracker.pages(armed.memory, plain), {10});
}

// mremap takes memory out of the registration: no marker comes along, and the page is as good as
// new.
void move_them(const Tracker& tracker)
{
    const Armed armed(tracker);
    const Memory target(pages, huge_page_size);
    if (mremap(armed.memory.start(), armed.memory.size(), target.size(),
               MREMAP_MAYMOVE | MREMAP_FIXED, target.start()) != target.start())
        die("mremap");
    CHECK_EQ(tracker.check_registered(target.start(), target.size()), EPERM);
    for (std::size_t page = 0; page < pages; ++page)
        CHECK_EQ(target.read(page), page == 3 ? 1 : 0);
    target.write(20);
    CHECK_EQ(target.read(20), 1);
    // Registered again, all of it counts as written: nothing of the old state is left.
    tracker.watch(target);
    CHECK_EQ(tracker.pages(target, plain).size(), pages);
}

// Who ends the registration takes the markers along.
void unregister(const Tracker& tracker)
{
    const Armed armed(tracker);
    uffdio_range range{reinterpret_cast<std::uintptr_t>(armed.memory.start()), armed.memory.size()};
    if (ioctl(tracker.userfaultfd(), UFFDIO_UNREGISTER, &range) != 0)
        die("UFFDIO_UNREGISTER");
    armed.memory.write(30);
    CHECK_EQ(armed.memory.read(30), 1);
    tracker.watch(armed.memory);
    CHECK_EQ(tracker.pages(armed.memory, plain).size(), pages);
}

// The kernel reads and writes through markers as the program does.
void by_the_kernel(const Tracker& tracker)
{
    const Armed armed(tracker);
    char byte = 'x';
    iovec local{&byte, 1};
    iovec remote{armed.memory.page(40), 1};
    CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 1);
    CHECK_EQ(byte, 0);
    CHECK_PAGES(tracker.pages(armed.memory, plain), {});
    byte = 'y';
    remote.iov_base = armed.memory.page(41);
    CHECK_EQ(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), 1);
    CHECK_EQ(armed.memory.read(41), 'y');
    CHECK_PAGES(tracker.pages(armed.memory, plain), {41});
}

// Cut, protected, split by a hole, and the protection is that of the pages that remain.
void cut(const Tracker& tracker)
{
    const Armed armed(tracker);
    armed.memory.protect(PROT_READ, 64, 64);
    armed.memory.protect(PROT_READ | PROT_WRITE, 64, 64);
    if (munmap(armed.memory.page(128), 128 * page_size) != 0)
        die("munmap");
    CHECK_PAGES(tracker.pages(armed.memory, plain), {});
    armed.memory.write(70);
    armed.memory.write(300);
    CHECK_PAGES(tracker.pages(armed.memory, plain), {70, 300});
    // A new mapping in the hole is not registered, and has no markers.
    armed.memory.replace(128, 128);
    armed.memory.write(130);
    CHECK_EQ(armed.memory.read(130), 1);
}

// Dropping the pages drops the markers: the content changed, and the page counts as written.
void drop(const Tracker& tracker)
{
    const Armed armed(tracker);
    armed.memory.advise(MADV_DONTNEED, 0, 8);
    CHECK(tracker.pages(armed.memory, plain) == page_range(0, 7));
}

// A core dump of a process that has markers leaves them out and does not hurt.
void dump(const Tracker&)
{
    if (access("/proc/sys/kernel/core_pattern", W_OK) != 0) {
        note("this kernel writes no core dumps: not tried");
        return;
    }
    set_until_exit("/proc/sys/kernel/core_pattern", "/tmp/core");
    const pid_t child = fork();
    if (child == 0) {
        const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_CORE, &unlimited);
        const Tracker own;
        const Armed armed(own, 16 * pages);
        abort();
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    unlink("/tmp/core");
}

} // namespace

int main()
{
    make_zram_swap(16 * 1024);
    set_until_exit("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
    const Tracker tracker;
    advice(tracker);
    collapse(tracker);
    fork_them(tracker);
    move_them(tracker);
    unregister(tracker);
    by_the_kernel(tracker);
    cut(tracker);
    drop(tracker);
    dump(tracker);
    return finish();
}
