// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The registry's writer and reader together, over the fake backend: what one process publishes is
// what another reads.
#include "tests/support/registry.h"
#include "shim/backend/fake.h"
#include "shim/core/watch_set.h"
#include "shim/registry/publisher.h"
#include "tests/support/pages.h"

#include <algorithm>
#include <array>
#include <thread>
#include <unistd.h>
#include <vector>

namespace writewatch::test {

using namespace registry;

std::optional<Missing> missing()
{
    return missing_shared_memory();
}

namespace {

constexpr std::uintptr_t base = 0x7100'0000'0000;

void identify(WindowsIdentity& identity) noexcept
{
    identity.windows_pid = 0x124;
    set_text(identity.image, "C:\\game.exe");
    set_text(identity.prefix, "/home/user/.wine");
}

struct PublishedSet {
    Publisher publisher{Host::wine, identify};
    backend::Fake fake;
    core::WatchSet set{fake, &publisher};

    PublishedSet()
    {
        publisher.set_backend("fake", "a test");
        REQUIRE(publisher.open());
        REQUIRE(set.open());
    }
    ~PublishedSet()
    {
        set.close();
        publisher.end();
    }
    PublishedSet(const PublishedSet&) = delete;
    PublishedSet& operator=(const PublishedSet&) = delete;

    void watch(PageRange range, std::uint32_t protection = 4)
    {
        REQUIRE(set.watch({.range = range,
                           .mode = backend::Mode::on_presence,
                           .contents = backend::Contents::empty,
                           .protection = 3},
                          core::OnOverlap::replace, protection));
    }
    std::size_t get(PageRange range, bool reset)
    {
        std::vector<std::uintptr_t> out(10'000);
        const auto found = set.get(range, reset, std::span<std::uintptr_t>(out));
        REQUIRE(found);
        return *found;
    }
};

// The one segment of this process.
SegmentReader own_segment()
{
    const auto names = segments_of(getpid());
    REQUIRE(names.size() == 1);
    auto segment = SegmentReader::open(names[0]);
    REQUIRE(segment);
    return std::move(*segment);
}

ProcessInfo own_info()
{
    auto info = own_segment().read();
    REQUIRE(info);
    return std::move(*info);
}

} // namespace

TEST_CASE("nothing is published before the first region", "[registry]")
{
    PublishedSet process;
    REQUIRE(segments_of(getpid()).empty());
    process.watch(pages(base, 0, 8));
    REQUIRE(segments_of(getpid()).size() == 1);
}

TEST_CASE("who a process is", "[registry]")
{
    PublishedSet process;
    process.watch(pages(base, 0, 8));
    const ProcessInfo info = own_info();
    REQUIRE(info.pid == getpid());
    REQUIRE(info.same_pid_namespace);
    REQUIRE(info.windows_pid == 0x124);
    REQUIRE(info.host == Host::wine);
    REQUIRE(info.image == "C:\\game.exe");
    REQUIRE(info.prefix == "/home/user/.wine");
    REQUIRE(info.backend == "fake");
    REQUIRE(info.backend_reason == "a test");
    REQUIRE(info.library_version == WRITEWATCH_VERSION);
    const auto listing = list();
    REQUIRE(listing);
    REQUIRE(std::count_if(listing->processes.begin(), listing->processes.end(),
                          [](const ProcessInfo& each) { return each.pid == getpid(); }) == 1);
}

TEST_CASE("regions appear, are cut, and go", "[registry]")
{
    PublishedSet process;
    process.watch(pages(base, 100, 50), 0x40);
    process.watch(pages(base, 0, 8));
    auto regions = own_info().regions;
    REQUIRE(regions.size() == 2);
    REQUIRE(regions[0].range == pages(base, 0, 8));
    REQUIRE(regions[1].range == pages(base, 100, 50));
    REQUIRE(regions[1].protection == 0x40);

    REQUIRE(process.set.forget(pages(base, 110, 10))); // splits
    REQUIRE(process.set.forget(pages(base, 0, 2)));    // cuts the start off
    REQUIRE(process.set.forget(pages(base, 148, 10))); // cuts the end off
    regions = own_info().regions;
    REQUIRE(regions.size() == 3);
    REQUIRE(regions[0].range == pages(base, 2, 6));
    REQUIRE(regions[1].range == pages(base, 100, 10));
    REQUIRE(regions[2].range == pages(base, 120, 28));
    REQUIRE(regions[2].protection == 0x40);
    REQUIRE(regions[1].id != regions[2].id);

    REQUIRE(process.set.forget(pages(base, 0, 200)));
    REQUIRE(own_info().regions.empty());
}

TEST_CASE("calls are counted, exactly by threads that ask about regions of their own", "[registry]")
{
    PublishedSet process;
    const PageRange range = pages(base, 0, 8);
    const PageRange other = pages(base, 100, 8);
    process.watch(range);
    process.watch(other);
    process.fake.write(base);
    REQUIRE(process.get(range, false) == 1);
    REQUIRE(process.get(range, true) == 1);
    REQUIRE(process.get(range, true) == 0);
    REQUIRE(process.set.reset(range));
    Counters counters = own_info().regions.at(0).counters;
    REQUIRE(counters.gets == 1);
    REQUIRE(counters.gets_with_reset == 2);
    REQUIRE(counters.resets == 1);
    REQUIRE(counters.pages == 2);
    REQUIRE(counters.errors == 0);
    REQUIRE(counters.samples >= 1); // the first of either kind is measured
    REQUIRE(counters.user_ns > 0);

    constexpr int calls = 20'000;
    const auto ask = [&](PageRange about) {
        std::array<std::uintptr_t, 8> out{};
        for (int i = 0; i < calls; ++i)
            (void)process.set.get(about, false, std::span<std::uintptr_t>(out));
    };
    std::thread first(ask, range);
    std::thread second(ask, other);
    first.join();
    second.join();
    const ProcessInfo info = own_info();
    counters = info.regions.at(0).counters;
    REQUIRE(counters.gets == 1 + calls);
    REQUIRE(counters.samples > calls / 64 / 2);
    REQUIRE(counters.samples < calls / 64 * 2);
    REQUIRE(info.regions.at(1).counters.gets == calls);
    REQUIRE(info.total.gets == 1 + 2 * calls);

    // What a region did stays in the process's total.
    REQUIRE(process.set.forget(range));
    REQUIRE(own_info().total.gets == info.total.gets);
    REQUIRE(own_info().total.pages == 2);
}

TEST_CASE("a process with many regions", "[registry]")
{
    PublishedSet process;
    constexpr std::size_t count = 30'000;
    for (std::size_t i = 0; i < count; ++i)
        process.watch(pages(base, 2 * i));
    const ProcessInfo info = own_info();
    REQUIRE(info.regions.size() == count);
    REQUIRE_FALSE(info.regions_incomplete);
    for (std::size_t i = 0; i < count; i += 997)
        REQUIRE(info.regions[i].range == pages(base, 2 * i));
    for (std::size_t i = 0; i < count; i += 2)
        REQUIRE(process.set.forget(pages(base, 2 * i)));
    REQUIRE(own_info().regions.size() == count / 2);
}

TEST_CASE("a neighbour's latched pages are not published as a region's own", "[registry]")
{
    PublishedSet process;
    const PageRange range = pages(base, 0, 70);
    const PageRange neighbour = pages(base, 70, 250);
    process.watch(range);
    process.watch(neighbour);
    for (std::size_t page = 0; page < 320; ++page)
        process.fake.write(base + page * page_size);
    REQUIRE(process.set.latch(neighbour));
    const SegmentReader segment = own_segment();
    CHECK(segment.read_latched(range)->bits.empty());
    constexpr std::uint64_t all = ~std::uint64_t{0};
    CHECK(segment.read_latched(neighbour)->bits == PageBits{{base + 64 * page_size, all << 6},
                                                            {base + 128 * page_size, all},
                                                            {base + 192 * page_size, all},
                                                            {base + 256 * page_size, all}});
}

TEST_CASE("latched pages are published, and requests to forget them are honoured", "[registry]")
{
    PublishedSet process;
    const PageRange range = pages(base, 0, 200);
    process.watch(range);
    for (const std::size_t page : {3U, 5U, 130U})
        process.fake.write(base + page * page_size);
    REQUIRE(process.set.latch(range));
    REQUIRE(own_info().regions.at(0).latched_pages == 3);

    const SegmentReader segment = own_segment();
    const auto seen = segment.read_latched(range);
    REQUIRE(seen);
    REQUIRE(seen->bits == PageBits{{base, 0b101000}, {base + 128 * page_size, 0b100}});

    // One of them is taken by somebody outside: gone for readers at once, and here at the next
    // call.
    process.fake.drop(range);
    REQUIRE(segment.request_reset(*seen, {{base, 0b1000}}));
    REQUIRE(segment.read_latched(range)->bits.at(base) == 0b100000);
    REQUIRE(own_info().regions.at(0).latched_pages == 2);
    REQUIRE(process.get(range, false) == 2);

    // A request that comes after the page was latched again does not count.
    process.fake.write(base + 5 * page_size);
    REQUIRE(process.set.latch(range));
    process.fake.drop(range);
    REQUIRE(segment.request_reset(*seen, {{base, 0b100000}}));
    REQUIRE(segment.read_latched(range)->bits.at(base) == 0b100000);
    REQUIRE(process.get(range, false) == 2);

    // Two requests at the same version add up.
    const auto again = segment.read_latched(range);
    REQUIRE(segment.request_reset(*again, {{base, 0b100000}}));
    REQUIRE(segment.request_reset(*again, {{base + 128 * page_size, 0b100}}));
    REQUIRE(segment.read_latched(range)->bits.empty());
    REQUIRE(process.get(range, true) == 0);

    // A reset in the process itself.
    process.fake.write(base + 7 * page_size);
    REQUIRE(process.set.latch(range));
    REQUIRE(own_info().regions.at(0).latched_pages == 1);
    REQUIRE(process.get(range, true) == 1);
    REQUIRE(own_info().regions.at(0).latched_pages == 0);
}

TEST_CASE("the name goes at the end, and the rest with the process", "[registry]")
{
    {
        PublishedSet process;
        process.watch(pages(base, 0, 8));
    }
    REQUIRE(segments_of(getpid()).empty());
}

} // namespace writewatch::test
