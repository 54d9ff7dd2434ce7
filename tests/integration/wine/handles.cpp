// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Wine runs memory calls through a real handle, and those of another process, as an APC in the
// target, straight in its own functions. What they do to a watched region must still be seen, also
// while a collector reads it.
#include "check.h"

#include <atomic>
#include <string>
#include <thread>

namespace {

HANDLE duplicate_self()
{
    HANDLE self = nullptr;
    CHECK(DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &self, 0,
                          FALSE, DUPLICATE_SAME_ACCESS));
    return self;
}

// Runs this program again as `handles PID address…`, which acts on this process.
DWORD run_other_process(const char* what, volatile char* address)
{
    char program[MAX_PATH];
    GetModuleFileNameA(nullptr, program, sizeof(program));
    char command[MAX_PATH + 100];
    std::snprintf(command, sizeof(command), "\"%s\" %s %lu %p", program, what,
                  static_cast<unsigned long>(GetCurrentProcessId()), unqualified(address));
    STARTUPINFOA startup{};
    startup.cb = sizeof(startup);
    PROCESS_INFORMATION process{};
    if (!CreateProcessA(program, command, nullptr, nullptr, TRUE, 0, nullptr, nullptr, &startup,
                        &process))
        return 99;
    WaitForSingleObject(process.hProcess, 30000);
    DWORD code = 98;
    GetExitCodeProcess(process.hProcess, &code);
    CloseHandle(process.hProcess);
    CloseHandle(process.hThread);
    return code;
}

int act_as_other_process(const std::string& what, DWORD process_id, void* address)
{
    HANDLE target = OpenProcess(PROCESS_ALL_ACCESS, FALSE, process_id);
    if (target == nullptr)
        return 1;
    if (what == "decommit")
        return VirtualFreeEx(target, address, 16 * page, MEM_DECOMMIT) ? 0 : 2;
    if (what == "release")
        return VirtualFreeEx(target, address, 0, MEM_RELEASE) ? 0 : 3;
    if (what == "write") {
        const char data = 1;
        SIZE_T done = 0;
        return WriteProcessMemory(target, static_cast<char*>(address) + 7 * page, &data, 1, &done)
                   ? 0
                   : 4;
    }
    if (what == "decommit-loop") {
        for (int i = 0; i < 300; ++i) {
            if (!VirtualFreeEx(target, address, 16 * page, MEM_DECOMMIT) ||
                VirtualAllocEx(target, address, 16 * page, MEM_COMMIT, PAGE_READWRITE) == nullptr)
                return 5;
        }
        return 0;
    }
    return 6;
}

// `decommit(p)` and `release(p)` act on 16 pages at p.
template<typename Decommit, typename Release>
void test_one_by_one(Decommit decommit, Release release)
{
    volatile char* p = allocate_watched(32);
    touch(p, {2, 20});
    CHECK(decommit(p));
    CHECK(written(p, 32) == Pages{20});
    CHECK(VirtualAlloc(unqualified(p), 16 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    CHECK(p[2 * page] == 0);
    CHECK(written(p, 32) == Pages{20});
    // Tracked again: seen, reset, seen again.
    p[2 * page] = 1;
    CHECK(written(p, 32, WRITE_WATCH_FLAG_RESET) == (Pages{2, 20}));
    CHECK(written(p, 32) == Pages{});
    p[2 * page] = 1;
    CHECK(written(p, 32) == Pages{2});

    CHECK(release(p));
    CHECK(written(p, 32) == Pages{-1});
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
    // The addresses start afresh.
    volatile char* q = static_cast<volatile char*>(VirtualAlloc(
        unqualified(p), 32 * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    if (q != nullptr) {
        CHECK(written(q, 32) == Pages{});
        q[5 * page] = 1;
        CHECK(written(q, 32) == Pages{5});
        CHECK(VirtualFree(unqualified(q), 0, MEM_RELEASE));
    }
}

// A collector gets with reset all the time while the first half is decommitted behind its back.
// Each write to the second half must be reported, once per reset; none may be lost.
template<typename DecommitLoop> void test_under_a_collector(DecommitLoop decommit_loop)
{
    volatile char* p = allocate_watched(32);
    std::atomic<bool> stop{false};
    std::atomic<bool> failed{false};
    std::atomic<unsigned long> reported{0};
    std::thread collector([&] {
        unsigned long count = 0;
        while (!stop) {
            const Pages pages = written(p, 32, WRITE_WATCH_FLAG_RESET);
            if (pages == Pages{-1}) {
                failed = true;
                break;
            }
            for (const long number : pages) {
                if (number == 20)
                    reported = ++count;
            }
        }
    });
    std::atomic<unsigned long> writes{0};
    std::thread writer([&] {
        while (!stop) {
            const unsigned long before = reported;
            p[20 * page] = static_cast<char>(++writes);
            // The next write only after the collector has seen this one: each is then one report.
            const DWORD start = GetTickCount();
            while (reported == before && !stop) {
                if (GetTickCount() - start > 5000) {
                    std::printf("write %lu was lost\n", writes.load());
                    failed = true;
                    return;
                }
                SwitchToThread();
            }
        }
    });
    CHECK(decommit_loop(p));
    Sleep(100);
    stop = true;
    writer.join();
    collector.join();
    CHECK(!failed);
    CHECK(writes > 10);
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

// A real handle to this process works wherever the pseudo handle does.
void test_get_by_real_handle(HANDLE self)
{
    volatile char* p = allocate_watched(4);
    p[page] = 1;
    void* addresses[4];
    ULONG_PTR count = 4;
    ULONG granularity = 0;
    CHECK(NtGetWriteWatch(self, 0, unqualified(p), 4 * page, addresses, &count, &granularity) == 0);
    CHECK(count == 1 && addresses[0] == unqualified(p + page));
    CHECK(NtResetWriteWatch(self, unqualified(p), 4 * page) == 0);
    CHECK(written(p, 4) == Pages{});
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

// What another process, or a real handle, allocates stays Wine's own, watched by Wine.
void test_foreign_allocation(HANDLE self)
{
    auto* p = static_cast<volatile char*>(VirtualAllocEx(
        self, nullptr, 4 * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    CHECK(p != nullptr);
    p[2 * page] = 1;
    CHECK(written(p, 4, WRITE_WATCH_FLAG_RESET) == Pages{2});
    CHECK(written(p, 4) == Pages{});
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 4)
        return act_as_other_process(argv[1], std::strtoul(argv[2], nullptr, 10),
                                    reinterpret_cast<void*>(std::strtoull(argv[3], nullptr, 16)));

    HANDLE self = duplicate_self();
    test_one_by_one(
        [&](volatile char* p) {
            return VirtualFreeEx(self, unqualified(p), 16 * page, MEM_DECOMMIT) != 0;
        },
        [&](volatile char* p) { return VirtualFreeEx(self, unqualified(p), 0, MEM_RELEASE) != 0; });
    test_one_by_one([](volatile char* p) { return run_other_process("decommit", p) == 0; },
                    [](volatile char* p) { return run_other_process("release", p) == 0; });
    test_under_a_collector([&](volatile char* p) {
        for (int i = 0; i < 3000; ++i) {
            if (!VirtualFreeEx(self, unqualified(p), 16 * page, MEM_DECOMMIT) ||
                VirtualAllocEx(self, unqualified(p), 16 * page, MEM_COMMIT, PAGE_READWRITE) ==
                    nullptr)
                return false;
        }
        return true;
    });
    test_under_a_collector(
        [](volatile char* p) { return run_other_process("decommit-loop", p) == 0; });
    test_get_by_real_handle(self);
    test_foreign_allocation(self);

    volatile char* p = allocate_watched(16);
    CHECK(run_other_process("write", p) == 0);
    CHECK(p[7 * page] == 1);
    CHECK(written(p, 16) == Pages{7});
    return finish("handles");
}
