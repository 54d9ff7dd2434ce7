// SPDX-License-Identifier: LGPL-2.1-or-later
// NtGetWriteWatch and NtResetWriteWatch through the handle of another process. The rule's process
// is the one that is asked about: it starts this program again, as the one that asks.
//
// Microsoft documents neither function. That the handle means the process is said by their
// parameters; the rights are those of the functions beside them: VirtualQueryEx needs
// PROCESS_QUERY_INFORMATION, and an operation on another address space PROCESS_VM_OPERATION
// (Microsoft Learn: Process Security and Access Rights).
#include "another_process.h"

#include "memory.h"
#include "platform.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#ifndef _WIN32
#include <unistd.h>
#endif

namespace conformance {

namespace {

constexpr char contract[] = "contract: a process handle means that process";

constexpr Status status_access_denied{static_cast<NTSTATUS>(0xC0000022)};
constexpr Status status_process_is_terminating{static_cast<NTSTATUS>(0xC000010A)};
constexpr DWORD full = PROCESS_QUERY_INFORMATION | PROCESS_VM_OPERATION;
constexpr ULONG reset_function = 2; // as "flags": NtResetWriteWatch

DWORD process_id()
{
#ifdef _WIN32
    return GetCurrentProcessId();
#else
    return static_cast<DWORD>(getpid());
#endif
}

std::uint64_t number(const char* text)
{
    return std::strtoull(text, nullptr, 10);
}

int ask_about(DWORD pid, void* base, SIZE_T size, DWORD access, ULONG flags, ULONG_PTR capacity)
{
    HANDLE process = OpenProcess(access, FALSE, pid);
    if (!process) {
        std::printf("no handle: error %lu\n", static_cast<unsigned long>(GetLastError()));
        return 2;
    }
    std::vector<void*> pages(capacity);
    ULONG_PTR count = capacity;
    ULONG granularity = 0;
    const NTSTATUS status =
        flags == reset_function
            ? NtResetWriteWatch(process, base, size)
            : NtGetWriteWatch(process, flags, base, size, pages.data(), &count, &granularity);
    CloseHandle(process);
    std::printf("status %lu\n", static_cast<unsigned long>(static_cast<ULONG>(status)));
    if (status == 0 && flags != reset_function) {
        std::printf("granularity %lu\n", static_cast<unsigned long>(granularity));
        for (ULONG_PTR i = 0; i < count; ++i)
            std::printf("page %llu\n", static_cast<unsigned long long>(
                                           reinterpret_cast<std::uintptr_t>(pages[i])));
    }
    return 0;
}

struct Seen {
    Status status{};
    Pages pages;
    bool operator==(const Seen&) const = default;
};

// What another process is answered about pages of the region.
Seen seen_by_another(const Region& region, ULONG flags, std::size_t first, std::size_t count,
                     DWORD access = full, std::size_t capacity = 100)
{
    Seen seen{{-1}, {}};
    const std::string end = run_self(
        {"--role", "ask", std::to_string(process_id()),
         std::to_string(reinterpret_cast<std::uintptr_t>(region.base()) + first * page_size),
         std::to_string(count * page_size), std::to_string(access), std::to_string(flags),
         std::to_string(capacity)},
        [&](const std::string& line) {
            const std::size_t space = line.find(' ');
            const std::string word = line.substr(0, space);
            if (word == "status")
                seen.status = {static_cast<NTSTATUS>(number(line.c_str() + space + 1))};
            else if (word == "granularity")
                check_equal("granularity", number(line.c_str() + space + 1),
                            std::uint64_t{page_size});
            else if (word == "page")
                seen.pages.push_back(
                    page_of(region, reinterpret_cast<void*>(static_cast<std::uintptr_t>(
                                        number(line.c_str() + space + 1)))));
            else
                note(line);
        });
    require("another process can ask about this one, got " + end, end.empty());
    return seen;
}

Seen seen_by_another(const Region& region, ULONG flags, DWORD access = full)
{
    return seen_by_another(region, flags, 0, region.pages(), access);
}

void check_seen(const char* what, const Seen& seen, const Pages& pages,
                const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    if (check_equal(std::string(what) + ": status", seen.status, status_success, file, line))
        check_equal(std::string(what) + ": pages", seen.pages, pages, file, line);
}

} // namespace

std::optional<int> play_asking_role(int argc, char** argv)
{
    if (argc == 3 && std::strcmp(argv[1], "--role") == 0 && std::strcmp(argv[2], "linger") == 0) {
        std::printf("pid %lu\n", static_cast<unsigned long>(process_id()));
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        return 0;
    }
    if (argc != 9 || std::strcmp(argv[1], "--role") != 0 || std::strcmp(argv[2], "ask") != 0)
        return std::nullopt;
    return ask_about(static_cast<DWORD>(number(argv[3])),
                     reinterpret_cast<void*>(static_cast<std::uintptr_t>(number(argv[4]))),
                     static_cast<SIZE_T>(number(argv[5])), static_cast<DWORD>(number(argv[6])),
                     static_cast<ULONG>(number(argv[7])), static_cast<ULONG_PTR>(number(argv[8])));
}

RULE(another_process, sees_the_written_pages, contract)
{
    Region region(16);
    check_seen("of a fresh region", seen_by_another(region, 0), {});
    region.write({3, 5, 15});
    check_seen("of the region", seen_by_another(region, 0), {3, 5, 15});
    check_seen("of a part of it", seen_by_another(region, 0, 4, 6), {5});
    check_equal("pages reported here afterwards", region.written(), Pages{3, 5, 15});
}

RULE(another_process, resets_what_it_is_given, contract)
{
    Region region(16);
    region.write({3, 5, 15});
    check_seen("two of them, with reset",
               seen_by_another(region, WRITE_WATCH_FLAG_RESET, 0, 16, full, 2), {3, 5});
    check_equal("pages reported here afterwards", region.written(), Pages{15});
    region.write(3);
    check_seen("after another write", seen_by_another(region, WRITE_WATCH_FLAG_RESET), {3, 15});
    check_equal("pages reported here at the end", region.written(), Pages{});
}

RULE(another_process, resets_a_range, contract)
{
    Region region(16);
    region.write({3, 5, 15});
    check_equal("NtResetWriteWatch", seen_by_another(region, reset_function, 0, 8).status,
                status_success);
    check_equal("pages reported here afterwards", region.written(), Pages{15});
}

RULE(another_process, sees_latched_pages, contract)
{
    Region region(16);
    region.write({3, 5});
    region.protect(0, 4, PAGE_READWRITE);
    region.decommit_all();
    check_seen("when decommitted", seen_by_another(region, 0), {3});
    region.commit(0, 16);
    region.write(9);
    check_seen("with reset", seen_by_another(region, WRITE_WATCH_FLAG_RESET), {3, 9});
    check_seen("once more", seen_by_another(region, 0), {});
    check_equal("pages reported here afterwards", region.written(), Pages{});
    // The reset concerned what was latched then.
    region.write(3);
    region.protect(0, 16, PAGE_READWRITE);
    region.decommit_all();
    check_equal("pages reported here when latched again", region.written(), Pages{3});
    check_equal("NtResetWriteWatch", seen_by_another(region, reset_function).status,
                status_success);
    check_equal("pages reported here at the end", region.written(), Pages{});
}

RULE(another_process, needs_the_right_to, contract)
{
    Region region(16);
    region.write(3);
    constexpr DWORD limited = PROCESS_QUERY_LIMITED_INFORMATION;
    check_equal("to read, with neither right", seen_by_another(region, 0, limited).status,
                status_access_denied);
    check_seen("with PROCESS_QUERY_INFORMATION",
               seen_by_another(region, 0, PROCESS_QUERY_INFORMATION), {3});
    for (const ULONG flags : {ULONG{WRITE_WATCH_FLAG_RESET}, reset_function}) {
        check_equal("to reset, with neither right", seen_by_another(region, flags, limited).status,
                    status_access_denied);
        check_equal("to reset, with PROCESS_QUERY_INFORMATION",
                    seen_by_another(region, flags, PROCESS_QUERY_INFORMATION).status,
                    status_access_denied);
    }
    check_equal("pages reported here afterwards", region.written(), Pages{3});
    check_seen("with PROCESS_VM_OPERATION",
               seen_by_another(region, WRITE_WATCH_FLAG_RESET, PROCESS_VM_OPERATION), {3});
}

RULE(another_process, memory_that_is_not_watched_there_is_invalid, contract)
{
    Region region(16);
    region.write(3);
    check_equal("a range past the end", seen_by_another(region, 0, 8, 9).status,
                status_invalid_parameter);
    check_equal("size 0", seen_by_another(region, 0, 0, 0).status, status_invalid_parameter);
    check_equal("unknown flags", seen_by_another(region, 4).status, status_invalid_parameter);
    check_equal("to reset past the end", seen_by_another(region, reset_function, 8, 9).status,
                status_invalid_parameter);
    region.release();
    // page_of() is not asked: there are no pages.
    check_equal("released memory", seen_by_another(region, WRITE_WATCH_FLAG_RESET, 0, 16).status,
                status_invalid_parameter);
    Region plain(16, unwatched);
    store(plain.page(3));
    check_equal("memory without a watch", seen_by_another(plain, 0).status,
                status_invalid_parameter);
}

RULE(another_process, that_has_ended_is_terminating, contract)
{
    HANDLE process = nullptr;
    const std::string end = run_self({"--role", "linger"}, [&](const std::string& line) {
        if (line.rfind("pid ", 0) == 0)
            process = OpenProcess(full, FALSE, static_cast<DWORD>(number(line.c_str() + 4)));
    });
    require("it was there, and ended with " + end, process != nullptr && end.empty());
    Region region(16);
    region.write(3);
    void* pages[16];
    ULONG_PTR count = 16;
    ULONG granularity = 0;
    check_equal("NtGetWriteWatch",
                Status{NtGetWriteWatch(process, WRITE_WATCH_FLAG_RESET, region.base(),
                                       region.size(), pages, &count, &granularity)},
                status_process_is_terminating);
    check_equal("NtResetWriteWatch",
                Status{NtResetWriteWatch(process, region.base(), region.size())},
                status_process_is_terminating);
    check_equal("pages reported here afterwards", region.written(), Pages{3});
    check("the handle can be closed", CloseHandle(process) != FALSE);
}

RULE(another_process, that_was_closed_is_no_handle, "Microsoft Learn: CloseHandle")
{
    Region region(16);
    HANDLE process = OpenProcess(full, FALSE, process_id());
    require("OpenProcess", process != nullptr);
    check("it can be closed", CloseHandle(process) != FALSE);
    check_equal("NtResetWriteWatch",
                Status{NtResetWriteWatch(process, region.base(), region.size())},
                status_invalid_handle);
}

} // namespace conformance
