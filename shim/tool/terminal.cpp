// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/terminal.h"

#include "shim/tool/usage.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace writewatch::tool {

void add_color_option(CLI::App& verb, std::string& value)
{
    value = "auto";
    add_word_option(verb, "--color", value, {"auto", "always", "never"},
                    "colours; auto: on a terminal, unless NO_COLOR is set");
}

bool use_color(const std::string& option)
{
    if (option != "auto")
        return option == "always";
    const char* const no_color = std::getenv("NO_COLOR");
    const char* const terminal = std::getenv("TERM");
    return (no_color == nullptr || *no_color == '\0') && isatty(STDOUT_FILENO) != 0 &&
           (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

std::size_t line_width()
{
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    std::size_t columns = 0;
    if (const char* const text = std::getenv("COLUMNS"); text != nullptr)
        std::from_chars(text, text + std::strlen(text), columns);
    return columns >= 40 && columns <= 1000 ? columns : 80;
}

Progress::Progress(std::string what)
    : what_(std::move(what)), next_(std::chrono::steady_clock::now() + std::chrono::seconds(1)),
      enabled_(isatty(STDERR_FILENO) != 0)
{}

Progress::~Progress()
{
    if (shown_)
        std::fputs("\r\033[K", stderr);
}

void Progress::update(double share, const std::string& detail)
{
    const auto now = std::chrono::steady_clock::now();
    if (!enabled_ || now < next_)
        return;
    next_ = now + std::chrono::milliseconds(200);
    shown_ = true;
    std::string line = what_;
    if (share >= 0)
        line += fmt::format(" {:3.0f} %", share * 100);
    if (!detail.empty())
        line += "  " + detail;
    fmt::print(stderr, "\r{}\033[K", line);
    std::fflush(stderr);
}

} // namespace writewatch::tool
