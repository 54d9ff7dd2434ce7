// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Bounds the library's own work in a GetWriteWatch call by counting user-space instructions: the
// one measure that a busy machine does not disturb. A child process makes the calls, its parent
// steps it instruction by instruction (ptrace; the kernel's work is not counted, and nothing is
// emulated, so that the real ioctl answers: valgrind does not know userfaultfd). N and 2N calls are
// counted, and the difference divided by N: start-up and loop set-up cancel out.
//
// Usage: instructions              runs all cases; exit status 1 when a bound does not hold, 77
// when
//                                  this kernel has no PAGEMAP_SCAN or forbids ptrace
//        instructions --child CASE CALLS     what the parent runs
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <writewatch/win32.h>

#include "shim/bench/peer.h"

namespace {

constexpr std::size_t page_size = 4096;

struct Case {
    const char* name;
    std::size_t pages;  // that a call asks about
    std::size_t stride; // every so many pages is written, 0: none
    unsigned calls;     // N
    double bound;       // instructions per call
};

// The bounds leave an eighth of room: for another compiler, not for another algorithm. Measured
// with g++ 12, debugoptimized: 803, 839, 841, 5908, 13751 (of which the counters are 63,
// and 7 a run look whether the kernel's answer can be true).
constexpr Case cases[] = {
    {"one page, clean", 1, 0, 4, 950},
    {"one page, written", 1, 1, 4, 980},
    {"1000 pages, clean", 1000, 0, 4, 990},
    {"1000 pages, all written", 1000, 1, 1, 6'700},
    {"1000 pages, every 2nd written", 1000, 2, 1, 15'400},
};

// Stops this process; the parent sees it and counts from or up to here.
void mark()
{
    raise(SIGSTOP);
}

int run_child(const Case& what, unsigned calls)
{
    const std::size_t bytes = what.pages * page_size;
    auto* const base = static_cast<char*>(
        VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    if (!base)
        return 1;
    std::vector<void*> addresses(what.pages);
    for (std::size_t page = 0; page < what.pages; ++page)
        *static_cast<volatile char*>(base + page * page_size) = 1;
    ResetWriteWatch(base, bytes);
    for (std::size_t page = 0; what.stride && page < what.pages; page += what.stride)
        *static_cast<volatile char*>(base + page * page_size) = 1;
    const auto call = [&] {
        ULONG_PTR count = addresses.size();
        ULONG granularity = 0;
        GetWriteWatch(0, base, bytes, addresses.data(), &count, &granularity);
        return count;
    };
    const std::size_t expected = what.stride ? (what.pages + what.stride - 1) / what.stride : 0;
    if (call() != expected) // also resolves the symbol
        return 1;
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) < 0)
        return 77;
    mark();
    for (unsigned i = 0; i < calls; ++i)
        call();
    mark();
    return 0;
}

// Runs the child and counts its instructions between the two marks; negative: its exit status.
long count_instructions(std::size_t index, unsigned calls)
{
    const std::string case_text = std::to_string(index);
    const std::string calls_text = std::to_string(calls);
    const pid_t child = fork();
    if (child < 0) {
        std::perror("fork");
        std::exit(1);
    }
    if (child == 0) {
        execl("/proc/self/exe", "instructions", "--child", case_text.c_str(), calls_text.c_str(),
              static_cast<char*>(nullptr));
        _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status))
        return WIFEXITED(status) && WEXITSTATUS(status) ? -WEXITSTATUS(status) : -1;
    long steps = 0;
    long last = 0;
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) < 0 ||
            waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
            return -1;
        if (WSTOPSIG(status) == SIGSTOP)
            break; // the second mark
        // A repeated string instruction (rep stos) stops after each repetition: one instruction.
        const long at = ptrace(PTRACE_PEEKUSER, child, offsetof(user, regs.rip), nullptr);
        if (at != last)
            ++steps;
        last = at;
    }
    ptrace(PTRACE_CONT, child, nullptr, nullptr);
    waitpid(child, &status, 0);
    return steps;
}

} // namespace

int main(int argc, char** argv)
{
    constexpr std::size_t case_count = std::size(cases);
    if (argc == 4 && std::strcmp(argv[1], "--child") == 0) {
        const std::size_t index = std::strtoul(argv[2], nullptr, 10);
        return index < case_count
                   ? run_child(cases[index],
                               static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)))
                   : 64;
    }
    if (argc != 1) {
        std::fputs("Usage: instructions\n", stderr);
        return 64;
    }
    try {
        bench::make_peer("floor");
    } catch (const bench::Unavailable& reason) {
        std::fprintf(stderr, "skipped: %s\n", reason.what());
        return 77;
    }

    std::printf("user-space instructions per GetWriteWatch call\n");
    bool holds = true;
    for (std::size_t index = 0; index < case_count; ++index) {
        const Case& what = cases[index];
        const long once = count_instructions(index, what.calls);
        const long twice = count_instructions(index, what.calls * 2);
        if (once < 0 || twice < 0) {
            const int status = static_cast<int>(once < 0 ? -once : -twice);
            std::fprintf(stderr, "%s: '%s' ended with %d\n",
                         status == 77 ? "skipped: ptrace is not allowed here" : "FAILED", what.name,
                         status);
            return status == 77 ? 77 : 1;
        }
        const double per_call = static_cast<double>(twice - once) / what.calls;
        const bool good = per_call > 0 && per_call <= what.bound;
        std::printf("%-32s %8.0f  <= %.0f %s\n", what.name, per_call, what.bound,
                    good ? "" : "FAILED");
        holds = holds && good;
    }
    return holds ? 0 : 1;
}
