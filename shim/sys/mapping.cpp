// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/mapping.h"

#include "shim/sys/unique_fd.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

namespace writewatch::sys {

namespace {

// Reads a /proc file line by line through a fixed buffer.
class LineReader {
  public:
    explicit LineReader(const char* path) noexcept : file_(::open(path, O_RDONLY | O_CLOEXEC)) {}

    explicit operator bool() const noexcept { return static_cast<bool>(file_); }

    // A line without its end; longer ones come cut. False at the end of the file.
    bool next(std::string_view& line) noexcept
    {
        for (;;) {
            const std::string_view rest(buffer_.data() + begin_, end_ - begin_);
            if (const auto newline = rest.find('\n'); newline != std::string_view::npos) {
                line = rest.substr(0, newline);
                begin_ += newline + 1;
                return true;
            }
            std::memmove(buffer_.data(), rest.data(), rest.size());
            begin_ = 0;
            end_ = rest.size();
            if (end_ == buffer_.size())
                end_ = 0; // no field of interest lies that far in
            const ssize_t got = ::read(file_.get(), buffer_.data() + end_, buffer_.size() - end_);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return false;
            end_ += static_cast<std::size_t>(got);
        }
    }

  private:
    UniqueFd file_;
    std::array<char, 8192> buffer_{};
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

struct MapsLine {
    PageRange range;
    int protection = 0;
    bool is_private = false;
    bool anonymous = false;
};

// Cuts off and returns what comes before the separator.
std::string_view cut(std::string_view& text, char separator) noexcept
{
    const std::size_t position = text.find(separator);
    const std::string_view head = text.substr(0, position);
    text.remove_prefix(position == std::string_view::npos ? text.size() : position + 1);
    return head;
}

bool parse_hex(std::string_view text, std::uintptr_t& value) noexcept
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return error == std::errc() && end == text.data() + text.size();
}

// "start-end perms offset major:minor inode path"; false for the detail lines of smaps.
bool parse_maps_line(std::string_view line, MapsLine& out) noexcept
{
    const std::string_view start = cut(line, '-');
    const std::string_view end = cut(line, ' ');
    if (!parse_hex(start, out.range.start) || !parse_hex(end, out.range.end))
        return false;
    const std::string_view permissions = cut(line, ' ');
    if (permissions.size() < 4)
        return false;
    out.protection = (permissions[0] == 'r' ? PROT_READ : 0) |
                     (permissions[1] == 'w' ? PROT_WRITE : 0) |
                     (permissions[2] == 'x' ? PROT_EXEC : 0);
    out.is_private = permissions[3] == 'p';
    cut(line, ' '); // offset
    cut(line, ' '); // device
    out.anonymous =
        cut(line, ' ') == "0"; // inode; [heap], [stack] and [anon:name] have none either
    return true;
}

} // namespace

Result<Mapping> inspect_mapping(PageRange range) noexcept
{
    LineReader reader("/proc/self/maps");
    if (!reader)
        return fail(errno, "open /proc/self/maps", range);
    Mapping mapping;
    bool first = true;
    PageRange rest = range;
    std::string_view text;
    while (!rest.empty() && reader.next(text)) {
        MapsLine line;
        if (!parse_maps_line(text, line) || line.range.end <= rest.start)
            continue;
        if (line.range.start > rest.start)
            break;
        if (first)
            mapping.protection = line.protection;
        first = false;
        mapping.same_protection &= line.protection == mapping.protection;
        mapping.private_anonymous &= line.is_private && line.anonymous;
        rest.start = line.range.end;
    }
    if (!rest.empty())
        return fail(ENOMEM, "part of the range is not mapped", rest);
    return mapping;
}

Result<std::size_t> mapping_page_size(PageRange range) noexcept
{
    LineReader reader("/proc/self/smaps");
    if (!reader)
        return fail(errno, "open /proc/self/smaps");
    bool inside = false;
    std::size_t size = 0;
    std::string_view text;
    while (reader.next(text)) {
        MapsLine line;
        if (parse_maps_line(text, line)) {
            inside = line.range.overlaps(range);
            continue;
        }
        if (!inside || cut(text, ':') != "KernelPageSize")
            continue;
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        std::size_t kilobytes = 0;
        std::from_chars(text.data(), text.data() + text.size(), kilobytes);
        if (size != 0 && size != kilobytes * 1024)
            return fail(EINVAL, "pages of different sizes", range);
        size = kilobytes * 1024;
    }
    if (size == 0)
        return fail(ENOMEM, "not mapped", range);
    return size;
}

} // namespace writewatch::sys
