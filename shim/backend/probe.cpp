// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/backend/probe.h"

#include "shim/backend/pagemap_scan.h"
#include "shim/sys/log.h"
#include "shim/sys/memory.h"
#include "shim/sys/pagemap.h"
#include "shim/sys/userfaultfd.h"

#include <array>
#include <cerrno>
#include <functional>
#include <sys/mman.h>

namespace writewatch::backend {

namespace {

constexpr std::size_t scratch_pages = 8;

// Memory to try things on.
class Scratch {
  public:
    explicit Scratch(std::size_t pages) noexcept
        : range_(sys::map_anonymous(pages * page_size, PROT_READ | PROT_WRITE))
    {
        if (range_)
            (void)sys::empty(*range_);
    }
    ~Scratch()
    {
        if (range_)
            (void)sys::unmap(*range_);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    const Result<PageRange>& range() const noexcept { return range_; }

    volatile char& page(std::size_t index) const noexcept
    {
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        return *reinterpret_cast<volatile char*>(range_->start + index * page_size);
    }

  private:
    Result<PageRange> range_;
};

// The indexes of the written pages of the range, as bits.
Result<std::uint64_t> written_pages(Backend& backend, PageRange range, bool reset) noexcept
{
    std::array<Run, scratch_pages> runs{};
    std::uint64_t bits = 0;
    for (PageRange rest = range; !rest.empty();) {
        const auto result = backend.scan(
            {.range = rest, .mode = Mode::on_presence, .reset = reset, .max_pages = 0}, runs);
        if (!result)
            return tl::unexpected(result.error());
        for (std::size_t i = 0; i < result->runs; ++i) {
            for (std::uint64_t page = runs[i].start; page < runs[i].end; page += page_size)
                bits |= std::uint64_t{1} << ((page - range.start) >> page_shift);
        }
        rest.start = result->resume;
    }
    return bits;
}

Result<void> expect(Backend& backend, PageRange range, bool reset, std::uint64_t expected,
                    const char* step) noexcept
{
    const auto bits = written_pages(backend, range, reset);
    if (!bits)
        return tl::unexpected(bits.error());
    if (*bits != expected)
        return fail(EIO, step, range);
    return {};
}

// Write, read back, reset, read back, write again: the whole promise on eight pages.
Result<void> try_tracking(PagemapScan& backend) noexcept
{
    const Scratch scratch(scratch_pages);
    if (!scratch.range())
        return tl::unexpected(scratch.range().error());
    const PageRange range = *scratch.range();
    if (auto ok = backend.track({.range = range}); !ok)
        return ok;
    if (auto ok = expect(backend, range, false, 0, "fresh pages read as written"); !ok)
        return ok;
    scratch.page(1) = 1;
    scratch.page(3) = 1;
    [[maybe_unused]] const char read_only = scratch.page(5);
    const std::uint64_t read = backend.reads_are_clean() ? 0 : 0b100000;
    if (auto ok = expect(backend, range, true, 0b1010 | read, "the first writes are not seen"); !ok)
        return ok;
    if (auto ok = expect(backend, range, false, 0, "a reset does not last"); !ok)
        return ok;
    scratch.page(3) = 2;
    scratch.page(5) = 1;
    if (auto ok = expect(backend, range, true, 0b101000, "writes after a reset are not seen"); !ok)
        return ok;
    scratch.page(1) = 3;
    if (auto ok = backend.reset(range, Mode::on_presence); !ok)
        return ok;
    return expect(backend, range, false, 0, "a reset without results does not last");
}

// Pages that are dropped are clean again, those beside them stay as they were.
Result<void> try_dropping(Backend& backend) noexcept
{
    const Scratch scratch(scratch_pages);
    if (!scratch.range())
        return tl::unexpected(scratch.range().error());
    const PageRange range = *scratch.range();
    if (auto ok = backend.track({.range = range}); !ok)
        return ok;
    scratch.page(0) = 1;
    scratch.page(1) = 1;
    scratch.page(2) = 1;
    const PageRange dropped{range.start + page_size, range.start + 2 * page_size};
    if (auto ok = sys::advise(dropped, MADV_DONTNEED); !ok)
        return ok;
    return expect(backend, range, false, 0b101, "dropped pages read as written");
}

std::string advice(std::string_view capability, int error)
{
    if (capability == "userfaultfd" && error == EPERM)
        return "forbidden: a seccomp filter (container), or vm.unprivileged_userfaultfd where the "
               "kernel is older than 5.11";
    if (capability == "userfaultfd" && error == ENOSYS)
        return "the kernel is built without CONFIG_USERFAULTFD, or a seccomp filter hides it";
    if (capability == "wp-async" && error == EINVAL)
        return "needs Linux 6.7, or 6.1 with kernel-patches/6.1";
    if (error == EMFILE)
        return "the process may open no more files (RLIMIT_NOFILE, ulimit -n)";
    if (capability == "pagemap-scan" && error == EPERM)
        return "forbidden: a seccomp filter";
    if (capability == "pagemap")
        return "needs /proc mounted and readable";
    if (capability == "pagemap-scan" && (error == ENOTTY || error == EINVAL))
        return "needs Linux 6.7, or 6.1 with kernel-patches/6.1";
    return {};
}

class Prober {
  public:
    void add(std::string_view name, std::string_view how,
             const std::function<Result<void>()>& attempt)
    {
        Capability capability{name, false, 0, how, {}};
        if (!report_.reason.empty()) {
            capability.reason = "not tried: an earlier step failed";
        } else if (const auto ok = attempt(); ok) {
            capability.supported = true;
        } else {
            capability.error = ok.error().code;
            capability.reason = describe(ok.error());
            if (const std::string hint = advice(name, ok.error().code); !hint.empty())
                capability.reason += "; " + hint;
            report_.reason = std::string(name) + ": " + capability.reason;
        }
        report_.capabilities.push_back(std::move(capability));
    }

    // About the last one, if it is supported.
    void note(std::string_view text)
    {
        if (report_.capabilities.back().supported)
            report_.capabilities.back().reason = text;
    }

    ProbeReport finish()
    {
        report_.pagemap_scan = report_.reason.empty();
        return std::move(report_);
    }

  private:
    ProbeReport report_;
};

Result<void> ask_empty_scan()
{
    const auto pagemap = sys::Pagemap::open();
    if (!pagemap)
        return tl::unexpected(pagemap.error());
    abi::PmScanArg argument = ScanQuery(true, false).maybe_written({});
    if (const int answer = pagemap->scan(argument); answer < 0)
        return fail(-answer, "PAGEMAP_SCAN");
    return {};
}

template<typename T> Result<void> without_value(const Result<T>& result)
{
    if (!result)
        return tl::unexpected(result.error());
    return {};
}

} // namespace

ProbeReport probe_pagemap_scan()
{
    Prober prober;
    std::unique_ptr<PagemapScan> backend;
    prober.add("userfaultfd", "userfaultfd(UFFD_USER_MODE_ONLY)",
               [] { return sys::Userfaultfd::try_open(); });
    prober.add("wp-async", "UFFDIO_API with UFFD_FEATURE_WP_ASYNC",
               [] { return without_value(sys::Userfaultfd::open()); });
    prober.add("pagemap", "open /proc/self/pagemap",
               [] { return without_value(sys::Pagemap::open()); });
    prober.add("pagemap-scan", "PAGEMAP_SCAN of an empty range", ask_empty_scan);
    prober.add("tracking", "write, scan, reset, scan on scratch pages", [&]() -> Result<void> {
        auto opened = PagemapScan::open({});
        if (!opened)
            return tl::unexpected(opened.error());
        backend = std::move(*opened);
        return try_tracking(*backend);
    });
    if (backend != nullptr && !backend->reads_are_clean())
        prober.note("pages that were only read are reported, too: KSM may merge written pages into "
                    "the zero page (/sys/kernel/mm/ksm/use_zero_pages is 1)");
    prober.add("dropped-pages", "MADV_DONTNEED of a written scratch page",
               [&] { return try_dropping(*backend); });
    return prober.finish();
}

} // namespace writewatch::backend
