// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The backend that the kernel tracks for, on real memory: what it asks of the kernel for a range
// (docs/kernel-interface.md), and what a fork's child gets.
#include "shim/backend/pagemap_scan.h"
#include "shim/backend/select.h"
#include "shim/sys/log.h"
#include "shim/sys/mapping.h"
#include "tests/support/catch.h"
#include "tests/support/pages.h"

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace writewatch;
using namespace writewatch::backend;
using test::pages;

namespace {

constexpr std::size_t page_count = 16;

// A mapping between inaccessible pages, so that it does not merge with a neighbour.
class Memory {
  public:
    explicit Memory(int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1,
                    std::size_t count = page_count)
        : count_(count)
    {
        whole_ =
            mmap(nullptr, (count_ + 2) * page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(whole_ != MAP_FAILED);
        base_ = reinterpret_cast<std::uintptr_t>(whole_) + page_size;
        REQUIRE(mmap(pointer(0), count_ * page_size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
                     0) != MAP_FAILED);
    }
    ~Memory() { munmap(whole_, (count_ + 2) * page_size); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    std::size_t count() const { return count_; }
    PageRange range() const { return pages(base_, 0, count_); }
    void* pointer(std::size_t page) const
    {
        return reinterpret_cast<void*>(base_ +
                                       page * page_size); // NOLINT(performance-no-int-to-ptr)
    }
    void write(std::size_t page) const { *static_cast<volatile char*>(pointer(page)) = 1; }
    char read(std::size_t page) const { return *static_cast<volatile char*>(pointer(page)); }

  private:
    std::size_t count_;
    void* whole_ = nullptr;
    std::uintptr_t base_ = 0;
};

std::unique_ptr<PagemapScan> open_backend(PagemapScanOptions options = {})
{
    auto backend = PagemapScan::open(options);
    REQUIRE(backend);
    return std::move(*backend);
}

// The numbers of the written pages; the errno value, negative and alone, of a scan that fails.
std::vector<long> written(Backend& backend, PageRange range, Mode mode, bool reset = false)
{
    std::array<Run, page_count> runs{};
    const auto result =
        backend.scan({.range = range, .mode = mode, .reset = reset, .max_pages = 0}, runs);
    if (!result)
        return {-result.error().code};
    std::vector<long> numbers;
    for (std::size_t i = 0; i < result->runs; ++i) {
        for (std::uintptr_t page = runs[i].start; page < runs[i].end; page += page_size)
            numbers.push_back(static_cast<long>((page - range.start) / page_size));
    }
    return numbers;
}

// What a read of every page makes written: nothing, whatever was known of the pages before.
std::vector<long> written_by_reading(Backend& backend, const Memory& memory)
{
    for (std::size_t page = 0; page < memory.count(); ++page)
        (void)memory.read(page);
    return written(backend, memory.range(), Mode::on_presence);
}

// The flags of the mapping that begins at the address (proc(5), VmFlags), each between spaces.
std::string flags_of(std::uintptr_t start)
{
    std::ifstream smaps("/proc/self/smaps");
    std::ostringstream begin;
    begin << std::hex << start << '-';
    bool inside = false;
    for (std::string line; std::getline(smaps, line);) {
        if (line.rfind(begin.str(), 0) == 0)
            inside = true;
        if (inside && line.rfind("VmFlags:", 0) == 0)
            return line.substr(8) + " ";
    }
    return {};
}

} // namespace

std::optional<test::Missing> test::missing()
{
    const auto backend = PagemapScan::open({});
    if (backend)
        return std::nullopt;
    return Missing{"pagemap-scan", describe(backend.error())};
}

// One write to a huge page would report 512 pages; KSM could merge a written page of zeroes into
// the zero page, which reads as clean.
TEST_CASE("tracked private memory has no huge pages and is not merged", "[kernel-tracking]")
{
    const Memory memory;
    const bool has_ksm = madvise(memory.pointer(0), page_count * page_size, MADV_MERGEABLE) == 0;
    if (!has_ksm)
        WARN("this kernel merges no pages");
    REQUIRE((flags_of(memory.range().start).find(" mg ") != std::string::npos) == has_ksm);
    const auto backend = open_backend();
    REQUIRE(backend->track({.range = memory.range()}));
    const std::string flags = flags_of(memory.range().start);
    CHECK(flags.find(" nh ") != std::string::npos);
    CHECK(flags.find(" mg ") == std::string::npos);
}

TEST_CASE("what memory holds when its tracking begins", "[kernel-tracking]")
{
    const Memory memory;
    memory.write(3);
    const auto backend = open_backend();
    const auto track = [&](Contents contents) {
        REQUIRE(backend->track({.range = memory.range(), .contents = contents}));
        return written(*backend, memory.range(), Mode::on_presence);
    };
    CHECK(track(Contents::written) == std::vector<long>{3});
    CHECK(track(Contents::clean).empty());
    memory.write(5);
    CHECK(track(Contents::written) == std::vector<long>{5});
}

// Such a page can leave the page table and keep its content: presence says nothing.
TEST_CASE("armed memory is clean by itself and reports what is written", "[kernel-tracking]")
{
    const Memory memory(MAP_SHARED | MAP_ANONYMOUS);
    memory.write(1);
    const auto backend = open_backend();
    REQUIRE(backend->track(
        {.range = memory.range(), .mode = Mode::armed, .contents = Contents::clean}));
    CHECK(memory.read(2) == 0);
    CHECK(written(*backend, memory.range(), Mode::armed).empty());
    memory.write(1);
    memory.write(9);
    CHECK(written(*backend, memory.range(), Mode::armed) == std::vector<long>{1, 9});
}

// Pages that a reset returned are armed, until their contents are dropped; then a read makes them
// present and not armed, without being a write.
TEST_CASE("what is dropped is not taken for armed any more", "[kernel-tracking]")
{
    constexpr std::size_t many = 4096; // a part of its own has 2048 at least
    const Memory memory(MAP_PRIVATE | MAP_ANONYMOUS, -1, many);
    const auto backend = open_backend({.check_registration = false, .drops_are_told = true});
    REQUIRE(backend->track({.range = memory.range()}));
    for (std::size_t page = 0; page < many; ++page)
        memory.write(page);
    REQUIRE(written(*backend, memory.range(), Mode::on_presence, true).size() == many);
    REQUIRE(written_by_reading(*backend, memory).empty());

    REQUIRE(madvise(memory.pointer(0), many * page_size, MADV_DONTNEED) == 0);
    const bool mapping_replaced = GENERATE(false, true);
    if (mapping_replaced)
        REQUIRE(backend->track({.range = memory.range()}));
    else
        backend->dropped(memory.range());
    CHECK(written_by_reading(*backend, memory).empty());
    memory.write(700);
    CHECK(written(*backend, memory.range(), Mode::on_presence) == std::vector<long>{700});
}

TEST_CASE("a lost registration is found out where it is to be checked", "[kernel-tracking]")
{
    const Memory memory;
    const auto backend = open_backend({.check_registration = true, .drops_are_told = false});
    REQUIRE(backend->track({.range = memory.range()}));
    REQUIRE(mmap(memory.pointer(4), page_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    CHECK(written(*backend, memory.range(), Mode::on_presence) == std::vector<long>{-EPERM});
}

// An inherited pagemap file is the parent's: a child would read, and reset, the parent's pages.
TEST_CASE("a child's handles are its own", "[kernel-tracking][fork]")
{
    const Memory memory;
    const auto backend = open_backend();
    REQUIRE(backend->track({.range = memory.range()}));
    memory.write(2);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (!backend->reopen_after_fork() ||
            !backend->track({.range = memory.range(), .contents = Contents::written}))
            _exit(1);
        memory.write(7);
        if (written(*backend, memory.range(), Mode::on_presence, true) != std::vector<long>{2, 7})
            _exit(2);
        _exit(written(*backend, memory.range(), Mode::on_presence).empty() ? 0 : 3);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(written(*backend, memory.range(), Mode::on_presence) == std::vector<long>{2});
}

// Pages of a private file mapping that were dropped from memory keep their content: they are not
// anonymous, although private.
TEST_CASE("only private memory without a file counts as private anonymous", "[mapping]")
{
    const auto is_private_anonymous = [](int flags, int fd) {
        const Memory memory(flags, fd);
        const auto mapping = sys::inspect_mapping(memory.range());
        REQUIRE(mapping);
        return mapping->private_anonymous;
    };
    const int file = memfd_create("mapping", MFD_CLOEXEC);
    REQUIRE(file >= 0);
    REQUIRE(ftruncate(file, page_count * page_size) == 0);
    CHECK(is_private_anonymous(MAP_PRIVATE | MAP_ANONYMOUS, -1));
    CHECK_FALSE(is_private_anonymous(MAP_SHARED | MAP_ANONYMOUS, -1));
    CHECK_FALSE(is_private_anonymous(MAP_PRIVATE, file));
    CHECK_FALSE(is_private_anonymous(MAP_SHARED, file));
    close(file);
}

TEST_CASE("a backend is chosen by its name, and by no other", "[select]")
{
    CHECK(select("pagemap-scan", {}).backend->name() == "pagemap-scan");
    for (const char* const name : {"pagemap", "PAGEMAP-SCAN", "", "none"}) {
        const Selection selection = select(name, {});
        CHECK(selection.backend == nullptr);
        CHECK(selection.error == EINVAL);
        CHECK(selection.reason.find("allowed: auto, pagemap-scan, mprotect") != std::string::npos);
    }
}
