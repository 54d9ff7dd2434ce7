// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/faults/injector.h"

#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"
#include "shim/sys/page.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
int __real_ioctl(int fd, unsigned long request, ...);
long __real_syscall(long number, ...);
int __real_open64(const char* path, int flags, ...);
ssize_t __real_read(int fd, void* buffer, std::size_t size);
void* __real_mmap64(void* address, std::size_t size, int protection, int flags, int fd,
                    off_t offset);
int __real_munmap(void* address, std::size_t size);
int __real_mprotect(void* address, std::size_t size, int protection);
int __real_madvise(void* address, std::size_t size, int advice);
int __real_mincore(void* address, std::size_t size, unsigned char* vector);
int __real_sigaction(int number, const struct sigaction* action, struct sigaction* old);
// NOLINTEND(bugprone-reserved-identifier)
}

namespace writewatch::faults {

namespace {

using How = Kind::How;

// What each call can answer: ioctl_userfaultfd(2), userfaultfd(2), the kernel's
// Documentation/admin-guide/mm/pagemap.rst, mmap(2), mprotect(2), madvise(2), open(2), read(2).
const std::map<std::string, std::vector<Kind>>& kinds()
{
    static const std::map<std::string, std::vector<Kind>> all{
        {"userfaultfd",
         {{How::fails, EPERM},
          {How::fails, ENOSYS},
          {How::fails, EMFILE},
          {How::fails, ENFILE},
          {How::fails, ENOMEM}}},
        {"UFFDIO_API", {{How::fails, EINVAL}, {How::fails, EPERM}}},
        {"UFFDIO_REGISTER",
         {{How::fails, ENOMEM},
          {How::fails, EINVAL},
          {How::fails, EBUSY},
          {How::fails, EPERM},
          {How::fails, EINTR},
          {How::fails, EAGAIN}}},
        {"UFFDIO_UNREGISTER", {{How::fails, ENOMEM}, {How::fails, EINVAL}, {How::fails, EINTR}}},
        {"UFFDIO_WRITEPROTECT",
         {{How::fails, EAGAIN}, {How::fails, ENOENT}, {How::fails, ENOMEM}, {How::fails, EINTR}}},
        {"PAGEMAP_SCAN",
         {{How::fails, ENOMEM},
          {How::fails, EPERM},
          {How::fails, EFAULT},
          {How::fails, EINVAL},
          {How::fails, EINTR},
          {How::half_then_error, EPERM},
          {How::half_then_error, ENOMEM},
          {How::half_then_error, EINTR}}},
        {"mmap", {{How::fails, ENOMEM}, {How::fails, EAGAIN}}},
        {"munmap", {{How::fails, ENOMEM}}},
        {"mprotect", {{How::fails, ENOMEM}, {How::fails, EACCES}}},
        {"madvise", {{How::fails, ENOMEM}, {How::fails, EINVAL}, {How::fails, EAGAIN}}},
        {"mincore", {{How::fails, EAGAIN}, {How::fails, ENOMEM}}},
        {"open",
         {{How::fails, EMFILE},
          {How::fails, ENFILE},
          {How::fails, ENOENT},
          {How::fails, EACCES},
          {How::fails, ENOMEM}}},
        {"read", {{How::fails, EINTR}, {How::fails, EIO}, {How::one_byte, 0}}},
        {"sigaction", {{How::fails, EINVAL}}},
    };
    return all;
}

std::map<std::string, unsigned> calls;
std::optional<Fault> planned;
bool has_happened = false;
int in_library = 0;
bool lifted = false;

// Whether this call is to go wrong, and how.
std::optional<Kind> next(const std::string& call)
{
    if (in_library == 0 || lifted)
        return std::nullopt;
    const unsigned number = ++calls[call];
    if (!planned || planned->call != call ||
        !(planned->until_lifted ? number >= planned->number : number == planned->number))
        return std::nullopt;
    has_happened = true;
    return planned->kind;
}

// For the calls that can only fail.
bool refuse(const std::string& call)
{
    const auto kind = next(call);
    if (kind)
        errno = kind->error;
    return kind.has_value();
}

int scan(int fd, abi::PmScanArg& argument)
{
    const auto kind = next("PAGEMAP_SCAN");
    if (!kind)
        return __real_ioctl(fd, abi::pagemap_scan_request, &argument);
    if (kind->how == How::half_then_error) {
        abi::PmScanArg half = argument;
        half.end = argument.start + (argument.end - argument.start) / 2 / page_size * page_size;
        (void)__real_ioctl(fd, abi::pagemap_scan_request, &half);
    }
    errno = kind->error;
    return -1;
}

std::string kind_name(const Kind& kind)
{
    switch (kind.how) {
    case How::fails:
        return strerrorname_np(kind.error);
    case How::half_then_error:
        return std::string("half-") + strerrorname_np(kind.error);
    case How::one_byte:
        return "short";
    }
    return {};
}

// A child's answer: nothing, or what went wrong.
std::string in_child(const std::function<std::string()>& body)
{
    std::array<int, 2> channel{};
    if (pipe2(channel.data(), O_CLOEXEC) != 0)
        return "pipe2 fails";
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        close(channel[0]);
        const std::string answer = body();
        const ssize_t written = write(channel[1], answer.data(), answer.size());
        _exit(written == static_cast<ssize_t>(answer.size()) ? 0 : 1);
    }
    close(channel[1]);
    std::string answer;
    std::array<char, 4096> piece;
    for (ssize_t got = 0; (got = ::__real_read(channel[0], piece.data(), piece.size())) > 0;)
        answer.append(piece.data(), static_cast<std::size_t>(got));
    close(channel[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        return std::string("died by ") + sigabbrev_np(WTERMSIG(status)) +
               (WTERMSIG(status) == SIGALRM ? " (hangs)" : "") + (answer.empty() ? "" : ": ") +
               answer;
    return answer;
}

// Runs the scenario without a fault, and sets `calls`. Returns what went wrong.
std::string count_calls(const std::function<std::string()>& scenario)
{
    calls.clear();
    std::string listed = in_child([&] {
        const std::string wrong = scenario();
        if (!wrong.empty())
            return "!" + wrong;
        std::string counts;
        for (const auto& [call, count] : calls)
            counts += call + " " + std::to_string(count) + "\n";
        return counts;
    });
    if (listed.empty())
        return "no calls";
    if (listed[0] == '!' || listed.starts_with("died"))
        return listed;
    std::istringstream lines(listed);
    std::string call;
    for (unsigned count = 0; lines >> call >> count;)
        calls[call] = count;
    return {};
}

constexpr const char* never_reached = "never reached";

std::string run_with(const Fault& fault, const std::function<std::string()>& scenario)
{
    return in_child([&] {
        calls.clear();
        plan(fault);
        const std::string problem = scenario();
        return !problem.empty() ? problem : std::string(happened() ? "" : never_reached);
    });
}

// The registry looks at other processes' segments: as they come and go, a few calls more or less
// are made than were counted.
bool is_no_longer_made(const Fault& fault, const std::function<std::string()>& scenario)
{
    const std::string problem = count_calls(scenario);
    return problem.empty() && calls[fault.call] < fault.number;
}

} // namespace

std::string Fault::name() const
{
    return call + ":" + kind_name(kind) + ":" + std::to_string(number) + (until_lifted ? "+" : "");
}

std::vector<Fault> every_fault()
{
    // Each call at first; of a call made once per page (mprotect), then one in so many.
    const auto step = [](unsigned number, unsigned count) {
        constexpr unsigned each = 40;
        return number < each ? 1 : std::max(1U, count / each);
    };
    std::vector<Fault> faults;
    for (const auto& [call, count] : calls)
        for (unsigned number = 1; number <= count; number += step(number, count))
            for (const Kind& kind : kinds().at(call)) {
                faults.push_back({call, kind, number, false});
                // EINTR and EAGAIN are tried again by whoever gets them: forever is not their way.
                if (kind.error != EINTR && kind.error != EAGAIN)
                    faults.push_back({call, kind, number, true});
            }
    return faults;
}

InLibrary::InLibrary() noexcept
{
    ++in_library;
}

InLibrary::~InLibrary()
{
    --in_library;
}

void plan(const Fault& fault)
{
    planned = fault;
}

void lift()
{
    lifted = true;
}

bool happened()
{
    return has_happened;
}

int run_with_every_fault(const char* program, const std::function<std::string()>& scenario)
{
    const char* const named = std::getenv("WRITEWATCH_FAULT");
    const std::string only = named == nullptr ? "" : named;
    if (const std::string problem = count_calls(scenario); !problem.empty()) {
        std::printf("%s: without any fault: %s\n", program, problem.c_str());
        return 1;
    }
    const std::vector<Fault> faults = every_fault();
    std::printf("%s: %zu faults in %zu kinds of calls\n", program, faults.size(), calls.size());
    for (const auto& [call, count] : calls)
        std::printf("  %-20s %u calls\n", call.c_str(), count);

    std::size_t met = 0;
    std::size_t wrong = 0;
    for (const Fault& fault : faults) {
        if (!only.empty() && only != fault.name())
            continue;
        std::string answer = run_with(fault, scenario);
        if (answer == never_reached) {
            if (is_no_longer_made(fault, scenario)) {
                std::printf("%s: no such call any more\n", fault.name().c_str());
                continue;
            }
            answer = run_with(fault, scenario);
        }
        ++met;
        if (answer.empty())
            continue;
        ++wrong;
        std::printf("%s: %s\n", fault.name().c_str(), answer.c_str());
    }
    if (met == 0)
        std::printf("%s: WRITEWATCH_FAULT: no fault is named '%s'; a name is CALL:ERROR:NUMBER, or "
                    "NUMBER+ for that call and all after it, such as mmap:ENOMEM:2+\n",
                    program, only.c_str());
    std::printf("%s: %zu faults injected, %zu survived, %zu not\n", program, met, met - wrong,
                wrong);
    return wrong == 0 && met > 0 ? 0 : 1;
}

Resources Resources::now()
{
    Resources found;
    if (DIR* const directory = opendir("/proc/self/fd")) {
        while (readdir(directory) != nullptr)
            ++found.descriptors;
        closedir(directory);
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // theirs come and go
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        ++found.mappings;
#endif
    return found;
}

} // namespace writewatch::faults

using writewatch::faults::Kind;
using writewatch::faults::next;
using writewatch::faults::refuse;

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl50-cpp): the linker's names, libc's signatures

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    std::va_list arguments;
    va_start(arguments, request);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    if (request == writewatch::abi::pagemap_scan_request)
        return writewatch::faults::scan(fd, *static_cast<writewatch::abi::PmScanArg*>(argument));
    const char* const name = request == UFFDIO_API            ? "UFFDIO_API"
                             : request == UFFDIO_REGISTER     ? "UFFDIO_REGISTER"
                             : request == UFFDIO_UNREGISTER   ? "UFFDIO_UNREGISTER"
                             : request == UFFDIO_WRITEPROTECT ? "UFFDIO_WRITEPROTECT"
                                                              : nullptr;
    if (name != nullptr && refuse(name))
        return -1;
    return __real_ioctl(fd, request, argument);
}

long __wrap_syscall(long number, ...)
{
    std::va_list arguments;
    va_start(arguments, number);
    std::array<long, 6> values{};
    for (long& value : values)
        // va_start is a builtin. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
        value = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_userfaultfd && refuse("userfaultfd"))
        return -1;
    return __real_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

int __wrap_open64(const char* path, int flags, ...)
{
    std::va_list arguments;
    va_start(arguments, flags);
    const int mode = va_arg(arguments, int);
    va_end(arguments);
    return refuse("open") ? -1 : __real_open64(path, flags, mode);
}

ssize_t __wrap_read(int fd, void* buffer, std::size_t size)
{
    const auto kind = next("read");
    if (kind && kind->how == Kind::How::fails) {
        errno = kind->error;
        return -1;
    }
    return __real_read(fd, buffer, kind ? std::min<std::size_t>(size, 1) : size);
}

void* __wrap_mmap64(void* address, std::size_t size, int protection, int flags, int fd,
                    off_t offset)
{
    return refuse("mmap") ? MAP_FAILED
                          : __real_mmap64(address, size, protection, flags, fd, offset);
}

int __wrap_munmap(void* address, std::size_t size)
{
    return refuse("munmap") ? -1 : __real_munmap(address, size);
}

int __wrap_mprotect(void* address, std::size_t size, int protection)
{
    return refuse("mprotect") ? -1 : __real_mprotect(address, size, protection);
}

int __wrap_madvise(void* address, std::size_t size, int advice)
{
    return refuse("madvise") ? -1 : __real_madvise(address, size, advice);
}

int __wrap_mincore(void* address, std::size_t size, unsigned char* vector)
{
    return refuse("mincore") ? -1 : __real_mincore(address, size, vector);
}

int __wrap_sigaction(int number, const struct sigaction* action, struct sigaction* old)
{
    return refuse("sigaction") ? -1 : __real_sigaction(number, action, old);
}

// NOLINTEND(bugprone-reserved-identifier,cert-dcl50-cpp)
}
