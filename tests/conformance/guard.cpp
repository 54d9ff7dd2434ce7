// SPDX-License-Identifier: LGPL-2.1-or-later
// PAGE_GUARD: the first access raises an exception and is not a write; the store that is tried
// again is.
#include "ask.h"
#include "memory.h"

using namespace conformance;

#ifdef _WIN32

namespace {

const Region* guarded = nullptr; ///< the region of the running rule
unsigned exceptions = 0;
Answer during; ///< what was reported inside the handler

LONG CALLBACK on_exception(EXCEPTION_POINTERS* info)
{
    if (info->ExceptionRecord->ExceptionCode != static_cast<DWORD>(STATUS_GUARD_PAGE_VIOLATION))
        return EXCEPTION_CONTINUE_SEARCH;
    ++exceptions;
    during = ask({.base = guarded->base(), .size = guarded->size()});
    return EXCEPTION_CONTINUE_EXECUTION;
}

class Handler {
  public:
    explicit Handler(const Region& region) : handle_(AddVectoredExceptionHandler(1, on_exception))
    {
        guarded = &region;
        exceptions = 0;
        during = {};
        require("the exception handler is installed", handle_ != nullptr);
    }
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;
    ~Handler() { RemoveVectoredExceptionHandler(handle_); }

  private:
    void* handle_;
};

} // namespace

RULE(guard, exception_comes_before_the_write, "observed: Wine's tests")
{
    Region region(8);
    region.protect(3, 1, PAGE_READWRITE | PAGE_GUARD);
    const Handler handler(region);
    region.write(3);
    check_equal("guard exceptions", exceptions, 1U);
    check_equal("pages reported inside the handler", during.count, ULONG_PTR{0});
    check_equal("pages reported after the store was tried again", region.written(), Pages{3});
}

RULE(guard, read_does_not_dirty, "observed: Wine's tests")
{
    Region region(8);
    region.protect(3, 1, PAGE_READWRITE | PAGE_GUARD);
    const Handler handler(region);
    region.read(3);
    check_equal("guard exceptions", exceptions, 1U);
    check_equal("pages reported", region.written(), Pages{});
    region.write(3);
    check_equal("guard exceptions after a write", exceptions, 1U);
    check_equal("pages reported after a write", region.written(), Pages{3});
}

RULE(guard, question_and_reset_leave_the_guard, "Microsoft Learn: Memory Protection Constants")
{
    Region region(8);
    region.protect(3, 1, PAGE_READWRITE | PAGE_GUARD);
    check_equal("pages returned", region.take(), Pages{});
    region.reset();
    const Handler handler(region);
    region.write(3);
    check_equal("guard exceptions", exceptions, 1U);
    check_equal("pages reported", region.written(), Pages{3});
}

RULE(guard, dirty_page_keeps_its_state, "observed: Wine's tests")
{
    Region region(8);
    region.write(3);
    region.protect(3, 1, PAGE_READWRITE | PAGE_GUARD);
    check_equal("pages returned", region.take(), Pages{3});
    const Handler handler(region);
    region.read(3);
    check_equal("pages reported after a read", region.written(), Pages{});
}

#else

namespace {
constexpr char no_exceptions[] = "guard pages raise Windows exceptions; there are none natively";
}
NOT_APPLICABLE(guard, exception_comes_before_the_write, no_exceptions)
NOT_APPLICABLE(guard, read_does_not_dirty, no_exceptions)
NOT_APPLICABLE(guard, question_and_reset_leave_the_guard, no_exceptions)
NOT_APPLICABLE(guard, dirty_page_keeps_its_state, no_exceptions)

#endif
