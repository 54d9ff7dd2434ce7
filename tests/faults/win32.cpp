// SPDX-License-Identifier: LGPL-2.1-or-later
// Every system call of the Win32 host fails once, and from some point on, in every way it can: each
// call of the program's then fails cleanly or reports too much, nothing written is lost, later
// calls are right, and nothing is left behind.
#include "tests/faults/expected.h"
#include "tests/faults/injector.h"

#include <writewatch/win32.h>

#include <cstdio>
#include <cstring>
#include <vector>

using namespace writewatch::faults;

namespace {

constexpr std::size_t page_size = 4096;
// Every second one written makes more runs than one PAGEMAP_SCAN hands over.
constexpr std::size_t page_count = 1200;

constexpr DWORD error_not_supported = 50; // ERROR_NOT_SUPPORTED, which win32.h does not need

struct Unavailable {};

class Program {
  public:
    void run()
    {
        allocate();
        write({0, page_count}, 2);
        collect({0, page_count}, true, page_count); // more than one batch
        write({100, 140}, 1);
        write({700, 900}, 3);
        collect({0, page_count}, false, page_count);
        collect({0, page_count}, true, 7);
        collect({0, page_count}, true, 50);
        collect({120, 121}, true, 1);
        protect({80, 300}, PAGE_READONLY);
        protect({90, 110}, PAGE_READWRITE);
        decommit({100, 200});
        collect({0, page_count}, false, page_count);
        commit({100, 200});
        write({150, 160}, 1);
        reset({0, 155});
        protect({0, page_count}, PAGE_READWRITE);
        collect({0, page_count}, true, page_count);
        write({0, page_count}, 2);
        reset({0, page_count});
        discard({0, 10});
        write({5, page_count}, 2);
        collect({0, page_count}, true, page_count);
        // Whatever happened: once everything was reset, everything is exact.
        lift();
        reset({0, page_count});
        exact_ = true;
        write({0, page_count}, 5);
        collect({0, page_count}, true, page_count);
        collect({0, page_count}, true, page_count);
        release();
    }

  private:
    // Performs a call. One that fails under a fault has changed nothing that can be seen, and
    // succeeds when it is tried again without.
    template<typename Call> void perform(const char* name, Call call)
    {
        if (attempt(call))
            return;
        require(happened(), std::string(name) + " fails without a fault");
        lift();
        if (base_ != nullptr) {
            check_usable();
            check(ask({0, page_count}, 0, page_count), {0, page_count}, false, page_count);
        }
        require(attempt(call), std::string(name) + " fails again, without a fault");
    }

    template<typename Call> static bool attempt(Call call)
    {
        const InLibrary inside;
        return call();
    }

    // A backend that could not be opened when the process made its first call stays unavailable
    // (README, "How it chooses a backend"): then the answer is ERROR_NOT_SUPPORTED, each time.
    void allocate()
    {
        const auto call = [&] {
            base_ = static_cast<char*>(VirtualAlloc(nullptr, page_count * page_size,
                                                    MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
                                                    PAGE_READWRITE));
            return base_ != nullptr;
        };
        if (attempt(call))
            return;
        require(happened(), "VirtualAlloc fails without a fault");
        lift();
        if (GetLastError() == error_not_supported)
            throw Unavailable{};
        require(attempt(call), "VirtualAlloc fails again, without a fault");
    }

    void release()
    {
        perform("VirtualFree", [&] { return VirtualFree(base_, 0, MEM_RELEASE) != FALSE; });
    }

    void commit(Range r)
    {
        perform("VirtualAlloc MEM_COMMIT", [&] {
            return VirtualAlloc(at(r.first), bytes(r), MEM_COMMIT, PAGE_READWRITE) == at(r.first);
        });
        pages_.for_each(r, [](Page& page) { page.committed = true; });
    }

    void decommit(Range r)
    {
        perform("VirtualFree MEM_DECOMMIT",
                [&] { return VirtualFree(at(r.first), bytes(r), MEM_DECOMMIT) != FALSE; });
        pages_.for_each(r, [](Page& page) { page.committed = page.written = false; });
    }

    void protect(Range r, DWORD protection)
    {
        perform("VirtualProtect", [&] {
            DWORD old = 0xdead;
            const bool done = VirtualProtect(at(r.first), bytes(r), protection, &old) != FALSE;
            require(done || old == 0xdead, "VirtualProtect fails, and writes the old protection");
            return done;
        });
        pages_.for_each(r, [](Page& page) { page.latched = page.latched || page.written; });
    }

    // Contents may go, written state with them: counts as neither until it is written again.
    void discard(Range r)
    {
        perform("VirtualAlloc MEM_RESET", [&] {
            return VirtualAlloc(at(r.first), bytes(r), MEM_RESET, PAGE_NOACCESS) != nullptr;
        });
    }

    void reset(Range r)
    {
        perform("ResetWriteWatch", [&] { return ResetWriteWatch(at(r.first), bytes(r)) == 0; });
        pages_.for_each(r, [](Page& page) { page.written = page.latched = false; });
    }

    void write(Range r, std::size_t step)
    {
        for (std::size_t i = r.first; i < r.end; i += step) {
            if (!writable(i))
                continue;
            *static_cast<volatile char*>(at(i)) = 1;
            pages_[i].written = true;
        }
    }

    // Memory that the program may write it can write, also after a call about it has failed.
    void check_usable()
    {
        for (std::size_t i = 0; i < page_count; ++i)
            if (writable(i)) {
                static_cast<volatile char*>(at(i))[1] = 1;
                pages_[i].written = true;
            }
    }

    bool writable(std::size_t page)
    {
        MEMORY_BASIC_INFORMATION info{};
        require(VirtualQuery(at(page), &info, sizeof info) == sizeof info, "VirtualQuery fails");
        require((info.State == MEM_COMMIT) == pages_[page].committed,
                "page " + std::to_string(page) + ": VirtualQuery's state is wrong");
        return info.State == MEM_COMMIT && info.Protect == PAGE_READWRITE;
    }

    struct Answer {
        bool success = false;
        std::vector<std::size_t> pages;
    };

    Answer ask(Range r, DWORD flags, std::size_t capacity)
    {
        std::vector<void*> found(capacity);
        ULONG_PTR count = capacity;
        ULONG granularity = 0xdead;
        Answer answer;
        answer.success =
            GetWriteWatch(flags, at(r.first), bytes(r), found.data(), &count, &granularity) == 0;
        require(answer.success ? granularity == page_size && count <= capacity
                               : granularity == 0xdead && count == capacity,
                "GetWriteWatch's count or granularity");
        for (std::size_t i = 0; answer.success && i < count; ++i)
            answer.pages.push_back(static_cast<std::size_t>(static_cast<char*>(found[i]) - base_) /
                                   page_size);
        return answer;
    }

    void collect(Range r, bool resets, std::size_t capacity)
    {
        Answer answer;
        perform("GetWriteWatch", [&] {
            answer = ask(r, resets ? WRITE_WATCH_FLAG_RESET : 0, capacity);
            return answer.success;
        });
        check(answer, r, resets, capacity);
    }

    void check(const Answer& answer, Range r, bool resets, std::size_t capacity)
    {
        require(answer.success, "GetWriteWatch fails without a fault");
        // A page too many is the safe answer to a fault.
        pages_.check(answer.pages, r, resets, capacity, happened() && !exact_);
    }

    char* at(std::size_t page) const { return base_ + page * page_size; }
    static std::size_t bytes(Range r) { return (r.end - r.first) * page_size; }

    char* base_ = nullptr;
    Expected pages_{page_count};
    bool exact_ = false;
};

// Memory that is not watched needs no backend.
std::string without_watches()
{
    void* const plain = VirtualAlloc(nullptr, page_size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (plain == nullptr || VirtualFree(plain, 0, MEM_RELEASE) == FALSE)
        return "without a backend, VirtualAlloc fails for memory that is not watched";
    if (VirtualAlloc(nullptr, page_size, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE) != nullptr)
        return "without a backend, memory is watched";
    return GetLastError() == error_not_supported ? "" : "another error than the first time";
}

// What is left after a first life, and after one without a fault that made up for what it
// prevented, is the library's own; a third may add nothing.
std::string scenario()
{
    try {
        Program().run();
        Program().run();
        const Resources before = Resources::now();
        Program().run();
        const Resources after = Resources::now();
        require(after.descriptors == before.descriptors, "file descriptors are left open");
        require(after.mappings <= before.mappings, "mappings are left behind");
    } catch (const Problem& problem) {
        return problem.what;
    } catch (const Unavailable&) {
        return without_watches();
    }
    return {};
}

} // namespace

int main(int argc, char** argv)
{
    if (argc > 1) {
        std::printf("usage: %s\n\nInjects every fault, or the one that WRITEWATCH_FAULT names.\n",
                    argv[0]);
        return std::strcmp(argv[1], "--help") == 0 ? 0 : 64;
    }
    return run_with_every_fault("faults-win32", scenario);
}
