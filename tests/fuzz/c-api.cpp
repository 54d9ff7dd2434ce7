// SPDX-License-Identifier: LGPL-2.1-or-later
// Sequences of ww_* calls with any arguments, on memory that is written, dropped, replaced and
// protected meanwhile, against a page-by-page model of writewatch.h: no write lost, no page too
// many, the documented error for every mistake.
#include <writewatch/writewatch.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fuzzer/FuzzedDataProvider.h>
#include <map>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t arena_pages = 1100; // more than two page tables' worth: results of 512 runs
constexpr int max_calls = 400;

struct Page {
    unsigned region = 0; // 0: not watched
    bool written = false;
    bool latched = false;
    bool touched = false; // since it was mapped
    int protection = PROT_READ | PROT_WRITE;

    bool reported() const { return region != 0 && (written || latched); }
};

struct Range { // in pages of the arena; may reach out of it
    long first = 0;
    long end = 0;

    bool inside() const { return first >= 0 && end <= static_cast<long>(arena_pages); }
};

std::string trace; // what a finding prints

[[noreturn]] void finding(const std::string& what)
{
    std::fprintf(stderr, "%s// %s\n", trace.c_str(), what.c_str());
    std::abort();
}

void note(const char* call, const Range& range, const std::string& more = "")
{
    trace += std::string(call) + "(" + std::to_string(range.first) + " to " +
             std::to_string(range.end) + more + ")\n";
}

void expect(long got, long wanted)
{
    if (got != wanted)
        finding("answered " + std::to_string(got) + " instead of " + std::to_string(wanted));
}

class Fuzz {
  public:
    Fuzz(FuzzedDataProvider& input, ww_tracker* tracker)
        : input_(input), tracker_(tracker), shared_(input.ConsumeBool()), pages_(arena_pages)
    {
        const std::size_t whole = (arena_pages + 2) * page_size;
        reserved_ = static_cast<char*>(
            mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (reserved_ == MAP_FAILED)
            finding("no memory");
        start_ = reserved_ + page_size;
        int file = -1;
        if (shared_) {
            file = memfd_create("fuzz-c-api", 0);
            if (file < 0 || ftruncate(file, arena_pages * page_size) != 0)
                finding("no memfd");
        }
        map(0, arena_pages, file);
        if (file >= 0)
            close(file);
        // Guards that are no mapping at all: what reaches out of the arena has no memory there.
        munmap(reserved_, page_size);
        munmap(start_ + arena_pages * page_size, page_size);
    }
    Fuzz(const Fuzz&) = delete;
    Fuzz& operator=(const Fuzz&) = delete;
    ~Fuzz()
    {
        ww_unwatch(tracker_, start_, arena_pages * page_size);
        munmap(start_, arena_pages * page_size);
    }

    void run()
    {
        for (int i = 0; i < max_calls && input_.remaining_bytes() > 0; ++i)
            step();
        const Range all{0, static_cast<long>(arena_pages)};
        for (Range region = next_region(0); region.first < region.end;
             region = next_region(region.end))
            collect(region, WW_RESET, arena_pages);
        note("end", all);
    }

  private:
    enum class Call {
        watch,
        unwatch,
        rearm,
        latch,
        collect,
        ranges,
        reset,
        write,
        write_every,
        read,
        drop,
        replace,
        protect,
        mistake
    };

    void step()
    {
        switch (input_.PickValueInArray({Call::watch, Call::unwatch, Call::rearm, Call::latch,
                                         Call::collect, Call::collect, Call::ranges, Call::reset,
                                         Call::write, Call::write_every, Call::read, Call::drop,
                                         Call::replace, Call::protect, Call::mistake})) {
        case Call::watch:
            return watch(range());
        case Call::unwatch:
            return unwatch(range());
        case Call::rearm:
            return rearm(range());
        case Call::latch:
            return latch(range());
        case Call::collect:
            return collect(range(), flags(), capacity());
        case Call::ranges:
            return collect_ranges(range(), flags(), capacity());
        case Call::reset:
            return reset(range());
        case Call::write:
            return write(range(), 1);
        case Call::write_every:
            return write(range(), input_.ConsumeIntegralInRange(2, 9));
        case Call::read:
            return read(range());
        case Call::drop:
            return drop(range());
        case Call::replace:
            return replace(range());
        case Call::protect:
            return protect(range());
        case Call::mistake:
            return mistake(range());
        }
    }

    // Arguments

    Range range()
    {
        const long size = static_cast<long>(arena_pages);
        switch (input_.ConsumeIntegralInRange(0, 7)) {
        case 0:
            return {0, size};
        case 1:
            return {-1, input_.ConsumeIntegralInRange<long>(0, size)};
        case 2:
            return {input_.ConsumeIntegralInRange<long>(0, size), size + 1};
        case 3: {
            const Range region = next_region(input_.ConsumeIntegralInRange<long>(0, size - 1));
            return region.first < region.end ? region : Range{0, size};
        }
        default: {
            const long first = input_.ConsumeIntegralInRange<long>(0, size - 1);
            return {first, first + input_.ConsumeIntegralInRange<long>(1, size - first)};
        }
        }
    }
    unsigned flags() { return input_.ConsumeBool() ? WW_RESET : 0; }
    std::size_t capacity()
    {
        return input_.ConsumeIntegralInRange<std::size_t>(1, arena_pages + 1);
    }
    char* at(long page) const { return start_ + page * static_cast<long>(page_size); }
    static std::size_t bytes(const Range& r)
    {
        return static_cast<std::size_t>(r.end - r.first) * page_size;
    }

    // The model

    template<typename Visitor> void for_each(const Range& r, Visitor visit)
    {
        for (long i = std::max(0L, r.first); i < std::min<long>(r.end, arena_pages); ++i)
            visit(i, pages_[static_cast<std::size_t>(i)]);
    }
    template<typename Predicate> bool any(const Range& r, Predicate predicate)
    {
        bool found = false;
        for_each(r, [&](long, Page& page) { found = found || predicate(page); });
        return found;
    }
    bool in_one_region(const Range& r)
    {
        if (!r.inside())
            return false;
        const unsigned region = pages_[static_cast<std::size_t>(r.first)].region;
        return region != 0 && !any(r, [&](const Page& page) { return page.region != region; });
    }
    Range next_region(long from)
    {
        const long size = static_cast<long>(arena_pages);
        while (from < size && pages_[static_cast<std::size_t>(from)].region == 0)
            ++from;
        Range region{from, from};
        while (region.end < size && pages_[static_cast<std::size_t>(region.end)].region ==
                                        pages_[static_cast<std::size_t>(from)].region)
            ++region.end;
        return region;
    }
    bool writable(const Range& r)
    {
        return r.inside() &&
               !any(r, [](const Page& page) { return (page.protection & PROT_WRITE) == 0; });
    }

    // Calls

    void watch(const Range& r)
    {
        const bool fresh = !shared_ && r.inside() && input_.ConsumeBool() &&
                           !any(r, [](const Page& page) { return page.touched; });
        note("ww_watch", r, fresh ? ", WW_FRESH" : "");
        const int answer = ww_watch(tracker_, at(r.first), bytes(r), fresh ? WW_FRESH : 0);
        const bool watched = any(r, [](const Page& page) { return page.region != 0; });
        if (!r.inside() && watched) { // either mistake may be named
            if (answer != -EEXIST && answer != -ENOMEM)
                finding("answered " + std::to_string(answer));
            return;
        }
        expect(answer, watched ? -EEXIST : r.inside() ? 0 : -ENOMEM);
        if (answer != 0)
            return;
        const unsigned region = ++last_region_;
        for_each(r, [&](long, Page& page) {
            page.region = region;
            page.written = page.latched = false;
        });
    }

    void unwatch(const Range& r)
    {
        note("ww_unwatch", r);
        expect(ww_unwatch(tracker_, at(r.first), bytes(r)), 0);
        const Range before{r.first - 1, r.first};
        const unsigned left = any(before, [](const Page&) { return true; })
                                  ? pages_[static_cast<std::size_t>(r.first - 1)].region
                                  : 0;
        for_each(r, [](long, Page& page) { page.region = 0; });
        // What is left behind the cut is a region of its own.
        if (left != 0 && r.end < static_cast<long>(arena_pages)) {
            const unsigned right = ++last_region_;
            for_each({r.end, arena_pages}, [&](long, Page& page) {
                if (page.region == left)
                    page.region = right;
            });
        }
    }

    void rearm(const Range& r)
    {
        if (shared_) // for replaced private anonymous memory
            return;
        note("ww_rearm", r);
        expect(ww_rearm(tracker_, at(r.first), bytes(r)), r.inside() ? 0 : -ENOMEM);
        if (!r.inside()) // failed: reported until reset
            for_each(r, [](long, Page& page) { page.latched = page.region != 0; });
    }

    void latch(const Range& r)
    {
        note("ww_latch", r);
        expect(ww_latch(tracker_, at(r.first), bytes(r)), 0);
        for_each(r, [](long, Page& page) { page.latched = page.reported(); });
    }

    void collect(const Range& r, unsigned flags, std::size_t capacity)
    {
        note("ww_collect", r, ", " + std::to_string(flags) + ", " + std::to_string(capacity));
        std::vector<void*> out(capacity, this);
        const long count = ww_collect(tracker_, at(r.first), bytes(r), flags, out.data(), capacity);
        if (!in_one_region(r))
            return expect(count, -ENOENT);
        if (count < 0 || static_cast<std::size_t>(count) > capacity)
            finding("answered " + std::to_string(count));
        std::vector<long> found;
        for (long i = 0; i < count; ++i) {
            const long distance = static_cast<char*>(out[static_cast<std::size_t>(i)]) - start_;
            if (distance % static_cast<long>(page_size) != 0)
                finding("no page");
            found.push_back(distance / static_cast<long>(page_size));
        }
        for (std::size_t i = static_cast<std::size_t>(count); i < capacity; ++i)
            if (out[i] != this)
                finding("an entry beyond the count was written");
        check(r, flags, found, static_cast<std::size_t>(count) < capacity);
    }

    void collect_ranges(const Range& r, unsigned flags, std::size_t capacity)
    {
        note("ww_collect_ranges", r,
             ", " + std::to_string(flags) + ", " + std::to_string(capacity));
        std::vector<ww_range> out(capacity);
        const long count =
            ww_collect_ranges(tracker_, at(r.first), bytes(r), flags, out.data(), capacity);
        if (!in_one_region(r))
            return expect(count, -ENOENT);
        if (count < 0 || static_cast<std::size_t>(count) > capacity)
            finding("answered " + std::to_string(count));
        std::vector<long> found;
        const auto origin = reinterpret_cast<std::uintptr_t>(start_);
        std::uintptr_t last_end = 0;
        for (const ww_range& run : std::vector<ww_range>(out.begin(), out.begin() + count)) {
            if (run.start % page_size != 0 || run.end % page_size != 0 || run.start >= run.end)
                finding("no run of pages");
            if (run.start == last_end)
                finding("a run was cut in two");
            last_end = run.end;
            for (std::uintptr_t page = run.start; page < run.end; page += page_size)
                found.push_back(static_cast<long>((page - origin) / page_size));
        }
        check(r, flags, found, static_cast<std::size_t>(count) < capacity);
    }

    void check(const Range& r, unsigned flags, const std::vector<long>& found, bool complete)
    {
        long next = r.first;
        const auto none_before = [&](long end) {
            for (; next < end; ++next)
                if (pages_[static_cast<std::size_t>(next)].reported())
                    finding("page " + std::to_string(next) + " is written and was not returned");
        };
        for (const long page : found) {
            if (page < next || page >= r.end)
                finding("page " + std::to_string(page) + " is out of order or out of the range");
            none_before(page);
            Page& state = pages_[static_cast<std::size_t>(page)];
            if (!state.reported())
                finding("page " + std::to_string(page) + " was returned and is not written");
            if ((flags & WW_RESET) != 0)
                state.written = state.latched = false;
            next = page + 1;
        }
        if (complete)
            none_before(r.end);
    }

    void reset(const Range& r)
    {
        note("ww_reset", r);
        expect(ww_reset(tracker_, at(r.first), bytes(r)), in_one_region(r) ? 0 : -ENOENT);
        if (in_one_region(r))
            for_each(r, [](long, Page& page) { page.written = page.latched = false; });
    }

    // What the program does

    void write(const Range& r, long step)
    {
        if (!writable(r))
            return;
        note("write", r, " every " + std::to_string(step));
        for (long i = r.first; i < r.end; i += step) {
            *static_cast<volatile char*>(at(i)) = 1;
            Page& page = pages_[static_cast<std::size_t>(i)];
            page.written = page.touched = true;
        }
    }

    void read(const Range& r)
    {
        if (!r.inside() || any(r, [](const Page& page) { return page.protection == PROT_NONE; }))
            return;
        note("read", r);
        for_each(r, [&](long i, Page& page) {
            (void)*static_cast<volatile char*>(at(i));
            page.touched = true;
        });
    }

    // Private memory is gone, and clean; shared memory keeps contents and state.
    void drop(const Range& r)
    {
        if (!r.inside())
            return;
        note("madvise(MADV_DONTNEED)", r);
        expect(madvise(at(r.first), bytes(r), MADV_DONTNEED), 0);
        if (!shared_)
            for_each(r, [](long, Page& page) { page.written = page.touched = false; });
    }

    void replace(const Range& r)
    {
        if (!r.inside() || shared_)
            return;
        note("mmap(MAP_FIXED)", r);
        map(r.first, r.end, -1);
        for_each(r, [](long, Page& page) {
            page.written = page.touched = false;
            page.protection = PROT_READ | PROT_WRITE;
        });
        // With ww_rearm at once, as documented, or without: then a collect notices.
        if (input_.ConsumeBool())
            rearm(r);
    }

    void protect(const Range& r)
    {
        if (!r.inside())
            return;
        const int protection =
            input_.PickValueInArray({PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE});
        note("mprotect", r, ", " + std::to_string(protection));
        expect(mprotect(at(r.first), bytes(r), protection), 0);
        for_each(r, [&](long, Page& page) { page.protection = protection; });
    }

    // Arguments that every function refuses, whatever the state.
    void mistake(const Range& r)
    {
        note("mistake", r);
        char* start = at(r.first);
        std::size_t length = bytes(r);
        ww_tracker* tracker = tracker_;
        switch (input_.ConsumeIntegralInRange(0, 3)) {
        case 0:
            start += input_.ConsumeIntegralInRange(1, 4095);
            break;
        case 1:
            length = 0;
            break;
        case 2:
            length = ~std::size_t{0} - input_.ConsumeIntegral<std::uint16_t>();
            break;
        default:
            tracker = nullptr;
            break;
        }
        void* page = nullptr;
        ww_range run{};
        expect(ww_watch(tracker, start, length, 0), -EINVAL);
        expect(ww_unwatch(tracker, start, length), -EINVAL);
        expect(ww_rearm(tracker, start, length), -EINVAL);
        expect(ww_latch(tracker, start, length), -EINVAL);
        expect(ww_reset(tracker, start, length), -EINVAL);
        expect(ww_collect(tracker, start, length, WW_RESET, &page, 1), -EINVAL);
        expect(ww_collect_ranges(tracker, start, length, WW_RESET, &run, 1), -EINVAL);
        const unsigned flags = input_.ConsumeIntegralInRange<unsigned>(2, ~0u);
        expect(ww_watch(tracker_, at(r.first), bytes(r), flags), -EINVAL);
        expect(ww_collect(tracker_, at(r.first), bytes(r), flags, &page, 1), -EINVAL);
        expect(ww_collect(tracker_, at(r.first), bytes(r), WW_RESET, &page, 0), -EINVAL);
        expect(ww_collect(tracker_, at(r.first), bytes(r), WW_RESET, nullptr, 1), -EINVAL);
    }

    void map(long first, long end, int file)
    {
        const int flags = file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
        if (mmap(at(first), static_cast<std::size_t>(end - first) * page_size,
                 PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0) == MAP_FAILED)
            finding("mmap fails");
    }

    FuzzedDataProvider& input_;
    ww_tracker* tracker_;
    bool shared_;
    char* reserved_ = nullptr;
    char* start_ = nullptr;
    std::vector<Page> pages_;
    unsigned last_region_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    trace.clear();
    static ww_tracker* const tracker = [] {
        ww_tracker* opened = nullptr;
        const ww_options options{sizeof(ww_options), "pagemap-scan"};
        if (const int error = ww_open(&options, &opened); error != 0)
            finding("ww_open: " + std::to_string(error));
        return opened;
    }();
    FuzzedDataProvider input(data, size);
    trace = "";
    Fuzz(input, tracker).run();
    return 0;
}
