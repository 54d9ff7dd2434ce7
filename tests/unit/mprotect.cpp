// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the mprotect backend does between two of its system calls, and when one fails. The linker
// puts this file's mprotect in place of libc's (--wrap).
#include "tests/support/catch.h"

#include "shim/backend/mprotect.h"

#include <array>
#include <cerrno>
#include <functional>
#include <sys/mman.h>
#include <utility>
#include <vector>

using writewatch::page_size;
using writewatch::PageRange;
using namespace writewatch::backend;

std::optional<writewatch::test::Missing> writewatch::test::missing()
{
    return std::nullopt;
}

namespace {

// What happens at a call instead of, or around, the real one; calls made meanwhile are real.
std::function<int(void* start, std::size_t bytes, int protection)> at_call;

} // namespace

extern "C" int __real_mprotect(void* start, std::size_t bytes, int protection);

extern "C" int __wrap_mprotect(void* start, std::size_t bytes, int protection)
{
    if (!at_call)
        return __real_mprotect(start, bytes, protection);
    const auto hook = std::exchange(at_call, nullptr);
    const int status = hook(start, bytes, protection);
    const int error = errno;
    if (!at_call)
        at_call = hook;
    errno = error;
    return status;
}

namespace {

using Numbers = std::vector<std::size_t>;

class Watched {
  public:
    explicit Watched(std::size_t pages) : bytes_(pages * page_size)
    {
        start_ = static_cast<char*>(
            mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(start_ != MAP_FAILED);
        auto opened = Mprotect::open();
        REQUIRE(opened);
        backend = std::move(*opened);
        REQUIRE(backend->track({range(), Mode::armed, Contents::clean, PROT_READ | PROT_WRITE}));
    }
    ~Watched()
    {
        at_call = nullptr;
        CHECK(backend->untrack(range(), Mode::armed));
        munmap(start_, bytes_);
    }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;

    PageRange range() const
    {
        const auto first = reinterpret_cast<std::uintptr_t>(start_);
        return {first, first + bytes_};
    }

    void write(std::size_t page) const
    {
        volatile char* const byte = start_ + page * page_size;
        *byte = static_cast<char>(*byte + 1);
    }

    Numbers scan(bool reset) const
    {
        std::array<Run, 8> runs;
        const auto result = backend->scan({range(), Mode::armed, reset, 0}, runs);
        REQUIRE(result);
        REQUIRE(result->resume == range().end);
        Numbers pages;
        for (std::size_t i = 0; i < result->runs; ++i) {
            for (std::uintptr_t page = runs[i].start; page < runs[i].end; page += page_size)
                pages.push_back((page - range().start) / page_size);
        }
        return pages;
    }

    std::unique_ptr<Mprotect> backend;

  private:
    std::size_t bytes_;
    char* start_ = nullptr;
};

bool makes_writable(int protection)
{
    return (protection & PROT_WRITE) != 0;
}

int refuse(void*, std::size_t, int protection)
{
    if (makes_writable(protection))
        return 0; // as the page is: only protecting needs a mapping of its own here
    errno = ENOMEM;
    return -1;
}

} // namespace

// The first writer is in the signal handler, about to make the page writable. A reset comes in
// between. From then on another thread can write to the page without notice: so the page must not
// count as clean.
TEST_CASE("a page that is being opened cannot be made clean", "[mprotect]")
{
    const Watched memory(8);
    const bool by_scan = GENERATE(true, false);
    CAPTURE(by_scan);

    bool opened = false;
    Numbers first;
    Numbers second;
    at_call = [&](void* start, std::size_t bytes, int protection) {
        if (!makes_writable(protection) || std::exchange(opened, true))
            return __real_mprotect(start, bytes, protection);
        if (by_scan)
            first = memory.scan(true);
        else
            CHECK(memory.backend->reset(memory.range(), Mode::armed));
        const int status = __real_mprotect(start, bytes, protection);
        memory.write(3); // another thread's
        second = memory.scan(true);
        return status;
    };
    memory.write(3);
    at_call = nullptr;

    REQUIRE(opened);
    CHECK(first == (by_scan ? Numbers{3} : Numbers{}));
    CHECK(second == Numbers{3});
    // The write that began it all came last.
    CHECK(memory.scan(true) == Numbers{3});
    CHECK(memory.scan(true).empty());
}

TEST_CASE("a page that cannot be protected stays reported", "[mprotect]")
{
    const Watched memory(8);
    memory.write(3);
    const bool by_scan = GENERATE(true, false);
    CAPTURE(by_scan);
    at_call = refuse;
    if (by_scan)
        CHECK(memory.scan(true) == Numbers{3});
    else
        CHECK(memory.backend->reset(memory.range(), Mode::armed));
    memory.write(3); // without notice: the page is still writable
    at_call = nullptr;
    // A reset of a range does not know any more which of its pages were written:
    // docs/deviations.md, no mappings.
    CHECK(memory.scan(true) == (by_scan ? Numbers{3} : Numbers{0, 1, 2, 3, 4, 5, 6, 7}));
    CHECK(memory.scan(true).empty());
}
