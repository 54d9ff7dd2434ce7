// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Random PAGEMAP_SCAN calls against a model of the whole ioctl: which errno wrong arguments get, in
// the order of the checks, and for right ones every region, the return value, walk_end, and which
// pages are armed afterwards. Our kernel's contract, docs/kernel-deviations.md included; mainline's
// differs where that file says so.
//
// WRITEWATCH_SEED repeats a run, WRITEWATCH_ROUNDS sets its length.
#include "tests/kernel/support.h"

#include <algorithm>
#include <array>
#include <random>

using namespace kerneltest;

namespace {

constexpr std::size_t span = 1100; // pages; more than one page table, more than one batch
constexpr std::uint64_t all_categories = 0xff;

std::mt19937_64 random_source;

std::uint64_t pick(std::uint64_t below)
{
    return random_source() % below;
}
bool one_in(std::uint64_t n)
{
    return pick(n) == 0;
}

// The address range under test: watched memory, memory that is not watched, and gaps.
class Range {
  public:
    explicit Range(const Tracker& tracker) : tracker_(tracker), memory_(span) { refresh(); }

    [[nodiscard]] std::uint64_t address(std::size_t page) const
    {
        return reinterpret_cast<std::uintptr_t>(memory_.page(page));
    }

    // Some random changes of what is mapped, watched and populated
    void change()
    {
        for (std::uint64_t i = 1 + pick(40); i > 0; --i) {
            const std::size_t first = pick(span);
            const std::size_t count = 1 + pick(std::min<std::size_t>(span - first, 64));
            switch (pick(8)) {
            case 0:
                if (one_in(4)) {
                    munmap(memory_.page(first), count * page_size);
                    mark(first, count, false, false);
                }
                break;
            case 1:
                memory_.replace(first, count);
                mark(first, count, true, false);
                break;
            case 2:
            case 3:
                if (std::all_of(mapped_.begin() + offset(first),
                                mapped_.begin() + offset(first + count),
                                [](bool yes) { return yes; })) {
                    tracker_.watch(memory_.page(first), count * page_size);
                    mark(first, count, true, true);
                }
                break;
            case 4:
                madvise(memory_.page(first), count * page_size, MADV_DONTNEED);
                break;
            case 5:
                if (mapped_[first])
                    memory_.read(first);
                break;
            default:
                for (std::size_t page = first; page < first + count; page += 1 + pick(3))
                    if (mapped_[page])
                        memory_.write(page);
            }
        }
    }

    // What the kernel says of each page when asked for everything and nothing is armed: the model
    // starts from there, so it need not know how categories come about.
    void refresh()
    {
        std::vector<PageRegion> vec(span);
        const Masks any{0, 0, 0, all_categories};
        PmScanArg arg = scan_arg(memory_.start(), memory_.size(), any);
        set_vec(arg, vec.data(), vec.size());
        const int count = tracker_.scan(arg);
        if (count < 0)
            die("PAGEMAP_SCAN");
        found_.fill(false);
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
            const std::size_t first = (vec[i].start - address(0)) / page_size;
            const std::size_t last = (vec[i].end - address(0)) / page_size;
            for (std::size_t page = first; page < last; ++page) {
                found_[page] = true;
                categories_[page] = vec[i].categories;
            }
        }
    }

    [[nodiscard]] bool mapped(std::size_t page) const { return found_[page]; }
    [[nodiscard]] std::uint64_t categories(std::size_t page) const { return categories_[page]; }
    [[nodiscard]] bool knows_mapped(std::size_t page) const { return mapped_[page]; }
    [[nodiscard]] bool watched(std::size_t page) const { return watched_[page]; }

  private:
    static std::ptrdiff_t offset(std::size_t page) { return static_cast<std::ptrdiff_t>(page); }
    void mark(std::size_t first, std::size_t count, bool mapped, bool watched)
    {
        std::fill_n(mapped_.begin() + offset(first), count, mapped);
        std::fill_n(watched_.begin() + offset(first), count, watched);
    }

    const Tracker& tracker_;
    Memory memory_;
    std::array<bool, span> found_{};
    std::array<std::uint64_t, span> categories_{};
    std::vector<bool> mapped_ = std::vector<bool>(span, true);
    std::vector<bool> watched_ = std::vector<bool>(span, false);
};

struct Expected {
    int result = 0; // regions, or -errno
    std::uint64_t walk_end = 0;
    std::vector<PageRegion> regions;
    std::vector<std::size_t> armed;  // pages
    std::vector<std::size_t> undone; // pages that were armed in vain; all count as written now
};

enum class Vector { none, good, unwritable };

// What the call must do, when its arguments are right
Expected model(const Range& range, const PmScanArg& arg, Vector vector)
{
    Expected expected;
    const std::uint64_t end = (arg.end + page_size - 1) / page_size * page_size;
    const std::size_t first = (arg.start - range.address(0)) / page_size;
    const std::size_t last = (end - range.address(0)) / page_size;
    const bool arm = (arg.flags & pm_scan_wp_matching) != 0;
    const bool output = vector != Vector::none && arg.vec_len > 0;
    std::uint64_t room = arg.max_pages == 0 ? ~std::uint64_t{0} : arg.max_pages;

    expected.walk_end = end;
    for (std::size_t page = first; page < last; ++page) {
        if ((arg.flags & pm_scan_check_wpasync) != 0 && range.knows_mapped(page) &&
            !range.watched(page)) {
            expected.result = -EPERM;
            expected.walk_end = arg.start;
            return expected;
        }
    }
    for (std::size_t page = first; page < last; ++page) {
        if (!range.mapped(page) || (arm && !range.watched(page)))
            continue;
        const std::uint64_t categories = range.categories(page);
        const std::uint64_t flipped = categories ^ arg.category_inverted;
        if ((flipped & arg.category_mask) != arg.category_mask ||
            (arg.category_anyof_mask != 0 && (flipped & arg.category_anyof_mask) == 0))
            continue;
        const std::uint64_t at = range.address(page);
        if (output) {
            const std::uint64_t returned = categories & arg.return_mask;
            auto& regions = expected.regions;
            const bool continues = !regions.empty() && regions.back().end == at &&
                                   regions.back().categories == returned;
            if (room == 0 || (!continues && regions.size() == arg.vec_len)) {
                expected.walk_end = at;
                break;
            }
            if (continues)
                regions.back().end += page_size;
            else
                regions.push_back({at, at + page_size, returned});
            --room;
        }
        if (arm)
            expected.armed.push_back(page);
    }
    expected.result = static_cast<int>(expected.regions.size());
    // Nothing can be delivered into this vector: the first batch fails, and takes nothing.
    if (vector == Vector::unwritable && expected.result > 0) {
        expected.result = -EFAULT;
        expected.walk_end = arg.start;
        expected.regions.clear();
        expected.undone.swap(expected.armed);
    }
    return expected;
}

std::uint64_t random_mask()
{
    switch (pick(5)) {
    case 0:
        return 0;
    case 1:
        return page_is_written;
    case 2:
        return std::uint64_t{1} << pick(8);
    case 3:
        return (std::uint64_t{1} << pick(8)) | (std::uint64_t{1} << pick(8));
    default:
        return pick(all_categories + 1);
    }
}

// Makes one argument wrong and says which errno that must give; 0: left as it is. `stage` is the
// place of the check in the kernel's order, to combine wrong arguments.
int spoil(PmScanArg& arg, unsigned stage)
{
    const std::uint64_t bad_category = std::uint64_t{0x100} << pick(56);
    const std::uint64_t kernel_address = 0xffff'8000'0000'0000;
    switch (stage) {
    case 0:
        arg.size = one_in(2) ? pick(200) : random_source();
        return arg.size == sizeof(arg) ? 0 : EINVAL;
    case 1:
        arg.flags |= std::uint64_t{4} << pick(62);
        return EINVAL;
    case 2:
        switch (pick(4)) {
        case 0:
            arg.category_inverted |= bad_category;
            break;
        case 1:
            arg.category_mask |= bad_category;
            break;
        case 2:
            arg.category_anyof_mask |= bad_category;
            break;
        default:
            arg.return_mask |= bad_category;
        }
        return EINVAL;
    case 3:
        arg.start += 1 + pick(page_size - 1);
        return EINVAL;
    case 4:
        if (one_in(2))
            arg.end = arg.start - 1 - pick(arg.start);
        else
            arg.end = kernel_address + pick(1U << 30);
        return EFAULT;
    case 5:
        arg.vec = 0;
        arg.vec_len = 1 + pick(1000);
        return EINVAL;
    default:
        if (arg.vec == 0)
            return 0;
        if (one_in(2))
            arg.vec = kernel_address;
        else
            arg.vec_len = ~std::uint64_t{0} / (1 + pick(1U << 16));
        // Its length in bytes saturates or reaches into the kernel's half.
        return EFAULT;
    }
}

bool report(const PmScanArg& arg, const char* what, std::uint64_t round)
{
    ++failures;
    std::fprintf(
        stderr,
        "FAILED: round %llu: %s\n  flags %llx start %llx end %llx walk_end %llx vec %llx "
        "vec_len %llu max_pages %llu inverted %llx mask %llx anyof %llx return %llx\n",
        static_cast<unsigned long long>(round), what, static_cast<unsigned long long>(arg.flags),
        static_cast<unsigned long long>(arg.start), static_cast<unsigned long long>(arg.end),
        static_cast<unsigned long long>(arg.walk_end), static_cast<unsigned long long>(arg.vec),
        static_cast<unsigned long long>(arg.vec_len),
        static_cast<unsigned long long>(arg.max_pages),
        static_cast<unsigned long long>(arg.category_inverted),
        static_cast<unsigned long long>(arg.category_mask),
        static_cast<unsigned long long>(arg.category_anyof_mask),
        static_cast<unsigned long long>(arg.return_mask));
    return false;
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise)
{
    const char* const value = std::getenv(variable);
    return value != nullptr ? std::strtoull(value, nullptr, 0) : otherwise;
}

} // namespace

int main()
{
    const std::uint64_t seed = number_from("WRITEWATCH_SEED", std::random_device{}());
    const std::uint64_t rounds = number_from("WRITEWATCH_ROUNDS", 20'000);
    note("WRITEWATCH_SEED=%llu", static_cast<unsigned long long>(seed));
    random_source.seed(seed);

    const Tracker tracker;
    Range range(tracker);
    std::vector<PageRegion> vec(2 * span);
    const Memory unwritable(16);
    unwritable.protect(PROT_READ);
    std::uint64_t wrong = 0;
    std::uint64_t right = 0;
    std::uint64_t armed = 0;

    for (std::uint64_t round = 0; round < rounds && failures < 10; ++round) {
        if (one_in(8))
            range.change();
        range.refresh();

        std::size_t first = pick(span + 1);
        std::size_t last = pick(span + 1);
        if (first > last)
            std::swap(first, last);
        const Masks masks{random_mask(), random_mask(), random_mask(), random_mask()};
        PmScanArg arg = scan_arg(nullptr, 0, one_in(4) ? qualified : masks, pick(4));
        arg.start = range.address(first);
        arg.end = range.address(last) - (last > first ? pick(page_size) : 0);
        arg.walk_end = 0x5555;
        arg.max_pages = one_in(2) ? 0 : pick(span);
        Vector vector = Vector::none;
        if (!one_in(3)) {
            vector = one_in(6) ? Vector::unwritable : Vector::good;
            set_vec(arg,
                    vector == Vector::good ? vec.data()
                                           : reinterpret_cast<PageRegion*>(unwritable.start()),
                    one_in(2) ? vec.size() : pick(20));
            if (vector == Vector::unwritable)
                arg.vec_len %= 16 * page_size / sizeof(PageRegion);
        }

        // Wrong arguments: the earliest check decides.
        int error = 0;
        if (one_in(3)) {
            for (unsigned stage = 7; stage-- > 0;) {
                if (one_in(4)) {
                    const int now = spoil(arg, stage);
                    error = now != 0 ? now : error;
                }
            }
        }
        const PmScanArg before = arg;
        if (error != 0) {
            ++wrong;
            if (tracker.scan(arg) != -1 || errno != error)
                report(arg, "wrong arguments, wrong errno", round);
            if (std::memcmp(&arg, &before, sizeof(arg)) != 0)
                report(arg, "wrong arguments, but something was written", round);
            continue;
        }

        ++right;
        const Expected expected = model(range, arg, vector);
        const int count = tracker.scan(arg);
        const int result = count < 0 ? -errno : count;
        if (result != expected.result) {
            note("result %d, expected %d", result, expected.result);
            report(arg, "the result is wrong", round);
            continue;
        }
        if (arg.walk_end != expected.walk_end)
            report(arg, "walk_end is wrong", round);
        for (std::size_t i = 0; i < expected.regions.size(); ++i) {
            if (std::memcmp(&vec[i], &expected.regions[i], sizeof(PageRegion)) != 0) {
                report(arg, "a region is wrong", round);
                break;
            }
        }
        armed += expected.armed.size();

        // The pages that had to be armed are not written now, all others are what they were.
        std::array<std::uint64_t, span> old{};
        for (std::size_t page = 0; page < span; ++page)
            old[page] = range.categories(page);
        range.refresh();
        for (std::size_t page = 0; page < span; ++page) {
            const bool was_armed =
                std::binary_search(expected.armed.begin(), expected.armed.end(), page);
            if (!range.mapped(page))
                continue;
            const std::uint64_t now = range.categories(page) & page_is_written;
            const bool was_undone =
                std::binary_search(expected.undone.begin(), expected.undone.end(), page);
            std::uint64_t wanted = old[page] & page_is_written;
            if (was_armed)
                wanted = 0;
            else if (was_undone)
                wanted = page_is_written;
            if (now != wanted) {
                note("page %zu: %llx, was %llx", page,
                     static_cast<unsigned long long>(range.categories(page)),
                     static_cast<unsigned long long>(old[page]));
                report(arg, was_armed ? "a page was not armed" : "a page was armed", round);
                break;
            }
        }
    }
    note("%llu wrong calls, %llu right ones, %llu pages armed",
         static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(right),
         static_cast<unsigned long long>(armed));
    return finish();
}
