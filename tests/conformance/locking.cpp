// SPDX-License-Identifier: LGPL-2.1-or-later
// VirtualLock may mark the pages that it brings in (Windows does, except Windows 8); it must hide
// nothing.
#include "memory.h"

#include <algorithm>

using namespace conformance;

#ifdef _WIN32

namespace {

class Lock {
  public:
    Lock(const Region& region, std::size_t first, std::size_t count)
        : at_(region.page(first)), size_(count * page_size)
    {
        if (!VirtualLock(at_, size_))
            skip("VirtualLock fails with " + show(Error{GetLastError()}));
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() { VirtualUnlock(at_, size_); }

  private:
    void* at_;
    SIZE_T size_;
};

} // namespace

RULE(locking, marks_no_page_outside_its_range, "observed: Wine's tests")
{
    Region region(8);
    const Lock lock(region, 2, 3);
    const Pages pages = region.written();
    check("only locked pages are reported, got " + show(pages),
          std::all_of(pages.begin(), pages.end(),
                      [](std::size_t page) { return page >= 2 && page < 5; }));
    note(pages.empty() ? "locking marks nothing here" : "locking marks the locked pages here");
}

RULE(locking, writes_to_locked_pages_are_reported, "Microsoft Learn: VirtualLock")
{
    Region region(8);
    const Lock lock(region, 2, 3);
    region.reset();
    region.write(Pages{3, 6});
    check_equal("pages returned", region.take(), Pages{3, 6});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(locking, unlock_changes_nothing, "Microsoft Learn: VirtualUnlock")
{
    Region region(8);
    {
        const Lock lock(region, 2, 3);
        region.reset();
        region.write(3);
    }
    check_equal("pages reported", region.written(), Pages{3});
}

#else

NOT_APPLICABLE(locking, marks_no_page_outside_its_range, "the library has no VirtualLock")
NOT_APPLICABLE(locking, writes_to_locked_pages_are_reported, "the library has no VirtualLock")
NOT_APPLICABLE(locking, unlock_changes_nothing, "the library has no VirtualLock")

#endif
