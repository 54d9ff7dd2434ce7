// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/child.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <poll.h>
#include <spawn.h>
#include <stdexcept>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace writewatch::tool {

namespace {

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// Output goes to a file and not to a pipe: Wine's services inherit it and outlive the program, so
// that a pipe would not end.
File temporary_file()
{
    File file(std::tmpfile());
    if (!file)
        throw std::runtime_error(std::string("temporary file: ") + std::strerror(errno));
    return file;
}

std::string contents(std::FILE* file)
{
    std::string text;
    std::rewind(file);
    char buffer[4096];
    while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, file))
        text.append(buffer, got);
    return text;
}

std::vector<std::string> merged(const std::map<std::string, std::string>& changes)
{
    std::vector<std::string> result;
    for (char** entry = environ; *entry; ++entry) {
        const std::string text = *entry;
        if (changes.find(text.substr(0, text.find('='))) == changes.end())
            result.push_back(text);
    }
    for (const auto& [name, value] : changes) {
        if (!value.empty())
            result.emplace_back(name).append("=").append(value);
    }
    return result;
}

// False when the limit passed first.
bool wait_for_end(pid_t child, std::chrono::seconds limit)
{
    // Not <sys/pidfd.h>: glibc 2.36 declares its functions without extern "C".
    const int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    if (handle < 0)
        return true; // waitpid() then waits without a limit
    const auto deadline = std::chrono::steady_clock::now() + limit;
    bool ended = false;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd event{handle, POLLIN, 0};
        const int ready = poll(&event, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
        if (ready < 0 && errno == EINTR)
            continue;
        ended = ready > 0;
        break;
    }
    close(handle);
    return ended;
}

} // namespace

std::vector<char*> pointers(const std::vector<std::string>& strings)
{
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (const std::string& string : strings)
        result.push_back(const_cast<char*>(string.c_str()));
    result.push_back(nullptr);
    return result;
}

ChildResult run_child(const std::vector<std::string>& command,
                      const std::map<std::string, std::string>& environment,
                      std::chrono::seconds limit)
{
    const File out = temporary_file();
    const File err = temporary_file();
    const std::vector<std::string> variables = merged(environment);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(err.get()), STDERR_FILENO);
    pid_t child = -1;
    const int error = posix_spawnp(&child, command[0].c_str(), &actions, nullptr,
                                   pointers(command).data(), pointers(variables).data());
    posix_spawn_file_actions_destroy(&actions);

    ChildResult result;
    if (error) {
        result.err = command[0] + ": " + std::strerror(error);
        return result;
    }
    if (!wait_for_end(child, limit)) {
        result.timed_out = true;
        kill(child, SIGKILL);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.out = contents(out.get());
    result.err = contents(err.get());
    return result;
}

std::string last_line(const std::string& text)
{
    const std::size_t end = text.find_last_not_of("\r\n ");
    if (end == std::string::npos)
        return {};
    const std::size_t newline = text.find_last_of('\n', end);
    const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
    return text.substr(begin, end - begin + 1);
}

} // namespace writewatch::tool
