// SPDX-License-Identifier: LGPL-2.1-or-later
#include "platform.h"

#include "conformance.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace conformance {

Platform platform()
{
    return Platform::native;
}

std::string platform_name()
{
    return "native";
}

std::string own_path()
{
    std::array<char, 4096> path{};
    const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
    if (length <= 0)
        throw std::runtime_error("cannot read /proc/self/exe");
    return std::string(path.data(), static_cast<std::size_t>(length));
}

std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void(const std::string&)>& line)
{
    std::string command = "exec '" + own_path() + "'";
    for (const std::string& each : arguments)
        command += " '" + each + "'";

    FILE* output = popen(command.c_str(), "r");
    if (!output)
        throw std::runtime_error("cannot start " + own_path() +
                                 " with /bin/sh: " + std::strerror(errno));
    char* text = nullptr;
    std::size_t capacity = 0;
    for (ssize_t n = 0; (n = getline(&text, &capacity, output)) > 0;)
        line(std::string(text, static_cast<std::size_t>(text[n - 1] == '\n' ? n - 1 : n)));
    free(text);

    const int status = pclose(output);
    if (WIFSIGNALED(status))
        return "signal " + std::to_string(WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? "" : "exit status " + std::to_string(WEXITSTATUS(status));
}

void exit_at_once(int code)
{
    _exit(code);
}

void no_crash_dialogs() {}

} // namespace conformance
