// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stands in for Wine's loader: opens the ntdll.so that it is given, and then
//   expect-inert        checks that not a word of its table was changed
//   expect-microsoft    runs watches through the table, by the Microsoft ABI
//   expect-system-v     the same by the System V ABI
// Option --without-userfaultfd first takes that system call away from the process.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

enum Index { allocate, allocate_ex, free_memory, get, protect, reset, set_information, count };

constexpr const char* names[count] = {"NtAllocateVirtualMemory",      "NtAllocateVirtualMemoryEx",
                                      "NtFreeVirtualMemory",          "NtGetWriteWatch",
                                      "NtProtectVirtualMemory",       "NtResetWriteWatch",
                                      "NtSetInformationVirtualMemory"};

constexpr std::size_t page = 4096;
constexpr unsigned mem_commit = 0x1000;
constexpr unsigned mem_reserve = 0x2000;
constexpr unsigned mem_decommit = 0x4000;
constexpr unsigned mem_release = 0x8000;
constexpr unsigned mem_write_watch = 0x200000;

int failures = 0;

void check(bool ok, const char* what, int line)
{
    if (ok)
        return;
    std::fprintf(stderr, "fake-loader.cpp:%d: failed: %s\n", line, what);
    ++failures;
}
#define CHECK(condition) check(condition, #condition, __LINE__)

void forbid_userfaultfd()
{
    sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program{4, instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        std::perror("seccomp");
        std::exit(2);
    }
}

// What became of protections while ntdll.so was opened and taken over.
struct Protections {
    bool observed = false;
    unsigned made_writable = 0;
    std::set<std::uintptr_t> writable_now; // pages
} protections;

// A mapping that is writable and executable, or an empty line.
std::string writable_and_executable()
{
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        const std::size_t permissions = line.find(' ') + 1;
        if (line[permissions + 1] == 'w' && line[permissions + 2] == 'x')
            return line;
    }
    return {};
}

void observe(std::uintptr_t start, std::size_t size, int protection)
{
    CHECK((protection & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC));
    CHECK(writable_and_executable().empty());
    for (std::uintptr_t at = start; at < start + size; at += page) {
        if ((protection & PROT_WRITE) != 0) {
            ++protections.made_writable;
            protections.writable_now.insert(at);
        } else {
            protections.writable_now.erase(at);
        }
    }
}

bool is_writable(const void* address)
{
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t start = 0;
        std::uintptr_t end = 0;
        char permissions[5] = {};
        if (std::sscanf(line.c_str(), "%lx-%lx %4s", &start, &end, permissions) == 3 &&
            wanted >= start && wanted < end)
            return permissions[1] == 'w';
    }
    return false;
}

struct Fake {
    void* library;
    const std::uintptr_t* table; // null: this one has none

    std::uintptr_t exported(Index index) const
    {
        return reinterpret_cast<std::uintptr_t>(dlsym(library, names[index]));
    }
};

void expect_inert(const Fake& fake)
{
    if (fake.table == nullptr)
        return;
    for (int i = 0; i < count; ++i) {
        // A function that is not exported cannot be looked up; all others must still be themselves.
        const std::uintptr_t exported = fake.exported(static_cast<Index>(i));
        CHECK(exported == 0 || fake.table[i] == exported);
    }
    CHECK(!is_writable(fake.table));
}

#define CONVENTION __attribute__((ms_abi))
#define EXPECT_WATCHES expect_watches_microsoft
#include "fake-loader-watches.inc"
#undef CONVENTION
#undef EXPECT_WATCHES
#define CONVENTION
#define EXPECT_WATCHES expect_watches_system_v
#include "fake-loader-watches.inc"

} // namespace

extern "C" int mprotect(void* address, std::size_t size, int protection) noexcept
{
    const auto result = static_cast<int>(syscall(SYS_mprotect, address, size, protection));
    if (protections.observed && result == 0)
        observe(reinterpret_cast<std::uintptr_t>(address), size, protection);
    return result;
}

int main(int argc, char** argv)
{
    int argument = 1;
    if (argc > 1 && std::string_view(argv[1]) == "--without-userfaultfd") {
        forbid_userfaultfd();
        ++argument;
    }
    if (argc != argument + 2) {
        std::fprintf(stderr, "usage: fake-loader [--without-userfaultfd] NTDLL.SO EXPECTATION\n");
        return 64;
    }
    protections.observed = true;
    void* library = dlopen(argv[argument], RTLD_NOW);
    protections.observed = false;
    if (library == nullptr) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    const Fake fake{library, static_cast<const std::uintptr_t*>(dlsym(library, "fake_table"))};
    const std::string_view expectation = argv[argument + 1];
    // The table is read-only data (RELRO): it was opened to be changed, and nothing was left open.
    CHECK((protections.made_writable > 0) == (expectation != "expect-inert"));
    CHECK(protections.writable_now.empty());
    CHECK(writable_and_executable().empty());
    if (expectation == "expect-inert")
        expect_inert(fake);
    else if (expectation == "expect-microsoft")
        expect_watches_microsoft(fake);
    else if (expectation == "expect-system-v")
        expect_watches_system_v(fake);
    else
        return 64;
    return failures == 0 ? 0 : 1;
}
