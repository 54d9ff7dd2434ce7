// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/model/call.h"

#include <cstdio>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace model {

namespace {

struct Name {
    std::uint32_t value;
    const char* text;
};

constexpr Name types[] = {
    {MEM_RESERVE, "MEM_RESERVE"},
    {MEM_COMMIT, "MEM_COMMIT"},
    {MEM_WRITE_WATCH, "MEM_WRITE_WATCH"},
    {MEM_TOP_DOWN, "MEM_TOP_DOWN"},
};
constexpr Name protections[] = {
    {PAGE_NOACCESS, "PAGE_NOACCESS"},
    {PAGE_READONLY, "PAGE_READONLY"},
    {PAGE_READWRITE, "PAGE_READWRITE"},
    {PAGE_EXECUTE_READWRITE, "PAGE_EXECUTE_READWRITE"},
};
constexpr Name get_flags[] = {{WRITE_WATCH_FLAG_RESET, "WRITE_WATCH_FLAG_RESET"}};

std::string hex(std::uint64_t value)
{
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

template<std::size_t N> std::string flags(const Name (&names)[N], std::uint32_t value)
{
    std::string text;
    for (const Name& each : names) {
        if ((value & each.value) != 0) {
            text += (text.empty() ? "" : " | ") + std::string(each.text);
            value &= ~each.value;
        }
    }
    if (value != 0 || text.empty())
        text += (text.empty() ? "" : " | ") + (value == 0 ? std::string("0") : hex(value));
    return text;
}

std::string region(const Call& call)
{
    return "r" + std::to_string(call.slot);
}

std::string address(const Call& call)
{
    if (call.null_address)
        return "NULL";
    if (call.offset < 0)
        return region(call) + " - " + hex(static_cast<std::uint64_t>(-call.offset));
    return region(call) + " + " + hex(static_cast<std::uint64_t>(call.offset));
}

std::uint64_t number(const std::string& text)
{
    return std::stoull(text, nullptr, 0);
}

std::uint32_t value_of(const std::string& text)
{
    std::uint32_t value = 0;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        if (word == "|")
            continue;
        bool known = false;
        const auto look = [&](const auto& names) {
            for (const Name& each : names)
                if (word == each.text) {
                    value |= each.value;
                    known = true;
                }
        };
        look(types);
        look(protections);
        look(get_flags);
        if (!known)
            value |= static_cast<std::uint32_t>(number(word));
    }
    return value;
}

void read_address(Call& call, const std::string& text)
{
    static const std::regex form(R"(r(\d) ([+-]) (0x[0-9a-f]+))");
    std::smatch part;
    if (text == "NULL") {
        call.null_address = true;
    } else if (std::regex_match(text, part, form)) {
        call.slot = static_cast<unsigned>(number(part[1]));
        const auto distance = static_cast<std::int64_t>(number(part[3]));
        call.offset = part[2] == "-" ? -distance : distance;
    } else {
        throw std::runtime_error("'" + text + "' is no address");
    }
}

Call parse_line(const std::string& line)
{
    static const std::string at = R"((NULL|r\d [+-] 0x[0-9a-f]+))";
    static const std::string flag_words = R"(([A-Za-z0-9_ |]+))";
    static const std::string size = R"((0x[0-9a-f]+|0))";
    static const std::regex alloc(R"(r(\d) = VirtualAlloc\(NULL, )" + size + ", " + flag_words +
                                  ", " + flag_words + R"(\);)");
    static const std::regex commit(R"(VirtualAlloc\()" + at + ", " + size + ", MEM_COMMIT, " +
                                   flag_words + R"(\);)");
    static const std::regex drop(R"(VirtualAlloc\()" + at + ", " + size +
                                 R"(, MEM_RESET, PAGE_NOACCESS\);)");
    static const std::regex decommit(R"(VirtualFree\()" + at + ", " + size +
                                     R"(, MEM_DECOMMIT\);)");
    static const std::regex release(R"(VirtualFree\(r(\d), 0, MEM_RELEASE\);)");
    static const std::regex protect(R"(VirtualProtect\()" + at + ", " + size + ", " + flag_words +
                                    R"(, &old\);)");
    static const std::regex write(R"(memset\()" + at + ", " + size + ", " + size + R"(\);)");
    static const std::regex write_every(R"(write_every\()" + at + ", " + size + ", " + size +
                                        R"(, )" + size + R"(\);)");
    static const std::regex read(R"(compare\()" + at + ", " + size + R"(\);)");
    static const std::regex get(R"(count = )" + size + R"(; GetWriteWatch\()" + flag_words + ", " +
                                at + ", " + size +
                                R"(, (\w+), (&count|NULL), (&granularity|NULL)\);)");
    static const std::regex reset(R"(ResetWriteWatch\()" + at + ", " + size + R"(\);)");
    static const std::regex query(R"(VirtualQuery\()" + at + R"(, &info, sizeof info\);)");

    Call call;
    std::smatch part;
    if (std::regex_match(line, part, alloc)) {
        call.kind = Kind::alloc;
        call.slot = static_cast<unsigned>(number(part[1]));
        call.size = number(part[2]);
        call.value = value_of(part[3]);
        call.number = value_of(part[4]);
    } else if (std::regex_match(line, part, commit)) {
        call.kind = Kind::commit;
        read_address(call, part[1]);
        call.size = number(part[2]);
        call.value = value_of(part[3]);
    } else if (std::regex_match(line, part, drop)) {
        call.kind = Kind::drop;
        read_address(call, part[1]);
        call.size = number(part[2]);
    } else if (std::regex_match(line, part, decommit)) {
        call.kind = Kind::decommit;
        read_address(call, part[1]);
        call.size = number(part[2]);
    } else if (std::regex_match(line, part, release)) {
        call.kind = Kind::release;
        call.slot = static_cast<unsigned>(number(part[1]));
    } else if (std::regex_match(line, part, protect)) {
        call.kind = Kind::protect;
        read_address(call, part[1]);
        call.size = number(part[2]);
        call.value = value_of(part[3]);
    } else if (std::regex_match(line, part, write)) {
        call.kind = Kind::write;
        read_address(call, part[1]);
        call.value = static_cast<std::uint32_t>(number(part[2]));
        call.size = number(part[3]);
    } else if (std::regex_match(line, part, write_every)) {
        call.kind = Kind::write_every;
        read_address(call, part[1]);
        call.value = static_cast<std::uint32_t>(number(part[2]));
        call.size = number(part[3]);
        call.number = number(part[4]);
    } else if (std::regex_match(line, part, read)) {
        call.kind = Kind::read;
        read_address(call, part[1]);
        call.size = number(part[2]);
    } else if (std::regex_match(line, part, get)) {
        call.kind = Kind::get;
        call.number = number(part[1]);
        call.value = value_of(part[2]);
        read_address(call, part[3]);
        call.size = number(part[4]);
        call.null_array = part[5] == "NULL";
        call.null_count = part[6] == "NULL";
        call.null_granularity = part[7] == "NULL";
    } else if (std::regex_match(line, part, reset)) {
        call.kind = Kind::reset;
        read_address(call, part[1]);
        call.size = number(part[2]);
    } else if (std::regex_match(line, part, query)) {
        call.kind = Kind::query;
        read_address(call, part[1]);
    } else {
        throw std::runtime_error("not a call: " + line);
    }
    if (call.slot >= slots)
        throw std::runtime_error("no such region: " + line);
    return call;
}

} // namespace

std::string to_text(const Call& call)
{
    switch (call.kind) {
    case Kind::alloc:
        return region(call) + " = VirtualAlloc(NULL, " + hex(call.size) + ", " +
               flags(types, call.value) + ", " +
               flags(protections, static_cast<std::uint32_t>(call.number)) + ");";
    case Kind::commit:
        return "VirtualAlloc(" + address(call) + ", " + hex(call.size) + ", MEM_COMMIT, " +
               flags(protections, call.value) + ");";
    case Kind::decommit:
        return "VirtualFree(" + address(call) + ", " + hex(call.size) + ", MEM_DECOMMIT);";
    case Kind::release:
        return "VirtualFree(" + region(call) + ", 0, MEM_RELEASE);";
    case Kind::protect:
        return "VirtualProtect(" + address(call) + ", " + hex(call.size) + ", " +
               flags(protections, call.value) + ", &old);";
    case Kind::drop:
        return "VirtualAlloc(" + address(call) + ", " + hex(call.size) +
               ", MEM_RESET, PAGE_NOACCESS);";
    case Kind::write:
        return "memset(" + address(call) + ", " + hex(call.value) + ", " + hex(call.size) + ");";
    case Kind::write_every:
        return "write_every(" + address(call) + ", " + hex(call.value) + ", " + hex(call.size) +
               ", " + hex(call.number) + ");";
    case Kind::read:
        return "compare(" + address(call) + ", " + hex(call.size) + ");";
    case Kind::get:
        return "count = " + hex(call.number) + "; GetWriteWatch(" + flags(get_flags, call.value) +
               ", " + address(call) + ", " + hex(call.size) + ", " +
               (call.null_array ? "NULL" : "pages") + ", " + (call.null_count ? "NULL" : "&count") +
               ", " + (call.null_granularity ? "NULL" : "&granularity") + ");";
    case Kind::reset:
        return "ResetWriteWatch(" + address(call) + ", " + hex(call.size) + ");";
    case Kind::query:
        return "VirtualQuery(" + address(call) + ", &info, sizeof info);";
    }
    return {};
}

std::string to_text(const Sequence& sequence)
{
    std::string text;
    for (const Call& each : sequence)
        text += to_text(each) + "\n";
    return text;
}

Sequence parse(const std::string& text)
{
    Sequence sequence;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        while (!line.empty() && (line.back() == '\r' || line.back() == ' '))
            line.pop_back();
        const std::size_t start = line.find_first_not_of(' ');
        if (start == std::string::npos || line.compare(start, 2, "//") == 0)
            continue;
        sequence.push_back(parse_line(line.substr(start)));
    }
    return sequence;
}

} // namespace model
