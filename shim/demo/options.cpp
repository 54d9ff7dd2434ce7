// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/options.h"

#include <charconv>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace demo {

namespace {

constexpr char help[] =
    "Usage: collector [OPTIONS]\n"
    "Keeps a snapshot of a heap current with GetWriteWatch while threads write to the heap, then\n"
    "compares the two byte by byte. Exit status: 0 equal, 1 not equal or failed, 64 wrong usage.\n"
    "\n"
    "  --heap MIB       size of the heap, 1 to 65536 (64)\n"
    "  --threads N      threads that write, 1 to 256 (2)\n"
    "  --rounds N       collections, 1 to 1000000 (20)\n"
    "  --writes N       writes by each thread in each round (a quarter of the heap's pages)\n"
    "  --array N        pages that one GetWriteWatch call may return (the heap's pages)\n"
    "  --seed N         seed of the writes (1)\n"
    "  --json           print one JSON object\n"
    "  --lose-a-page    never copy the first page, to show that the comparison notices (exit 1)\n"
    "  -h, --help       this text\n";

struct Number {
    std::string_view name;
    std::uint64_t lowest;
    std::uint64_t highest;
    std::uint64_t value;
};

} // namespace

Parsed parse(int argc, char** argv, Options& options)
{
    constexpr std::uint64_t many = 1'000'000'000;
    Number numbers[] = {
        {"--heap", 1, 65536, options.heap_mib},     {"--threads", 1, 256, options.threads},
        {"--rounds", 1, 1'000'000, options.rounds}, {"--writes", 1, many, options.writes},
        {"--array", 1, many, options.array},        {"--seed", 0, many, options.seed},
    };
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "-h" || word == "--help") {
            std::fputs(help, stdout);
            return Parsed::help_shown;
        }
        if (word == "--json") {
            options.json = true;
            continue;
        }
        if (word == "--lose-a-page") {
            options.lose_a_page = true;
            continue;
        }
        Number* number = nullptr;
        for (Number& candidate : numbers)
            if (word == candidate.name)
                number = &candidate;
        if (!number) {
            std::fprintf(stderr, "collector: unknown option '%s' (see --help)\n", argv[i]);
            return Parsed::wrong;
        }
        const std::string_view text = i + 1 < argc ? argv[i + 1] : "";
        const auto [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), number->value);
        if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
            number->value < number->lowest || number->value > number->highest) {
            std::fprintf(stderr, "collector: %s needs a number from %llu to %llu, not '%.*s'\n",
                         argv[i], static_cast<unsigned long long>(number->lowest),
                         static_cast<unsigned long long>(number->highest),
                         static_cast<int>(text.size()), text.data());
            return Parsed::wrong;
        }
        ++i;
    }
    options.heap_mib = static_cast<std::size_t>(numbers[0].value);
    options.threads = static_cast<unsigned>(numbers[1].value);
    options.rounds = static_cast<unsigned>(numbers[2].value);
    options.writes = numbers[3].value;
    options.array = static_cast<std::size_t>(numbers[4].value);
    options.seed = numbers[5].value;
    return Parsed::run;
}

} // namespace demo
