// SPDX-License-Identifier: LGPL-2.1-or-later
//
// For programs that test the C API on real memory: a tracker, mappings of every kind, children.
// Which backend runs is WRITEWATCH_BACKEND's choice: Meson runs each program once per backend.
#pragma once

#include "tests/support/catch.h"

#include <writewatch/writewatch.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace writewatch::test {

inline constexpr std::size_t page = 4096;
inline constexpr std::size_t huge_page = 2 * 1024 * 1024;

using Numbers = std::vector<std::size_t>;

// What missing() answers for a program of this kind.
inline std::optional<Missing> missing_backend()
{
    ww_tracker* tracker = nullptr;
    const int error = ww_open(nullptr, &tracker);
    if (error == 0) {
        ww_close(tracker);
        return std::nullopt;
    }
    const char* const name = std::getenv("WRITEWATCH_BACKEND");
    return Missing{name != nullptr ? name : "backend", std::strerror(-error)};
}

inline bool is_mprotect()
{
    const char* const name = std::getenv("WRITEWATCH_BACKEND");
    return name != nullptr && std::strcmp(name, "mprotect") == 0;
}

class Mapping {
  public:
    explicit Mapping(std::size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1,
                     std::size_t alignment = page)
        : bytes_(pages * page)
    {
        // Surrounded by inaccessible pages, so that it does not merge with a neighbour.
        whole_bytes_ = bytes_ + 2 * page + alignment;
        void* const whole = mmap(nullptr, whole_bytes_, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        REQUIRE(whole != MAP_FAILED);
        whole_ = static_cast<char*>(whole);
        const auto first = reinterpret_cast<std::uintptr_t>(whole_) + page;
        start_ = whole_ + ((first + alignment - 1) / alignment * alignment - (first - page));
        void* const memory = mmap(start_, bytes_, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
        error_ = memory == MAP_FAILED ? errno : 0;
    }
    ~Mapping()
    {
        if (whole_ != nullptr)
            munmap(whole_, whole_bytes_);
    }
    Mapping(Mapping&& other) noexcept
        : bytes_(other.bytes_), whole_bytes_(other.whole_bytes_),
          whole_(std::exchange(other.whole_, nullptr)), start_(other.start_), error_(other.error_)
    {}
    Mapping& operator=(Mapping&&) = delete;

    int error() const { return error_; }
    char* start() const { return start_; }
    char* at(std::size_t number) const { return start_ + number * page; }
    std::size_t bytes() const { return bytes_; }
    std::size_t pages() const { return bytes_ / page; }

    void write(std::size_t number) const
    {
        volatile char* const byte = at(number);
        *byte = static_cast<char>(*byte + 1);
    }
    void write(std::initializer_list<std::size_t> numbers) const
    {
        for (const std::size_t number : numbers)
            write(number);
    }
    void write_all() const
    {
        for (std::size_t i = 0; i < pages(); ++i)
            write(i);
    }
    char read(std::size_t number) const { return *const_cast<volatile char*>(at(number)); }

    // New private anonymous memory in place of some pages.
    void replace(std::size_t first, std::size_t count) const
    {
        REQUIRE(mmap(at(first), count * page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at(first));
    }
    void unmap(std::size_t first, std::size_t count) const
    {
        REQUIRE(munmap(at(first), count * page) == 0);
    }

  private:
    std::size_t bytes_;
    std::size_t whole_bytes_ = 0;
    char* whole_ = nullptr;
    char* start_ = nullptr;
    int error_ = 0;
};

class Tracker {
  public:
    Tracker() { REQUIRE(ww_open(nullptr, &tracker_) == 0); }
    ~Tracker() { ww_close(tracker_); }
    Tracker(const Tracker&) = delete;
    Tracker& operator=(const Tracker&) = delete;

    operator ww_tracker*() const { return tracker_; }

    int watch(const Mapping& memory, unsigned flags = 0) const
    {
        return ww_watch(tracker_, memory.start(), memory.bytes(), flags);
    }

    // Page numbers of the mapping; {~0, errno} on failure. No Catch2 in here: children use it.
    Numbers collect(const Mapping& memory, unsigned flags, std::size_t first, std::size_t count,
                    std::size_t capacity) const
    {
        std::vector<void*> found(capacity);
        const long n =
            ww_collect(tracker_, memory.at(first), count * page, flags, found.data(), capacity);
        if (n < 0)
            return {~std::size_t{0}, static_cast<std::size_t>(-n)};
        Numbers numbers;
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
            numbers.push_back(
                static_cast<std::size_t>(static_cast<char*>(found[i]) - memory.start()) / page);
        return numbers;
    }
    Numbers get(const Mapping& memory) const
    {
        return collect(memory, 0, 0, memory.pages(), memory.pages());
    }
    Numbers get_and_reset(const Mapping& memory) const
    {
        return collect(memory, WW_RESET, 0, memory.pages(), memory.pages());
    }

  private:
    ww_tracker* tracker_ = nullptr;
};

// A file descriptor of a file with so many pages of zeroes; unlinked.
class TemporaryFile {
  public:
    explicit TemporaryFile(std::size_t pages)
    {
        char name[] = "/tmp/writewatch-test-XXXXXX";
        fd_ = mkstemp(name);
        REQUIRE(fd_ >= 0);
        unlink(name);
        REQUIRE(ftruncate(fd_, static_cast<off_t>(pages * page)) == 0);
    }
    ~TemporaryFile() { close(fd_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    int fd() const { return fd_; }

  private:
    int fd_;
};

// Runs body in a forked child: its result, 200 + the signal that ended it, or 199 after half a
// minute. The body reports by numbers, since Catch2 does not work across fork.
template<typename Body> int in_child(Body body)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(30);
        signal(SIGALRM, [](int) { _exit(199); });
        _exit(body());
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status);
}

} // namespace writewatch::test
