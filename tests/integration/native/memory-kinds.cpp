// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The C API on each kind of memory: one body for all of them.
#include "tests/support/tracker.h"

#include <sys/socket.h>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return missing_backend();
}

namespace {

enum class Kind {
    private_fresh,
    private_promised_fresh,
    private_existing,
    private_existing_huge,
    shared_anonymous,
    memfd_shared,
    memfd_private,
    file_shared,
    file_private,
};

constexpr std::pair<Kind, const char*> kinds[] = {
    {Kind::private_fresh, "private-fresh"},
    {Kind::private_promised_fresh, "private-promised-fresh"},
    {Kind::private_existing, "private-existing"},
    {Kind::private_existing_huge, "private-existing-huge"},
    {Kind::shared_anonymous, "shared-anonymous"},
    {Kind::memfd_shared, "memfd-shared"},
    {Kind::memfd_private, "memfd-private"},
    {Kind::file_shared, "file-shared"},
    {Kind::file_private, "file-private"},
};

struct Memory {
    Kind kind;
    std::size_t pages;
    std::optional<TemporaryFile> file;
    int memfd = -1;
    std::optional<Mapping> mapping;

    Memory(Kind with_kind, std::size_t with_pages) : kind(with_kind), pages(with_pages)
    {
        switch (kind) {
        case Kind::private_fresh:
        case Kind::private_promised_fresh:
            mapping.emplace(pages);
            break;
        case Kind::private_existing:
            mapping.emplace(pages);
            mapping->write_all();
            break;
        case Kind::private_existing_huge:
            mapping.emplace(pages, MAP_PRIVATE | MAP_ANONYMOUS, -1, huge_page);
            madvise(mapping->start(), mapping->bytes(), MADV_HUGEPAGE);
            mapping->write_all();
            break;
        case Kind::shared_anonymous:
            mapping.emplace(pages, MAP_SHARED | MAP_ANONYMOUS);
            break;
        case Kind::memfd_shared:
        case Kind::memfd_private:
            memfd = memfd_create("writewatch-test", MFD_CLOEXEC);
            REQUIRE(memfd >= 0);
            REQUIRE(ftruncate(memfd, static_cast<off_t>(pages * page)) == 0);
            mapping.emplace(pages, kind == Kind::memfd_shared ? MAP_SHARED : MAP_PRIVATE, memfd);
            break;
        case Kind::file_shared:
        case Kind::file_private:
            file.emplace(pages);
            mapping.emplace(pages, kind == Kind::file_shared ? MAP_SHARED : MAP_PRIVATE,
                            file->fd());
            break;
        }
        REQUIRE(mapping->error() == 0);
    }
    ~Memory()
    {
        if (memfd >= 0)
            close(memfd);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    int watch(const Tracker& tracker) const
    {
        return tracker.watch(*mapping, kind == Kind::private_promised_fresh ? WW_FRESH : 0);
    }
};

} // namespace

TEST_CASE("every kind of memory is tracked exactly", "[native]")
{
    const auto [kind, name] = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    CAPTURE(name);
    const Tracker tracker;
    const Memory memory(kind, 1024);
    const Mapping& m = *memory.mapping;
    REQUIRE(memory.watch(tracker) == 0);

    // Nothing counts as written yet; a read does not either.
    CHECK(tracker.get(m).empty());
    CHECK(m.read(3) == (kind == Kind::private_existing || kind == Kind::private_existing_huge));
    CHECK(tracker.get(m).empty());

    m.write({0, 7, 8, 1023});
    CHECK(tracker.get(m) == Numbers{0, 7, 8, 1023});
    CHECK(tracker.collect(m, 0, 1, 7, 10) == Numbers{7});
    CHECK(tracker.collect(m, WW_RESET, 0, 1024, 2) == Numbers{0, 7});
    CHECK(tracker.get_and_reset(m) == Numbers{8, 1023});
    CHECK(tracker.get(m).empty());

    // Again, and across a page's edge.
    std::memset(m.at(6) - 2, 0x55, 4);
    CHECK(tracker.get(m) == Numbers{5, 6});
    ww_range ranges[4];
    CHECK(ww_collect_ranges(tracker, m.start(), m.bytes(), WW_RESET, ranges, 4) == 1);
    CHECK(ranges[0].start == reinterpret_cast<std::uintptr_t>(m.at(5)));
    CHECK(ranges[0].end == reinterpret_cast<std::uintptr_t>(m.at(7)));

    m.write_all();
    CHECK(ww_reset(tracker, m.at(0), 1023 * page) == 0);
    CHECK(tracker.get(m) == Numbers{1023});
    CHECK(ww_reset(tracker, m.at(1023), 1) == 0);
    CHECK(tracker.get(m).empty());
}

TEST_CASE("latched pages survive what drops their contents", "[native]")
{
    const auto [kind, name] = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    CAPTURE(name);
    const Tracker tracker;
    const Memory memory(kind, 64);
    const Mapping& m = *memory.mapping;
    REQUIRE(memory.watch(tracker) == 0);
    m.write({3, 40});
    CHECK(ww_latch(tracker, m.at(0), 8 * page) == 0);
    REQUIRE(madvise(m.start(), m.bytes(), MADV_DONTNEED) == 0);
    Numbers found = tracker.get(m);
    CHECK(std::count(found.begin(), found.end(), 3) == 1);
    CHECK(ww_reset(tracker, m.start(), m.bytes()) == 0);
    CHECK(tracker.get(m).empty());
}

TEST_CASE("a part can be unwatched; the rest goes on, and the part can be watched again",
          "[native]")
{
    const auto [kind, name] = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    CAPTURE(name);
    const Tracker tracker;
    const Memory memory(kind, 64);
    const Mapping& m = *memory.mapping;
    REQUIRE(memory.watch(tracker) == 0);
    m.write({3, 20, 40});
    REQUIRE(ww_unwatch(tracker, m.at(16), 16 * page) == 0);
    m.write_all();
    CHECK(tracker.collect(m, WW_RESET, 0, 16, 64).size() == 16);
    CHECK(tracker.collect(m, WW_RESET, 32, 32, 64).size() == 32);
    CHECK(tracker.collect(m, 0, 16, 1, 1) == Numbers{~std::size_t{0}, ENOENT});
    CHECK(tracker.collect(m, 0, 0, 64, 64) == Numbers{~std::size_t{0}, ENOENT});
    // Pages of the part are plainly writable, for the kernel, too.
    int pipe_fds[2];
    REQUIRE(pipe(pipe_fds) == 0);
    REQUIRE(write(pipe_fds[1], "x", 1) == 1);
    CHECK(read(pipe_fds[0], m.at(17), 1) == 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);

    REQUIRE(ww_watch(tracker, m.at(16), 16 * page, 0) == 0);
    CHECK(tracker.collect(m, 0, 16, 16, 64).empty());
    m.write(17);
    CHECK(tracker.collect(m, 0, 16, 16, 64) == Numbers{17});
    CHECK(ww_watch(tracker, m.at(0), 17 * page, 0) == -EEXIST);
}

TEST_CASE("memory that was replaced and told so is clean and tracked", "[native]")
{
    const Tracker tracker;
    const Mapping m(64);
    REQUIRE(tracker.watch(m) == 0);
    m.write({3, 10, 20});
    REQUIRE(ww_latch(tracker, m.at(10), page) == 0);
    m.replace(8, 16);
    REQUIRE(ww_rearm(tracker, m.at(8), 16 * page) == 0);
    CHECK(tracker.get(m) == Numbers{3, 10});
    m.write({9, 20});
    CHECK(tracker.get_and_reset(m) == Numbers{3, 9, 10, 20});
    m.write({9});
    CHECK(tracker.get(m) == Numbers{9});
}

TEST_CASE("the kernel's writes into watched memory count", "[native]")
{
    if (is_mprotect())
        return; // they fail with EFAULT there: its documented limit
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m) == 0);
    int sockets[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    REQUIRE(send(sockets[0], "abcd", 4, 0) == 4);
    CHECK(recv(sockets[1], m.at(2) - 2, 4, 0) == 4);
    CHECK(tracker.get_and_reset(m) == Numbers{1, 2});
    REQUIRE(send(sockets[0], "abcd", 4, 0) == 4);
    CHECK(read(sockets[1], m.at(5), 4) == 4);
    CHECK(tracker.get_and_reset(m) == Numbers{5});
    close(sockets[0]);
    close(sockets[1]);
}

// ---- mappings that change without a word ----

TEST_CASE("a mapping replaced without telling: its writes are reported all the same",
          "[native][untold]")
{
    if (is_mprotect())
        return; // does not notice: documented at ww_rearm
    const auto [kind, name] = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    CAPTURE(name);
    const Tracker tracker;
    const Memory memory(kind, 64);
    const Mapping& m = *memory.mapping;
    REQUIRE(memory.watch(tracker) == 0);
    m.write({3, 40});
    m.replace(8, 16);
    m.write({9, 12});
    Numbers found = tracker.get_and_reset(m);
    for (const std::size_t written : Numbers{3, 9, 12, 40})
        CHECK(std::count(found.begin(), found.end(), written) == 1);
    // From here on exactly.
    m.write({10, 63});
    CHECK(tracker.get_and_reset(m) == Numbers{10, 63});

    // The same for a reset: what is written after it is reported.
    m.replace(8, 16);
    m.write(9);
    CHECK(ww_reset(tracker, m.start(), m.bytes()) == 0);
    CHECK(tracker.get(m).empty());
    m.write(11);
    CHECK(tracker.get(m) == Numbers{11});
}

TEST_CASE("a hole in a watched range is skipped", "[native][untold]")
{
    const Tracker tracker;
    const Mapping m(64);
    REQUIRE(tracker.watch(m) == 0);
    m.write({3, 40});
    if (is_mprotect()) {
        // The mechanism lives by page protections, of which a hole has none: tell it.
        REQUIRE(ww_unwatch(tracker, m.at(16), 8 * page) == 0);
        m.unmap(16, 8);
        CHECK(tracker.collect(m, WW_RESET, 0, 16, 64) == Numbers{3});
        CHECK(tracker.collect(m, WW_RESET, 24, 40, 64) == Numbers{40});
        return;
    }
    m.unmap(16, 8);
    CHECK(tracker.get_and_reset(m) == Numbers{3, 40});
    m.write({4, 41});
    CHECK(ww_latch(tracker, m.start(), m.bytes()) == 0);
    CHECK(tracker.get_and_reset(m) == Numbers{4, 41});
    // Something else moves in.
    REQUIRE(mmap(m.at(16), 4 * page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m.at(16));
    m.write({5, 17});
    const Numbers found = tracker.get_and_reset(m);
    for (const std::size_t written : Numbers{5, 17})
        CHECK(std::count(found.begin(), found.end(), written) == 1);
}

TEST_CASE("unwatch of a range whose memory is gone ends its watch", "[native][untold]")
{
    const Tracker tracker;
    const Mapping m(64);
    REQUIRE(tracker.watch(m) == 0);
    m.write({3, 40});
    const bool all = GENERATE(false, true);
    m.unmap(all ? 0 : 8, all ? 64 : 16);
    CHECK(ww_unwatch(tracker, m.start(), m.bytes()) == 0);
    CHECK(tracker.get(m) == Numbers{~std::size_t{0}, ENOENT});
    if (!all)
        m.write({0, 7, 24, 63}); // what is still there is plainly writable
}
