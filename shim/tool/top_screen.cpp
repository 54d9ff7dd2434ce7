// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/top_screen.h"

#include "shim/tool/clock.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/region_view.h"
#include "shim/tool/text.h"

#include <algorithm>
#include <array>
#include <clocale>
#include <cmath>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// ncurses' macros would take names such as erase and move from everybody.
#define NCURSES_NOMACROS 1
#include <ncurses.h>

namespace writewatch::tool {

namespace {

constexpr double half_life = 1.5; // seconds

// Cold to hot, of the 256 colours that terminals share (xterm); and without colours.
constexpr std::array<short, 12> ramp{235, 52, 88, 124, 160, 196, 202, 208, 214, 220, 227, 230};
constexpr std::string_view plain_ramp = " .,:-=+*%#@@";
static_assert(ramp.size() == plain_ramp.size());
constexpr short first_pair = 1;

// Below this much heat a cell counts as cold.
constexpr double cold = 0.02;

std::size_t level_of(double heat)
{
    if (heat < cold)
        return 0;
    const double position = std::min(heat, 1.0) * static_cast<double>(ramp.size() - 1);
    return std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(position)), 1,
                                   ramp.size() - 1);
}

constexpr std::array<const char*, 14> help_lines{
    "up, down, k, j     choose a row: the map below shows its region",
    "space              pause; again: go on",
    "left, right, <, >  sort by the column before, after",
    "r                  sort the other way round",
    "v                  processes or regions",
    "enter              only the chosen row's process; again: all of them",
    "+, -               look more often, less often",
    "q                  quit",
    "",
    "GETS/s PAGES/s     calls of GetWriteWatch, and the pages they returned",
    "A GET TAKES, TIME  measured by the program itself, about one get in 64; TIME: share of a CPU",
    "the map            low addresses first; hot: written just now; fades to half in 1.5 s",
    "",
    "Nothing that is looked at is changed: no reset, no write-protection, no stop.",
};

// A line's characters, as far as they fit.
std::string clip(std::string_view text, int columns)
{
    std::size_t at = 0;
    for (int shown = 0; at < text.size(); ++at) {
        const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
        if (begins && shown++ >= columns)
            break;
    }
    return std::string(text.substr(0, at));
}

class Terminal {
  public:
    explicit Terminal(bool color)
    {
        std::setlocale(LC_CTYPE, "");
        initscr();
        cbreak();
        noecho();
        curs_set(0);
        keypad(stdscr, TRUE);
        color_ = color && has_colors() && start_color() == OK && COLORS >= 256;
        if (color_) {
            for (std::size_t i = 0; i < ramp.size(); ++i)
                init_pair(static_cast<short>(first_pair + static_cast<short>(i)), COLOR_WHITE,
                          ramp[i]);
        }
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal() { endwin(); }

    static void line(int y, std::string_view text, attr_t attributes = A_NORMAL)
    {
        if (y < 0 || y >= LINES)
            return;
        attr_set(attributes, 0, nullptr);
        mvaddstr(y, 0, clip(text, COLS).c_str());
        // A bar goes to the margin.
        if ((attributes & A_REVERSE) != 0)
            mvchgat(y, 0, -1, attributes, 0, nullptr);
        attr_set(A_NORMAL, 0, nullptr);
    }

    void cell(std::size_t level) const
    {
        if (color_) {
            attr_set(A_NORMAL, static_cast<short>(first_pair + static_cast<short>(level)), nullptr);
            addch(' ');
            attr_set(A_NORMAL, 0, nullptr);
        } else {
            addch(static_cast<unsigned char>(plain_ramp[level]));
        }
    }

  private:
    bool color_ = false;
};

class Screen {
  public:
    explicit Screen(const ScreenOptions& options)
        : terminal_(options.color), interval_(options.interval), sort_(options.sort),
          reverse_(options.reverse)
    {
        monitor_.choose(options.pid);
        monitor_.tell([this](const std::string& note) { note_ = note; });
    }

    void run()
    {
        double due = 0;
        while (!quit_) {
            const double now = monotonic_seconds();
            if (!paused_ && now >= due) {
                look(now);
                due = now + interval_;
            }
            draw();
            const double wait = paused_ ? 3600 : due - monotonic_seconds();
            timeout(std::clamp(static_cast<int>(wait * 1000) + 1, 1, 3'600'000));
            // Everything that was typed meanwhile, before anything is drawn again.
            for (int key = getch(); key != ERR; key = getch()) {
                handle(key);
                timeout(0);
            }
        }
    }

  private:
    void look(double now)
    {
        looked_ = now;
        monitor_.look(now);
        arrange();
    }

    void arrange()
    {
        rows_ = by_process_ ? monitor_.processes() : monitor_.regions();
        sort_rows(rows_, sort_, reverse_);
        const auto found = std::find_if(rows_.begin(), rows_.end(),
                                        [&](const Row& row) { return row.key() == selected_; });
        // A row that is gone leaves the choice at its place.
        if (found != rows_.end())
            index_ = static_cast<std::size_t>(found - rows_.begin());
        select(index_);
    }

    void select(std::size_t index)
    {
        if (rows_.empty()) {
            index_ = 0;
            view_.reset();
            return;
        }
        index_ = std::min(index, rows_.size() - 1);
        selected_ = rows_[index_].key();
        const Row* const region = region_to_show();
        if (region == nullptr) {
            view_.reset();
            return;
        }
        if (view_ == nullptr || view_->row().key() != region->key() ||
            !(view_->row().info.range == region->info.range))
            view_ = std::make_unique<RegionView>(*region, half_life);
        if (!paused_)
            view_->look(*region, looked_);
    }

    // Of a process, the region that is shown already, or else the busiest.
    const Row* region_to_show() const
    {
        if (!by_process_)
            return &rows_[index_];
        const Row* best = nullptr;
        for (const Row& row : monitor_.regions()) {
            if (row.segment != selected_.first)
                continue;
            if (view_ != nullptr && view_->row().key() == row.key())
                return &row;
            if (best == nullptr || row.pages_per_second > best->pages_per_second ||
                (row.pages_per_second == best->pages_per_second && row.bytes > best->bytes))
                best = &row;
        }
        return best;
    }

    void handle(int key)
    {
        if (help_ && key != KEY_RESIZE) {
            help_ = false;
            return;
        }
        const auto sort_at = static_cast<std::size_t>(sort_);
        switch (key) {
        case 'q':
        case 'Q':
            quit_ = true;
            break;
        case 'h':
        case '?':
            help_ = true;
            break;
        case ' ':
            paused_ = !paused_;
            break;
        case KEY_UP:
        case 'k':
            select(index_ == 0 ? 0 : index_ - 1);
            break;
        case KEY_DOWN:
        case 'j':
            select(index_ + 1);
            break;
        case KEY_LEFT:
        case '<':
            sort_ = static_cast<Sort>((sort_at + sort_count - 1) % sort_count);
            arrange();
            break;
        case KEY_RIGHT:
        case '>':
            sort_ = static_cast<Sort>((sort_at + 1) % sort_count);
            arrange();
            break;
        case 'r':
            reverse_ = !reverse_;
            arrange();
            break;
        case 'v':
            by_process_ = !by_process_;
            arrange();
            break;
        case '\n':
        case '\r':
        case KEY_ENTER:
            choose_process();
            break;
        case '+':
            interval_ = std::max(0.1, interval_ / 2);
            break;
        case '-':
            interval_ = std::min(10.0, interval_ * 2);
            break;
        default: // KEY_RESIZE: drawing again is all it takes
            break;
        }
    }

    void choose_process()
    {
        if (monitor_.chosen() != 0)
            monitor_.choose(0);
        else if (!rows_.empty())
            monitor_.choose(rows_[index_].process.pid);
        look(monotonic_seconds());
    }

    void draw()
    {
        erase();
        draw_title();
        if (help_) {
            int y = 2;
            for (const char* const text : help_lines)
                Terminal::line(y++, fmt::format("  {}", text));
            Terminal::line(LINES - 1, " any key goes back", A_REVERSE);
            refresh();
            return;
        }
        const int bottom = LINES - 1;
        const int table_rows = draw_table(2, std::max(1, (bottom - 6) / 3));
        draw_map(2 + table_rows + 1, bottom);
        Terminal::line(bottom,
                       " q quit  h help  space pause  arrows choose, sort  r reverse  v processes  "
                       "enter one process",
                       A_REVERSE);
        refresh();
    }

    void draw_title()
    {
        double gets = 0;
        double pages = 0;
        std::uint64_t bytes = 0;
        for (const Row& row : monitor_.processes()) {
            gets += row.gets_per_second;
            pages += row.pages_per_second;
            bytes += row.bytes;
        }
        const std::size_t processes = monitor_.processes().size();
        const std::size_t regions = monitor_.regions().size();
        std::string text = fmt::format(
            "writewatch top {:%H:%M:%S}  {} {}, {} {}, {} watched  {} gets/s  {} pages/s",
            fmt::localtime(std::time(nullptr)), processes, processes == 1 ? "process" : "processes",
            regions, regions == 1 ? "region" : "regions", human_size(bytes), short_count(gets),
            short_count(pages));
        if (monitor_.chosen() != 0)
            text += fmt::format("  only process {}", monitor_.chosen());
        if (paused_)
            text += "  PAUSED";
        Terminal::line(0, text, A_BOLD);
        if (!note_.empty())
            Terminal::line(1, note_);
    }

    std::vector<std::string> cells_of(const Row& row) const
    {
        const std::uint64_t gets = all_gets(row.step);
        std::vector<std::string> cells{std::to_string(row.process.pid),
                                       clip(printable(short_name(row.process.image)), 24)};
        cells.push_back(by_process_ ? fmt::format("{} regions", row.regions)
                                    : hex_address(row.info.range.start));
        cells.push_back(human_size(row.bytes));
        cells.push_back(short_count(row.gets_per_second));
        cells.push_back(short_count(row.pages_per_second));
        cells.push_back(gets == 0 ? "-"
                                  : short_count(static_cast<double>(row.step.pages) /
                                                static_cast<double>(gets)));
        cells.push_back(mean_get_text(row.step.samples != 0 ? row.step : row.info.counters));
        cells.push_back(fmt::format("{:.1f} %", row.time_share * 100));
        cells.push_back(human_count(all_gets(row.info.counters)));
        return cells;
    }

    // Returns how many lines it took.
    int draw_table(int y, int most)
    {
        using Align = Table::Align;
        const auto head = [&](const char* text, std::optional<Sort> sort) {
            return sort == sort_ ? fmt::format("{}{}", reverse_ ? '^' : 'v', text)
                                 : std::string(text);
        };
        Table table({{head("PID", Sort::pid), Align::right},
                     {head("PROGRAM", Sort::program)},
                     {head(by_process_ ? "WATCHES" : "ADDRESS", Sort::address)},
                     {head("SIZE", Sort::size), Align::right},
                     {head("GETS/s", Sort::gets), Align::right},
                     {head("PAGES/s", Sort::pages), Align::right},
                     {head("PAGES/GET", std::nullopt), Align::right},
                     {head("A GET TAKES", Sort::cost), Align::right},
                     {head("TIME", Sort::time), Align::right},
                     {head("GETS", std::nullopt), Align::right}});
        for (const Row& row : rows_)
            table.add(cells_of(row));
        const std::string text = table.text();

        // As many rows as fit, the chosen one among them.
        const auto height = static_cast<std::size_t>(most);
        if (index_ < top_)
            top_ = index_;
        if (index_ >= top_ + height)
            top_ = index_ + 1 - height;
        top_ = std::min(top_, rows_.size() > height ? rows_.size() - height : 0);
        int drawn = 0;
        std::size_t begin = 0;
        for (std::size_t row = 0; begin < text.size(); ++row) {
            const std::size_t end = text.find('\n', begin);
            const std::string_view line = std::string_view(text).substr(begin, end - begin);
            begin = end + 1;
            if (row == 0)
                Terminal::line(y, line, A_UNDERLINE);
            else if (row > top_ && row <= top_ + height)
                Terminal::line(y + ++drawn, line, row - 1 == index_ ? A_REVERSE : A_NORMAL);
        }
        if (rows_.empty())
            Terminal::line(y + 1, "nothing watches memory (yet); 'writewatch list' says why "
                                  "that may be");
        else if (rows_.size() > height)
            Terminal::line(y + drawn + 1, fmt::format("{} of {}", drawn, rows_.size()), A_DIM);
        return drawn + 2;
    }

    void draw_map(int y, int bottom)
    {
        if (view_ == nullptr || bottom - y < 4)
            return;
        const Row& row = view_->row();
        const std::string title = fmt::format("{} at {} in {} {}", human_size(row.bytes),
                                              hex_address(row.info.range.start), row.process.pid,
                                              printable(short_name(row.process.image)));
        if (!view_->problem().empty()) {
            Terminal::line(y, title, A_BOLD);
            Terminal::line(y + 1, view_->problem());
            return;
        }
        constexpr int margin = 10; // for offsets
        const int height = bottom - y - 2;
        // Lines of so many cells begin at offsets that are not too odd.
        const int width = (COLS - margin - 1) / 16 * 16;
        if (COLS < margin + 17 || height < 1)
            return;
        const HeatMap::View view = view_->heat().view(
            static_cast<std::size_t>(width) * static_cast<std::size_t>(height), looked_);
        Terminal::line(y,
                       fmt::format("{}: {} pages written now, {} latched", title,
                                   human_count(view_->written()),
                                   human_count(row.info.latched_pages)),
                       A_BOLD);
        const std::size_t cell_bytes = view.pages_per_cell << page_shift;
        std::size_t cell = 0;
        for (int line = 0; line < height && cell < view.heat.size(); ++line) {
            attr_set(A_DIM, 0, nullptr);
            mvaddstr(y + 1 + line, 0,
                     fmt::format("{:>9} ", "+" + human_size(cell * cell_bytes)).c_str());
            attr_set(A_NORMAL, 0, nullptr);
            for (int column = 0; column < width && cell < view.heat.size(); ++column, ++cell)
                terminal_.cell(level_of(view.heat[cell]));
        }
        draw_legend(bottom - 1, cell_bytes, view.pages_per_cell);
    }

    void draw_legend(int y, std::size_t cell_bytes, std::size_t pages) const
    {
        mvaddstr(y, 10, "long ago ");
        for (std::size_t level = 0; level < ramp.size(); ++level)
            terminal_.cell(level);
        addstr(clip(fmt::format(" written just now   each cell {}, {} {}", human_size(cell_bytes),
                                pages, pages == 1 ? "page" : "pages"),
                    COLS - 32)
                   .c_str());
    }

    Terminal terminal_;
    Monitor monitor_;
    std::vector<Row> rows_;
    std::unique_ptr<RegionView> view_;
    std::pair<std::string, std::uint64_t> selected_;
    std::string note_;
    std::size_t index_ = 0;
    std::size_t top_ = 0; // the first row of the table that is drawn
    double looked_ = 0;
    double interval_;
    Sort sort_;
    bool reverse_;
    bool by_process_ = false;
    bool paused_ = false;
    bool help_ = false;
    bool quit_ = false;
};

} // namespace

int run_screen(const ScreenOptions& options)
{
    Screen(options).run();
    return exit_done;
}

} // namespace writewatch::tool
