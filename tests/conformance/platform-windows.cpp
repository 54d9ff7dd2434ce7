// SPDX-License-Identifier: LGPL-2.1-or-later
#include "platform.h"

#include "conformance.h"

#include <array>
#include <cstdio>
#include <stdexcept>

namespace conformance {

namespace {

template<typename Function> Function ntdll_function(const char* name)
{
    return reinterpret_cast<Function>(
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleA("ntdll.dll"), name)));
}

const char* wine_version()
{
    using WineGetVersion = const char*(__cdecl*)();
    const auto wine_get_version = ntdll_function<WineGetVersion>("wine_get_version");
    return wine_get_version ? wine_get_version() : nullptr;
}

} // namespace

Platform platform()
{
    static const Platform value = wine_version() ? Platform::wine : Platform::windows;
    return value;
}

std::string platform_name()
{
    if (const char* version = wine_version())
        return std::string("wine-") + version;
    // GetVersionEx answers what the manifest says; this answers what runs.
    using RtlGetNtVersionNumbers = void(WINAPI*)(DWORD*, DWORD*, DWORD*);
    DWORD major = 0;
    DWORD minor = 0;
    DWORD build = 0;
    if (const auto numbers = ntdll_function<RtlGetNtVersionNumbers>("RtlGetNtVersionNumbers"))
        numbers(&major, &minor, &build);
    return "windows-" + std::to_string(major) + "." + std::to_string(minor) + "." +
           std::to_string(build & 0xffff);
}

std::string own_path()
{
    std::array<char, 4096> path{};
    const DWORD length = GetModuleFileNameA(nullptr, path.data(), static_cast<DWORD>(path.size()));
    if (length == 0 || length >= path.size())
        throw std::runtime_error("cannot find the program's own file");
    return std::string(path.data(), length);
}

std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void(const std::string&)>& line)
{
    // CreateProcess rather than _popen: the shell in between would hide how the process ended.
    std::string command = "\"" + own_path() + "\"";
    for (const std::string& each : arguments)
        command += " \"" + each + "\"";

    SECURITY_ATTRIBUTES inherit{};
    inherit.nLength = sizeof inherit;
    inherit.bInheritHandle = TRUE;
    HANDLE reader = nullptr;
    HANDLE writer = nullptr;
    if (!CreatePipe(&reader, &writer, &inherit, 0))
        throw std::runtime_error("cannot create a pipe");
    SetHandleInformation(reader, HANDLE_FLAG_INHERIT, 0);

    STARTUPINFOA startup{};
    startup.cb = sizeof startup;
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = writer;
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION process{};
    if (!CreateProcessA(nullptr, command.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr,
                        &startup, &process))
        throw std::runtime_error("cannot start " + own_path());
    CloseHandle(writer);

    std::string text;
    std::array<char, 4096> buffer{};
    DWORD got = 0;
    while (ReadFile(reader, buffer.data(), static_cast<DWORD>(buffer.size()), &got, nullptr) &&
           got != 0) {
        for (DWORD i = 0; i < got; ++i) {
            if (buffer[i] == '\n') {
                line(text);
                text.clear();
            } else if (buffer[i] != '\r') {
                text += buffer[i];
            }
        }
    }
    if (!text.empty())
        line(text);
    CloseHandle(reader);

    WaitForSingleObject(process.hProcess, INFINITE);
    DWORD code = 0;
    GetExitCodeProcess(process.hProcess, &code);
    CloseHandle(process.hProcess);
    CloseHandle(process.hThread);
    if (code == 0)
        return "";
    if (code < 0x80000000)
        return "exit status " + std::to_string(code);
    return "exception " + show_number(code);
}

void exit_at_once(int code)
{
    TerminateProcess(GetCurrentProcess(), static_cast<UINT>(code));
    for (;;)
        Sleep(INFINITE);
}

void no_crash_dialogs()
{
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
}

} // namespace conformance
