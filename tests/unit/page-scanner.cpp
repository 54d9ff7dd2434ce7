// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The loop around PAGEMAP_SCAN against a scripted kernel, and what we ask it.
#include "shim/backend/pagemap_scan.h"
#include "tests/support/catch.h"
#include "tests/support/pages.h"

#include <array>
#include <cerrno>
#include <deque>
#include <functional>
#include <vector>

using namespace writewatch;
using abi::PageRegion;
using abi::PmScanArg;
using backend::Mode;
using backend::PageScanner;
using backend::Run;
using backend::ScanQuery;
using test::pages;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr std::uintptr_t base = 0x7100'0000'0000;

struct Answer {
    int value = 0;                      // as the ioctl returns it: regions, or -errno
    std::vector<PageRange> copied = {}; // into the vector, whatever the value is
    std::uintptr_t walk_end = 0;
};

// Answers by script and keeps what it was asked.
class Kernel final : public backend::ScanDevice {
  public:
    int scan(PmScanArg& argument) noexcept override
    {
        asked.push_back(argument);
        if (script.empty())
            return -EDOM; // one question too many
        const Answer answer = script.front();
        script.pop_front();
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        auto* const vector = reinterpret_cast<PageRegion*>(argument.vec);
        for (std::size_t i = 0; i < answer.copied.size() && i < argument.vec_len; ++i)
            vector[i] = {answer.copied[i].start, answer.copied[i].end, abi::page_is_written};
        argument.walk_end = answer.walk_end;
        return answer.value;
    }

    std::deque<Answer> script;
    std::vector<PmScanArg> asked;
};

struct Scanner {
    Kernel kernel;
    PageScanner scanner;
    std::array<Run, 600> runs; // more than may be asked for at a time

    explicit Scanner(ScanQuery query = ScanQuery(true, false)) : scanner(kernel, query)
    {
        runs.fill({~0ULL, ~0ULL, ~0ULL}); // as uninitialized memory may be
    }

    Result<backend::ScanResult> scan(PageRange range, bool reset, std::size_t room = 512,
                                     std::size_t max_pages = 0, Mode mode = Mode::on_presence)
    {
        return scanner.scan({range, mode, reset, max_pages}, std::span(runs).first(room));
    }
    PageRange run(std::size_t i) const { return {runs[i].start, runs[i].end}; }
};

// A complete answer.
Answer complete(std::vector<PageRange> regions, std::uintptr_t end)
{
    const int count = static_cast<int>(regions.size());
    return {count, std::move(regions), end};
}

} // namespace

TEST_CASE("private memory is asked for written pages that are populated by more than a read",
          "[scan-query]")
{
    const auto action = GENERATE(ScanQuery::Action::read, ScanQuery::Action::reset);
    const PmScanArg argument =
        ScanQuery(true, false).written(pages(base, 3, 4), Mode::on_presence, action);
    CHECK(argument.size == 96);
    CHECK(argument.start == base + 3 * page_size);
    CHECK(argument.end == base + 7 * page_size);
    CHECK(argument.category_mask == (abi::page_is_written | abi::page_is_pfnzero));
    CHECK(argument.category_inverted == abi::page_is_pfnzero);
    CHECK(argument.category_anyof_mask == (abi::page_is_present | abi::page_is_swapped));
    CHECK(argument.return_mask == abi::page_is_written);
    CHECK(argument.flags ==
          (action == ScanQuery::Action::reset ? abi::pm_scan_wp_matching : std::uint64_t{0}));
    CHECK(argument.walk_end == 0);
    CHECK(argument.vec == 0);
    CHECK(argument.vec_len == 0);
    CHECK(argument.max_pages == 0);
}

TEST_CASE("where KSM uses the zero page, it does not count as clean", "[scan-query]")
{
    const PmScanArg argument =
        ScanQuery(false, false).written(pages(base, 0), Mode::on_presence, ScanQuery::Action::read);
    CHECK(argument.category_mask == abi::page_is_written);
    CHECK(argument.category_inverted == 0);
    CHECK(argument.category_anyof_mask == (abi::page_is_present | abi::page_is_swapped));
}

TEST_CASE("armed memory is asked for written pages only", "[scan-query]")
{
    const Mode mode = GENERATE(Mode::armed, Mode::armed_huge);
    const PmScanArg argument =
        ScanQuery(true, false).written(pages(base, 0), mode, ScanQuery::Action::reset);
    CHECK(argument.category_mask == abi::page_is_written);
    CHECK(argument.category_inverted == 0);
    CHECK(argument.category_anyof_mask == 0);
    CHECK(argument.return_mask == abi::page_is_written);
}

TEST_CASE("every query checks the registration when it is to be checked", "[scan-query]")
{
    const bool check = GENERATE(false, true);
    const ScanQuery query(true, check);
    const auto has_flag = [](const PmScanArg& argument) {
        return (argument.flags & abi::pm_scan_check_wpasync) != 0;
    };
    for (const Mode mode : {Mode::on_presence, Mode::armed, Mode::armed_huge}) {
        CHECK(has_flag(query.written(pages(base, 0), mode, ScanQuery::Action::read)) == check);
        CHECK(has_flag(query.written(pages(base, 0), mode, ScanQuery::Action::reset)) == check);
    }
    CHECK(has_flag(query.maybe_written(pages(base, 0))) == check);
    // The fast look resets nothing and is on the kernel's fast path: one category, no more.
    const PmScanArg look = query.maybe_written(pages(base, 0));
    CHECK((look.flags & abi::pm_scan_wp_matching) == 0);
    CHECK(look.category_mask == abi::page_is_written);
    CHECK(look.return_mask == abi::page_is_written);
    CHECK((look.category_anyof_mask | look.category_inverted) == 0);
}

TEST_CASE("a complete answer is taken as it is, whatever walk_end says", "[page-scanner]")
{
    Scanner scanner;
    const PageRange range = pages(base, 0, 4096);
    const std::uintptr_t walk_end = GENERATE_COPY(range.end, base + 3072 * page_size, base);
    scanner.kernel.script = {{2, {pages(base, 1), pages(base, 5, 3)}, walk_end}};
    const auto result = scanner.scan(range, true);
    REQUIRE(result);
    CHECK(result->runs == 2);
    CHECK(result->resume == range.end);
    CHECK(scanner.run(0) == pages(base, 1));
    CHECK(scanner.run(1) == pages(base, 5, 3));
    REQUIRE(scanner.kernel.asked.size() == 1);
    CHECK(scanner.kernel.asked[0].vec_len == 512);
    CHECK(scanner.kernel.asked[0].max_pages == 0);
}

TEST_CASE("the vector is no longer than the pages, the limit, the room or 512", "[page-scanner]")
{
    struct Case {
        std::size_t pages, room, max_pages, expected;
    };
    const auto [count, room, max_pages, expected] =
        GENERATE(Case{1, 512, 0, 1}, Case{8, 512, 0, 8}, Case{4096, 600, 0, 512},
                 Case{4096, 3, 0, 3}, Case{4096, 512, 100, 100}, Case{4096, 600, ~0UL, 512});
    Scanner scanner;
    scanner.kernel.script = {complete({}, base)};
    REQUIRE(scanner.scan(pages(base, 0, count), false, room, max_pages));
    CHECK(scanner.kernel.asked[0].vec_len == expected);
    CHECK(scanner.kernel.asked[0].max_pages == max_pages);
}

TEST_CASE("a full vector: the rest begins at walk_end", "[page-scanner]")
{
    Scanner scanner;
    const PageRange range = pages(base, 0, 64);
    scanner.kernel.script = {{2, {pages(base, 1), pages(base, 5)}, base + 9 * page_size}};
    const auto result = scanner.scan(range, true, 2);
    REQUIRE(result);
    CHECK(result->runs == 2);
    CHECK(result->resume == base + 9 * page_size);
}

TEST_CASE("the page limit hit: the rest begins at walk_end", "[page-scanner]")
{
    Scanner scanner;
    scanner.kernel.script = {{1, {pages(base, 2, 4)}, base + 6 * page_size}};
    const auto result = scanner.scan(pages(base, 0, 64), true, 512, 4);
    REQUIRE(result);
    CHECK(result->runs == 1);
    CHECK(result->resume == base + 6 * page_size);
}

TEST_CASE("a huge region is never cut by a page limit", "[page-scanner]")
{
    Scanner scanner;
    scanner.kernel.script = {complete({pages(base, 0, 512)}, base + 1024 * page_size)};
    const auto result = scanner.scan(pages(base, 0, 1024), true, 512, 4, Mode::armed_huge);
    REQUIRE(result);
    CHECK(scanner.kernel.asked[0].max_pages == 0);
    CHECK(result->resume == base + 1024 * page_size);
}

TEST_CASE("a walk_end beyond the range leads neither out of it nor past the rest", "[page-scanner]")
{
    Scanner scanner;
    const PageRange range = pages(base, 0, 64);
    scanner.kernel.script = {{1, {pages(base, 1)}, range.end + 7 * page_size}};
    const auto result = scanner.scan(range, false, 1);
    REQUIRE(result);
    CHECK(result->resume == base + 2 * page_size);
}

// A resume point before what was just returned would report pages twice, or forever.
TEST_CASE("a full vector with a walk_end that has not moved goes on behind the last region",
          "[page-scanner]")
{
    Scanner scanner;
    const std::uintptr_t walk_end = GENERATE(std::uintptr_t{0}, base, base + 5 * page_size);
    scanner.kernel.script = {{2, {pages(base, 1), pages(base, 5)}, walk_end}};
    const auto result = scanner.scan(pages(base, 0, 64), false, 2);
    REQUIRE(result);
    CHECK(result->runs == 2);
    CHECK(result->resume == base + 6 * page_size);
}

// What is in the regions is looked at by who expands them: watch-set.
TEST_CASE("more regions than there is room for are an error; of a reset, all pages",
          "[page-scanner]")
{
    const PageRange range = pages(base, 0, 64);
    const Answer answer{3, {pages(base, 1), pages(base, 5)}, base + 9 * page_size};
    Scanner scanner;
    scanner.kernel.script = {answer, answer};
    const auto read = scanner.scan(range, false, 2);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == EIO);
    const auto reset = scanner.scan(range, true, 2);
    REQUIRE(reset);
    CHECK(reset->runs == 1);
    CHECK(reset->resume == range.end);
    CHECK(scanner.run(0) == range);
}

TEST_CASE("a region that goes beyond what was asked about teaches nothing about what lies there",
          "[page-scanner]")
{
    const PageRange range = pages(base, 0, 4096);
    const PageRange behind = pages(base, 4096, 4096);
    backend::ArmedMap armed;
    REQUIRE(armed.open());
    REQUIRE(armed.reserve({range.start, behind.end}));
    Kernel kernel;
    PageScanner scanner(kernel, ScanQuery(true, false), &armed);
    const bool wraps = GENERATE(false, true);
    const std::uintptr_t end = wraps ? ~std::uintptr_t{0} : behind.end;
    CAPTURE(end);
    kernel.script = {complete({{range.start, end}}, range.end)};
    std::array<Run, 340> runs;
    (void)scanner.scan({range, Mode::on_presence, true, 0}, runs); // who expands it refuses it
    CHECK(armed.begins_armed(range));
    CHECK_FALSE(armed.begins_armed(behind));
}

TEST_CASE("an interrupted scan is asked again, with a clean vector", "[page-scanner]")
{
    Scanner scanner;
    scanner.kernel.script = {
        {-EINTR, {}, 0}, {-EINTR, {}, 0}, complete({pages(base, 4)}, base + 64 * page_size)};
    const bool reset = GENERATE(false, true);
    const auto result = scanner.scan(pages(base, 0, 64), reset);
    REQUIRE(result);
    CHECK(result->runs == 1);
    REQUIRE(scanner.kernel.asked.size() == 3);
    CHECK(scanner.kernel.asked[2].start == base);
    CHECK(scanner.kernel.asked[2].walk_end == 0);
}

TEST_CASE("an error before anything was consumed is the answer", "[page-scanner]")
{
    Scanner scanner;
    const int error = GENERATE(EPERM, ENOMEM, EFAULT, ESRCH, EINVAL);
    const bool reset = GENERATE(false, true);
    scanner.kernel.script = {{-error, {}, base + 64 * page_size}};
    const auto result = scanner.scan(pages(base, 0, 64), reset);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == error);
    CHECK(result.error().range == pages(base, 0, 64));
}

TEST_CASE("an error after pages were consumed: they are the answer, the error comes next",
          "[page-scanner]")
{
    Scanner scanner;
    const int error = GENERATE(EPERM, ENOMEM, EINTR);
    CAPTURE(error);
    // walk_end is no help: the kernel sets it to the end.
    scanner.kernel.script = {{-error, {pages(base, 1), pages(base, 5, 2)}, base + 64 * page_size},
                             {-EPERM, {}, 0}};
    const auto consumed = scanner.scan(pages(base, 0, 64), true);
    REQUIRE(consumed);
    CHECK(consumed->runs == 2);
    CHECK(scanner.run(0) == pages(base, 1));
    CHECK(scanner.run(1) == pages(base, 5, 2));
    CHECK(consumed->resume == base + 7 * page_size);
    const auto rest = scanner.scan({consumed->resume, base + 64 * page_size}, true);
    REQUIRE_FALSE(rest);
    CHECK(rest.error().code == EPERM);
}

TEST_CASE("an error after a whole vector was consumed loses none of it", "[page-scanner]")
{
    Scanner scanner;
    scanner.kernel.script = {{-ENOMEM, {pages(base, 1), pages(base, 5)}, base + 64 * page_size}};
    const auto consumed = scanner.scan(pages(base, 0, 64), true, 2);
    REQUIRE(consumed);
    CHECK(consumed->runs == 2);
    CHECK(consumed->resume == base + 6 * page_size);
}

TEST_CASE("an error of a scan that only reads is an error, whatever was copied", "[page-scanner]")
{
    Scanner scanner;
    scanner.kernel.script = {{-EPERM, {pages(base, 1)}, base + 64 * page_size}};
    const auto result = scanner.scan(pages(base, 0, 64), false);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == EPERM);
}

TEST_CASE("the cheap look: nothing, the first page, or the scan proper decides", "[page-scanner]")
{
    Scanner scanner;
    const PageRange large = pages(base, 0, 4096);
    SECTION("nothing was written")
    {
        scanner.kernel.script = {complete({}, large.end)};
        CHECK(scanner.scanner.skip_clean(large, Mode::on_presence).value() == large.end);
        CHECK(scanner.kernel.asked[0].vec_len == 1);
        CHECK((scanner.kernel.asked[0].flags & abi::pm_scan_wp_matching) == 0);
    }
    SECTION("something was")
    {
        scanner.kernel.script = {{1, {pages(base, 77, 3)}, base + 90 * page_size}};
        CHECK(scanner.scanner.skip_clean(large, Mode::on_presence).value() ==
              base + 77 * page_size);
    }
    SECTION("an error, or nonsense: look at everything")
    {
        const Answer answer = GENERATE(Answer{-EPERM}, Answer{-ENOMEM}, Answer{-EINTR}, Answer{2},
                                       Answer{1, {pages(base, 5000)}, 0}, Answer{1});
        scanner.kernel.script = {answer};
        CHECK(scanner.scanner.skip_clean(large, Mode::on_presence).value() == large.start);
    }
    SECTION("a small range, or memory that is armed: not worth it")
    {
        CHECK(scanner.scanner.skip_clean(pages(base, 0, 64), Mode::on_presence).value() == base);
        CHECK(scanner.scanner.skip_clean(large, Mode::armed).value() == base);
        CHECK(scanner.scanner.skip_clean(large, Mode::armed_huge).value() == base);
        CHECK(scanner.kernel.asked.empty());
    }
}

TEST_CASE("reset without results: no vector, no limit, again after EINTR", "[page-scanner]")
{
    Scanner scanner;
    scanner.kernel.script = {{-EINTR, {}, 0}, complete({}, base + 64 * page_size)};
    REQUIRE(scanner.scanner.reset(pages(base, 0, 64), Mode::on_presence));
    REQUIRE(scanner.kernel.asked.size() == 2);
    for (const PmScanArg& argument : scanner.kernel.asked) {
        CHECK((argument.flags & abi::pm_scan_wp_matching) != 0);
        CHECK(argument.vec == 0);
        CHECK(argument.vec_len == 0);
        CHECK(argument.start == base);
    }
}

TEST_CASE("reset of a large range starts at its first written page, or not at all",
          "[page-scanner]")
{
    Scanner scanner;
    const PageRange large = pages(base, 0, 4096);
    SECTION("all clean")
    {
        scanner.kernel.script = {complete({}, large.end)};
        REQUIRE(scanner.scanner.reset(large, Mode::on_presence));
        CHECK(scanner.kernel.asked.size() == 1);
    }
    SECTION("written from page 100 on")
    {
        scanner.kernel.script = {{1, {pages(base, 100)}, base + 101 * page_size},
                                 complete({}, large.end)};
        REQUIRE(scanner.scanner.reset(large, Mode::on_presence));
        CHECK(scanner.kernel.asked[1].start == base + 100 * page_size);
        CHECK(scanner.kernel.asked[1].end == large.end);
    }
}

TEST_CASE("reset passes errors on", "[page-scanner]")
{
    Scanner scanner;
    const int error = GENERATE(EPERM, ENOMEM, EFAULT);
    scanner.kernel.script = {{-error, {}, 0}};
    const auto result = scanner.scanner.reset(pages(base, 0, 64), Mode::on_presence);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == error);
}
