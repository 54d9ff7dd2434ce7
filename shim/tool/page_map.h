// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A region's pages as a map of cells for a terminal: one cell a page, or a group of pages.
#pragma once

#include "shim/sys/page.h"
#include "shim/tool/process_pages.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace writewatch::tool {

class PageMap {
  public:
    // At most `max_cells` cells: as few pages in each as that takes, a power of two.
    PageMap(PageRange range, std::size_t max_cells);

    // ProcessPages::visit_states calls this.
    void add(PageRange run, unsigned states);

    struct Cell {
        std::array<std::uint32_t, page_state_bits> pages{}; // that have each PageState
        std::uint32_t populated = 0;
    };

    PageRange range() const { return range_; }
    std::size_t pages_per_cell() const { return pages_per_cell_; }
    const std::vector<Cell>& cells() const { return cells_; }
    // Of all cells.
    std::size_t count(PageState state) const { return totals_[index_of(state)]; }
    std::size_t populated() const { return populated_; }

    static std::size_t index_of(PageState state);
    // Pages of this cell: fewer in the last one.
    std::size_t cell_pages(std::size_t cell) const;

  private:
    PageRange range_;
    std::size_t pages_per_cell_ = 1;
    std::vector<Cell> cells_;
    std::array<std::size_t, page_state_bits> totals_{};
    std::size_t populated_ = 0;
};

struct MapStyle {
    bool color = false;
    std::size_t width = 80; // characters in a line
};

// Lines of cells, each with the address of its first page, and the legend with counts. What was
// written is told from the rest first: `knows_written` false says that it is not known.
std::string render(const PageMap& map, const MapStyle& style, bool knows_written);

// The state in which a cell is shown, one letter, for the plain map and for tests: a written share
// in tenths ('1' to '9', '#' all), else the state of most of its pages.
char symbol(const PageMap& map, std::size_t cell);

} // namespace writewatch::tool
