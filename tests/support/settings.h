// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Settings of the machine (files in /proc/sys and /sys) that a test changes and puts back.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace writewatch::test {

inline bool read_file(const char* path, std::string& text)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    text.clear();
    char buffer[1024];
    for (ssize_t n = 0; (n = read(fd, buffer, sizeof(buffer))) > 0;)
        text.append(buffer, static_cast<std::size_t>(n));
    close(fd);
    return true;
}

inline bool write_file(const char* path, const std::string& text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool ok = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

inline std::vector<std::pair<std::string, std::string>> changed_settings; // path, value before

// For who ends without exit(); otherwise it comes by itself.
inline void restore_settings()
{
    while (!changed_settings.empty()) {
        (void)write_file(changed_settings.back().first.c_str(), changed_settings.back().second);
        changed_settings.pop_back();
    }
}

inline void restore_settings_and_end(int signal)
{
    restore_settings();
    _exit(128 + signal);
}

// Changes a setting until the program ends, however it ends (but for a crash; a runner's SIGTERM,
// too, when the time is up), so that a test leaves no trace. False, with errno, when that is not
// allowed; `before` is then empty if the setting cannot even be read.
inline bool set_until_exit(const char* path, const std::string& value, std::string& before)
{
    if (!read_file(path, before) || !write_file(path, value))
        return false;
    if (changed_settings.empty()) {
        std::atexit(restore_settings);
        std::signal(SIGTERM, restore_settings_and_end);
    }
    changed_settings.emplace_back(path, before);
    return true;
}

} // namespace writewatch::test
