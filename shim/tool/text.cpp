// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

namespace writewatch::tool {

namespace {

// One to three digits and a fraction that says something: "1.25", "12.5", "125".
std::string three_digits(double value)
{
    if (value == std::floor(value) && value < 1000)
        return fmt::format("{:.0f}", value);
    return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

// Characters on the screen: UTF-8's continuation bytes take none of their own.
std::size_t width(std::string_view text)
{
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    }));
}

} // namespace

std::string human_size(std::uint64_t bytes)
{
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{} {}", value < 1000 ? three_digits(value) : fmt::format("{:.0f}", value),
                       units[unit]);
}

std::string human_count(std::uint64_t number)
{
    std::string digits = std::to_string(number);
    for (std::size_t at = digits.size(); at > 3; at -= 3)
        digits.insert(at - 3, 1, ',');
    return digits;
}

std::string short_count(double number)
{
    constexpr std::array units{"", "k", "M", "G", "T", "P"};
    std::size_t unit = 0;
    while (number >= 999.5 && unit + 1 < units.size()) {
        number /= 1000;
        ++unit;
    }
    if (unit == 0)
        return number == 0 || number >= 9.95 ? fmt::format("{:.0f}", number)
                                             : fmt::format("{:.1f}", number);
    return three_digits(number) + units[unit];
}

std::string human_time(double nanoseconds)
{
    if (nanoseconds < 999.5)
        return fmt::format("{:.0f} ns", nanoseconds);
    if (nanoseconds < 999.5e3)
        return three_digits(nanoseconds / 1e3) + " us";
    if (nanoseconds < 999.5e6)
        return three_digits(nanoseconds / 1e6) + " ms";
    const double seconds = nanoseconds / 1e9;
    if (seconds < 120)
        return three_digits(seconds) + " s";
    const auto minutes = static_cast<std::uint64_t>(seconds / 60);
    if (minutes < 120)
        return fmt::format("{} min", minutes);
    return minutes < 48 * 60 ? fmt::format("{} h", minutes / 60)
                             : fmt::format("{} d", minutes / 60 / 24);
}

std::string hex_address(std::uint64_t address)
{
    return fmt::format("0x{:x}", address);
}

std::string printable(std::string_view text)
{
    std::string result(text);
    // C0 and DEL; and the lead byte of C1 controls in UTF-8 (U+0080 to U+009F).
    for (std::size_t i = 0; i < result.size(); ++i) {
        const auto byte = static_cast<unsigned char>(result[i]);
        const bool c1 = byte == 0xC2 && i + 1 < result.size() &&
                        static_cast<unsigned char>(result[i + 1]) < 0xA0;
        if (byte < 0x20 || byte == 0x7F || c1)
            result[i] = '?';
        if (c1)
            result[i + 1] = '?';
    }
    return result;
}

std::string Table::text(std::size_t indent) const
{
    std::vector<std::size_t> widths;
    widths.reserve(columns_.size());
    for (const Column& column : columns_)
        widths.push_back(width(column.head));
    for (const auto& row : rows_)
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i]));

    std::string result;
    const auto add_line = [&](const auto& cell_of) {
        std::string line(indent, ' ');
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const std::string cell = cell_of(i);
            const std::string space(widths[i] - width(cell), ' ');
            line += columns_[i].align == Align::right ? space + cell : cell + space;
            line += "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        result += line + "\n";
    };
    add_line([&](std::size_t i) { return columns_[i].head; });
    for (const auto& row : rows_)
        add_line([&](std::size_t i) { return i < row.size() ? row[i] : std::string(); });
    return result;
}

} // namespace writewatch::tool
