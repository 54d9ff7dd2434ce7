// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/page_map.h"

#include "shim/tool/text.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace writewatch::tool {

namespace {

struct Look {
    char symbol;
    int background; // of the 256 colours that terminals share (xterm)
    int foreground;
    const char* meaning;
};

// The first that most of a cell's pages have is how the cell looks. Brightness alone tells written
// from the rest, letters tell the rest apart: colours only help.
struct StateLook {
    PageState state;
    Look look;
};
constexpr std::array<StateLook, 5> state_looks{{
    {page_elsewhere, {'&', 136, 230, "in memory, and mapped by another process, too"}},
    {page_swapped, {'s', 96, 225, "swapped out, or armed and never touched"}},
    {page_file, {'f', 24, 153, "of a file, or shared anonymous memory"}},
    {page_zero, {'z', 238, 250, "zero page: was read, never written"}},
    {page_present, {'.', 29, 121, "in memory, clean, mapped only here"}},
}};
constexpr Look untouched{' ', 234, 240, "never touched"};
// A tenth to all of a cell's pages.
constexpr std::array<int, 10> written_ramp{52, 88, 124, 160, 196, 202, 208, 214, 220, 226};

std::size_t tenth(std::size_t part, std::size_t whole)
{
    return part == whole ? 10 : std::clamp<std::size_t>(part * 10 / whole, 1, 9);
}

Look look_of(const PageMap& map, std::size_t index)
{
    const PageMap::Cell& cell = map.cells()[index];
    if (const std::size_t written = cell.pages[PageMap::index_of(page_written)]; written != 0) {
        const std::size_t share = tenth(written, map.cell_pages(index));
        const char symbol = share == 10 ? '#' : static_cast<char>('0' + share);
        return {symbol, written_ramp[share - 1], share >= 6 ? 16 : 231, ""};
    }
    if (cell.populated == 0)
        return untouched;
    // A state that only a few pages have still says more than "in memory".
    const StateLook* best = &state_looks.back();
    std::size_t most = 0;
    for (const StateLook& candidate : state_looks) {
        const std::size_t pages = cell.pages[PageMap::index_of(candidate.state)];
        const bool plain = candidate.state == page_present;
        if (pages > most && !(plain && most > 0)) {
            best = &candidate;
            most = pages;
        }
    }
    return best->look;
}

std::string paint(const Look& look)
{
    return fmt::format("\033[48;5;{};38;5;{}m{}", look.background, look.foreground, look.symbol);
}

constexpr const char* plain_text = "\033[0m";

// One entry of the legend.
std::string legend_line(const Look& look, std::size_t pages, std::size_t all, const char* meaning,
                        bool color)
{
    const std::string sample = color ? paint(look) + plain_text : std::string(1, look.symbol);
    return fmt::format("  {} {:>13} {:>6.1f} %  {}\n", sample, human_count(pages),
                       100.0 * static_cast<double>(pages) / static_cast<double>(all), meaning);
}

} // namespace

std::size_t PageMap::index_of(PageState state)
{
    return static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(state)));
}

PageMap::PageMap(PageRange range, std::size_t max_cells) : range_(range)
{
    const std::size_t pages = range.pages();
    while ((pages + pages_per_cell_ - 1) / pages_per_cell_ > max_cells)
        pages_per_cell_ *= 2;
    cells_.resize((pages + pages_per_cell_ - 1) / pages_per_cell_);
}

std::size_t PageMap::cell_pages(std::size_t cell) const
{
    return std::min(pages_per_cell_, range_.pages() - cell * pages_per_cell_);
}

void PageMap::add(PageRange run, unsigned states)
{
    run = run.intersect(range_);
    while (!run.empty()) {
        const std::size_t first = (run.start - range_.start) >> page_shift;
        const std::size_t cell = first / pages_per_cell_;
        const std::uintptr_t cell_end =
            range_.start + (((cell + 1) * pages_per_cell_) << page_shift);
        const std::size_t pages =
            PageRange{run.start, std::min<std::uintptr_t>(run.end, cell_end)}.pages();
        cells_[cell].populated += static_cast<std::uint32_t>(pages);
        populated_ += pages;
        for (std::size_t bit = 0; bit < page_state_bits; ++bit) {
            if ((states >> bit & 1U) != 0) {
                cells_[cell].pages[bit] += static_cast<std::uint32_t>(pages);
                totals_[bit] += pages;
            }
        }
        run.start += pages << page_shift;
    }
}

char symbol(const PageMap& map, std::size_t cell)
{
    return look_of(map, cell).symbol;
}

std::string render(const PageMap& map, const MapStyle& style, bool knows_written)
{
    // "0x7f0000000000|" before, "|" after. A round number of cells reads better: 64 in 80 columns.
    constexpr std::size_t margin = 16;
    std::size_t per_line = style.width > margin + 16 ? style.width - margin : 16;
    per_line = std::min<std::size_t>(per_line >= 64 ? per_line / 64 * 64 : per_line / 16 * 16, 128);

    const std::size_t cell_bytes = map.pages_per_cell() << page_shift;
    std::string text =
        map.pages_per_cell() == 1
            ? fmt::format("each cell: one page, {}; each line: {}\n", human_size(page_size),
                          human_size(per_line * cell_bytes))
            : fmt::format("each cell: {} pages, {}; each line: {}\n", map.pages_per_cell(),
                          human_size(cell_bytes), human_size(per_line * cell_bytes));
    const std::size_t count = map.cells().size();
    std::size_t skipped = 0;
    for (std::size_t line = 0; line < count; line += per_line) {
        const std::size_t end = std::min(line + per_line, count);
        // Long stretches that nobody touched are one line.
        const bool empty = std::all_of(map.cells().begin() + static_cast<std::ptrdiff_t>(line),
                                       map.cells().begin() + static_cast<std::ptrdiff_t>(end),
                                       [](const PageMap::Cell& cell) { return !cell.populated; });
        if (empty && end < count) {
            ++skipped;
            continue;
        }
        if (skipped > 0)
            text += fmt::format("{:>14} ({} never touched)\n", "...",
                                human_size(skipped * per_line * cell_bytes));
        skipped = 0;
        text += fmt::format("{:>14}{}", hex_address(map.range().start + line * cell_bytes),
                            style.color ? " " : "|");
        for (std::size_t cell = line; cell < end; ++cell) {
            const Look look = look_of(map, cell);
            text += style.color ? paint(look) : std::string(1, look.symbol);
        }
        text += style.color ? plain_text : "|";
        text += '\n';
    }

    const std::size_t all = map.range().pages();
    text += fmt::format("\n  {} pages\n", human_count(all));
    if (knows_written) {
        const Look look{'#', written_ramp.back(), 16, ""};
        text += legend_line(look, map.count(page_written), all,
                            map.pages_per_cell() == 1
                                ? "written since the last reset"
                                : "written since the last reset (1-9: tenths of a cell)",
                            style.color);
    } else {
        text += "  what was written is not known: that takes the backend pagemap-scan\n";
    }
    for (const StateLook& entry : state_looks) {
        if (const std::size_t pages = map.count(entry.state); pages != 0) {
            const bool includes = entry.state == page_present && knows_written;
            text += legend_line(entry.look, pages, all,
                                includes ? "in memory, written or clean" : entry.look.meaning,
                                style.color);
        }
    }
    text += legend_line(untouched, all - map.populated(), all, untouched.meaning, style.color);
    return text;
}

} // namespace writewatch::tool
