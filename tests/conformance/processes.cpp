// SPDX-License-Identifier: LGPL-2.1-or-later
// What other processes, and calls through a process handle, do to watched memory.
#include "another_process.h"
#include "ask.h"
#include "memory.h"
#include "nt.h"
#include "platform.h"
#include "roles.h"

#include <cstdlib>
#include <cstring>
#include <string>

namespace conformance {

#ifdef _WIN32

namespace {

/// conformance --role NAME PID ADDRESS SIZE: the other process.
int other_process(const char* role, DWORD process_id, void* address, SIZE_T size)
{
    const HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, process_id);
    if (!process)
        return 2;
    BOOL done = FALSE;
    if (std::strcmp(role, "write") == 0) {
        const std::string bytes(size, 'x');
        SIZE_T written = 0;
        done = WriteProcessMemory(process, address, bytes.data(), size, &written);
    } else if (std::strcmp(role, "decommit") == 0) {
        done = VirtualFreeEx(process, address, size, MEM_DECOMMIT);
    } else if (std::strcmp(role, "release") == 0) {
        done = VirtualFreeEx(process, address, 0, MEM_RELEASE);
    }
    CloseHandle(process);
    return done ? 0 : 3;
}

void let_another_process(const char* role, void* address, SIZE_T size)
{
    const std::string end =
        run_self({"--role", role, std::to_string(GetCurrentProcessId()),
                  std::to_string(reinterpret_cast<std::uintptr_t>(address)), std::to_string(size)},
                 [](const std::string&) {});
    require(std::string("another process can ") + role + " this memory, got " + end, end.empty());
}

/// A real handle of this process, not the constant that means it.
class OwnHandle {
  public:
    OwnHandle()
    {
        require("this process has a handle",
                DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(),
                                &handle_, 0, FALSE, DUPLICATE_SAME_ACCESS) != FALSE);
    }
    OwnHandle(const OwnHandle&) = delete;
    OwnHandle& operator=(const OwnHandle&) = delete;
    ~OwnHandle() { CloseHandle(handle_); }
    HANDLE get() const { return handle_; }

  private:
    HANDLE handle_ = nullptr;
};

} // namespace

std::optional<int> play_role(int argc, char** argv)
{
    if (const std::optional<int> asked = play_asking_role(argc, argv))
        return asked;
    if (argc != 6 || std::strcmp(argv[1], "--role") != 0)
        return std::nullopt;
    return other_process(
        argv[2], static_cast<DWORD>(std::strtoul(argv[3], nullptr, 10)),
        reinterpret_cast<void*>(static_cast<std::uintptr_t>(std::strtoull(argv[4], nullptr, 10))),
        static_cast<SIZE_T>(std::strtoull(argv[5], nullptr, 10)));
}

RULE(processes, writing_the_own_process_is_a_write, "observed: Wine's tests")
{
    Region region(8);
    const char bytes[16] = {};
    SIZE_T done = 0;
    require("WriteProcessMemory succeeds",
            WriteProcessMemory(GetCurrentProcess(), region.page(3, page_size - 8), bytes,
                               sizeof bytes, &done) != FALSE);
    check_equal("pages returned", region.take(), Pages{3, 4});
    require("NtWriteVirtualMemory succeeds",
            NtWriteVirtualMemory(own_process(), region.page(5), bytes, sizeof bytes, &done) == 0);
    check_equal("pages reported", region.written(), Pages{5});
}

RULE(processes, writing_through_a_handle_is_a_write, "observed: Wine's tests")
{
    const OwnHandle self;
    Region region(8);
    region.write_all();
    region.reset();
    const char bytes[16] = {};
    SIZE_T done = 0;
    require("WriteProcessMemory succeeds",
            WriteProcessMemory(self.get(), region.page(3), bytes, sizeof bytes, &done) != FALSE);
    check_equal("pages reported", region.written(), Pages{3});
}

RULE(processes, write_from_another_process_is_a_write, "observed: Wine's tests")
{
    Region region(8);
    let_another_process("write", region.page(3, page_size - 8), 16);
    check_equal("pages returned", region.take(), Pages{3, 4});
    check("the bytes arrived", *region.page(4) == std::byte{'x'});
    let_another_process("write", region.page(3), 16);
    check_equal("pages reported after a reset and another write", region.written(), Pages{3});
}

RULE(processes, decommit_through_a_handle_cleans, "observed: Wine's tests")
{
    const OwnHandle self;
    Region region(8);
    region.write_all();
    require("VirtualFreeEx succeeds",
            VirtualFreeEx(self.get(), region.page(2), 3 * page_size, MEM_DECOMMIT) != FALSE);
    check_equal("pages reported", region.written(), Pages{0, 1, 5, 6, 7});
    region.commit(2, 3);
    region.write(3);
    check_equal("pages reported after a write", region.written(), Pages{0, 1, 3, 5, 6, 7});
    region.reset();
    region.write(4);
    check_equal("pages reported after a reset and a write", region.written(), Pages{4});
}

RULE(processes, decommit_from_another_process_cleans, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    let_another_process("decommit", region.page(2), 3 * page_size);
    check_equal("pages reported", region.written(), Pages{0, 1, 5, 6, 7});
    region.commit(2, 3);
    region.write(3);
    check_equal("pages reported after a write", region.written(), Pages{0, 1, 3, 5, 6, 7});
}

RULE(processes, release_through_a_handle_ends_the_watch, "Microsoft Learn: VirtualFreeEx")
{
    const OwnHandle self;
    Region region(16);
    region.write(3);
    std::byte* const at = region.base();
    require("VirtualFreeEx succeeds", VirtualFreeEx(self.get(), at, 0, MEM_RELEASE) != FALSE);
    check_fails({.base = at, .size = page_size}, ERROR_INVALID_PARAMETER);
    Region again(16, committed, PAGE_READWRITE, at);
    check_equal("pages of a new region in its place", again.written(), Pages{});
}

RULE(processes, release_from_another_process_ends_the_watch, "Microsoft Learn: VirtualFreeEx")
{
    Region region(16);
    region.write(3);
    std::byte* const at = region.base();
    let_another_process("release", at, 0);
    check_fails({.base = at, .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(processes, protection_through_a_handle_latches, "observed: Wine's tests, the latch")
{
    const OwnHandle self;
    Region region(8);
    region.write(3);
    DWORD old = 0;
    require("VirtualProtectEx succeeds", VirtualProtectEx(self.get(), region.base(), region.size(),
                                                          PAGE_READWRITE, &old) != FALSE);
    check_equal("pages reported", region.written(), Pages{3});
    region.decommit(0, 8);
    check_equal("pages reported when decommitted", region.written(), Pages{3});
}

#else

std::optional<int> play_role(int argc, char** argv)
{
    return play_asking_role(argc, argv);
}

namespace {
constexpr char no_handles[] =
    "natively a process handle is for write watches only; see tests/kernel";
}
NOT_APPLICABLE(processes, writing_the_own_process_is_a_write, no_handles)
NOT_APPLICABLE(processes, writing_through_a_handle_is_a_write, no_handles)
NOT_APPLICABLE(processes, write_from_another_process_is_a_write, no_handles)
NOT_APPLICABLE(processes, decommit_through_a_handle_cleans, no_handles)
NOT_APPLICABLE(processes, decommit_from_another_process_cleans, no_handles)
NOT_APPLICABLE(processes, release_through_a_handle_ends_the_watch, no_handles)
NOT_APPLICABLE(processes, release_from_another_process_ends_the_watch, no_handles)
NOT_APPLICABLE(processes, protection_through_a_handle_latches, no_handles)

#endif

} // namespace conformance
