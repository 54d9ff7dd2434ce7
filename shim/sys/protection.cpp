// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/protection.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace writewatch::sys {

namespace {

// Reads "start-end perms …" lines byte by byte: a line can be longer than any buffer of ours.
class MapsParser {
  public:
    struct Mapping {
        PageRange range;
        int protection;
    };

    // True when this byte ends a line; then `mapping` is that line's.
    bool feed(char byte)
    {
        if (byte == '\n') {
            mapping = {{start_, end_}, protection_};
            *this = MapsParser{mapping};
            return true;
        }
        switch (field_) {
        case Field::start:
            byte == '-' ? void(field_ = Field::end) : add_digit(start_, byte);
            break;
        case Field::end:
            byte == ' ' ? void(field_ = Field::permissions) : add_digit(end_, byte);
            break;
        case Field::permissions:
            if (byte == ' ')
                field_ = Field::rest;
            else
                add_permission(byte);
            break;
        case Field::rest:
            break;
        }
        return false;
    }

    MapsParser() = default;

    Mapping mapping{};

  private:
    enum class Field { start, end, permissions, rest };

    explicit MapsParser(const Mapping& finished) : mapping(finished) {}

    static void add_digit(std::uintptr_t& value, char digit)
    {
        const int number = digit <= '9' ? digit - '0' : digit - 'a' + 10;
        value = value * 16 + static_cast<std::uintptr_t>(number);
    }

    void add_permission(char letter)
    {
        if (letter == 'r')
            protection_ |= PROT_READ;
        if (letter == 'w')
            protection_ |= PROT_WRITE;
        if (letter == 'x')
            protection_ |= PROT_EXEC;
    }

    Field field_ = Field::start;
    std::uintptr_t start_ = 0;
    std::uintptr_t end_ = 0;
    int protection_ = PROT_NONE;
};

Result<int> search(int maps, PageRange range)
{
    MapsParser parser;
    std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t got = read(maps, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(errno, "read /proc/self/maps", range);
        if (got == 0)
            return fail(ENOENT, "no such mapping", range);
        for (ssize_t i = 0; i < got; ++i) {
            const bool line_ended = parser.feed(buffer[static_cast<std::size_t>(i)]);
            if (line_ended && parser.mapping.range.contains(range))
                return parser.mapping.protection;
        }
    }
}

} // namespace

Result<int> protection_of(PageRange range) noexcept
{
    const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0)
        return fail(errno, "open /proc/self/maps", range);
    Result<int> protection = search(maps, range);
    close(maps);
    return protection;
}

} // namespace writewatch::sys
