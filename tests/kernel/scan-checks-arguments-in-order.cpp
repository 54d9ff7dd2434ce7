// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The argument checks, their errno and, where the errno tells two apart, their order. On any of
// them walk_end is not written and nothing is re-armed.
#include "support.h"

using namespace kerneltest;

namespace {

constexpr std::uint64_t sentinel = 0x5a5a5a5a5a5a5a5a;
constexpr std::uint64_t kernel_address = 0xffff800000000000;

} // namespace

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    memory.write(2);
    PageRegion vec[4];

    const auto expect = [&](const char* what, int expected, auto change) {
        PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified,
                                 pm_scan_wp_matching | pm_scan_check_wpasync);
        set_vec(arg, vec, 4);
        arg.walk_end = sentinel;
        change(arg);
        errno = 0;
        const int result = tracker.scan(arg);
        if (result != -1 || errno != expected || arg.walk_end != sentinel) {
            ++failures;
            std::fprintf(stderr, "FAILED: %s: result %d, errno %d (expected -1, %d), walk_end %s\n",
                         what, result, errno, expected,
                         arg.walk_end == sentinel ? "untouched" : "written");
        }
    };

    expect("size one field short", EINVAL, [](PmScanArg& a) { a.size = 88; });
    expect("size one field long", EINVAL, [](PmScanArg& a) { a.size = 104; });
    expect("size 0", EINVAL, [](PmScanArg& a) { a.size = 0; });
    expect("unknown flag", EINVAL, [](PmScanArg& a) { a.flags |= 1u << 2; });
    expect("start not aligned", EINVAL, [](PmScanArg& a) { a.start += 1; });
    expect("end before start", EFAULT, [](PmScanArg& a) { a.end = a.start - page_size; });
    expect("kernel range", EFAULT, [](PmScanArg& a) {
        a.start = kernel_address;
        a.end = kernel_address + page_size;
    });
    expect("length without a vector", EINVAL, [](PmScanArg& a) { a.vec = 0; });
    expect("vector in the kernel", EFAULT, [](PmScanArg& a) { a.vec = kernel_address; });
    expect("vector length that overflows", EFAULT,
           [](PmScanArg& a) { a.vec_len = ~std::uint64_t{0}; });

    // Order: each pair has two mistakes; the errno says which is found first.
    expect("size before range", EINVAL, [](PmScanArg& a) {
        a.size = 88;
        a.end = a.start - page_size;
    });
    expect("flags before range", EINVAL, [](PmScanArg& a) {
        a.flags |= 1u << 2;
        a.end = a.start - page_size;
    });
    expect("masks before range", EINVAL, [](PmScanArg& a) {
        a.return_mask |= std::uint64_t{1} << 63;
        a.end = a.start - page_size;
    });
    expect("alignment before range", EINVAL, [](PmScanArg& a) {
        a.start += 1;
        a.end = a.start - page_size;
    });
    expect("range before vector", EFAULT, [](PmScanArg& a) {
        a.end = a.start - page_size;
        a.vec = 0;
    });
    expect("vector before registration", EFAULT, [&](PmScanArg& a) {
        a.vec = kernel_address;
        a.start -= page_size; // the page before the memory is mapped and not registered
    });
    CHECK_EQ(tracker.check_registered(memory.start() - page_size, page_size), EPERM);

    // The struct itself.
    const Memory nowhere(1);
    nowhere.protect(PROT_NONE);
    CHECK_EQ(tracker.scan(*reinterpret_cast<PmScanArg*>(nowhere.start())), -1);
    CHECK_EQ(errno, EFAULT);

    // Not mistakes: an empty range, a vector of length 0, an end inside a page.
    PmScanArg arg = scan_arg(memory.start(), 0, qualified);
    set_vec(arg, vec, 4);
    CHECK_EQ(tracker.scan(arg), 0);
    CHECK_EQ(arg.walk_end, arg.start);
    arg = scan_arg(memory.start(), memory.size(), qualified);
    set_vec(arg, vec, 0);
    CHECK_EQ(tracker.scan(arg), 0);
    CHECK_EQ(arg.walk_end, arg.end);
    arg = scan_arg(memory.start(), 2 * page_size + 1, qualified);
    set_vec(arg, vec, 4);
    CHECK_EQ(tracker.scan(arg), 1);
    CHECK_EQ(vec[0].start, reinterpret_cast<std::uintptr_t>(memory.page(2)));
    CHECK_EQ(vec[0].end, reinterpret_cast<std::uintptr_t>(memory.page(3)));

    // After all of this the page is still waiting.
    CHECK_PAGES(tracker.get_and_reset(memory), {2});
    return finish();
}
