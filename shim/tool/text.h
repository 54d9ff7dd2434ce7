// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Numbers, foreign text and tables for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace writewatch::tool {

std::string human_size(std::uint64_t bytes);   // "64 MiB", "1.5 GiB"
std::string human_count(std::uint64_t number); // "16,384"
std::string short_count(double number);        // "16.4k", at most 6 characters
std::string human_time(double nanoseconds);    // "830 ns", "1.25 ms"
std::string hex_address(std::uint64_t address);

// Text from another process, for a terminal: what could be a control sequence is replaced.
std::string printable(std::string_view text);

// Columns as wide as their widest cell, two spaces between them.
class Table {
  public:
    enum class Align : std::uint8_t { left, right };
    struct Column {
        std::string head;
        Align align = Align::left;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    // As many cells as there are columns, or fewer: the rest is empty.
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

    // Every line with its end. `indent` spaces before each.
    std::string text(std::size_t indent = 0) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace writewatch::tool
