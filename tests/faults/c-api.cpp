// SPDX-License-Identifier: LGPL-2.1-or-later
// The same for the C API, on private and on shared memory.
#include "tests/faults/expected.h"
#include "tests/faults/injector.h"

#include <writewatch/writewatch.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using namespace writewatch::faults;

namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t page_count = 1200; // every second one written: more than one batch

class Program {
  public:
    enum class Memory { is_private, is_shared };

    Program(ww_tracker* tracker, Memory memory) : tracker_(tracker), memory_(memory)
    {
        int file = -1;
        if (memory == Memory::is_shared) {
            file = memfd_create("faults", MFD_CLOEXEC);
            require(file >= 0 && ftruncate(file, page_count * page_size) == 0, "no memfd");
        }
        void* const mapped =
            mmap(nullptr, bytes(everything), PROT_READ | PROT_WRITE,
                 memory == Memory::is_shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0);
        require(mapped != MAP_FAILED, "no memory");
        base_ = static_cast<char*>(mapped);
        if (file >= 0)
            close(file);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() { munmap(base_, bytes(everything)); }

    void run()
    {
        write({0, 300}, 3); // before it is watched: does not count
        perform("ww_watch", [&] { return ww_watch(tracker_, base_, bytes(everything), 0); });
        watched_ = true;
        pages_ = Expected(page_count);
        write(everything, 2);
        collect(everything, WW_RESET, page_count);
        write({50, 700}, 3);
        collect(everything, 0, page_count);
        collect_ranges({0, 400}, WW_RESET, 20);
        latch({300, 600});
        drop({400, 500});
        collect(everything, WW_RESET, page_count);
        write(everything, 7);
        reset({0, 900});
        collect(everything, WW_RESET, page_count);
        if (memory_ == Memory::is_private)
            replace({100, 200});
        write({90, 210}, 1);
        collect(everything, WW_RESET, page_count);

        lift();
        reset(everything);
        exact_ = true;
        write(everything, 5);
        collect(everything, WW_RESET, page_count);
        collect(everything, WW_RESET, page_count);
        perform("ww_unwatch", [&] { return ww_unwatch(tracker_, base_, bytes(everything)); });
    }

  private:
    static constexpr Range everything{0, page_count};

    template<typename Call> void perform(const char* name, Call call)
    {
        if (attempt(call))
            return;
        require(happened(), std::string(name) + " fails without a fault");
        lift();
        if (watched_) {
            write(everything, 1);
            check(ask(everything, 0, page_count), everything, false, page_count);
        }
        require(attempt(call), std::string(name) + " fails again, without a fault");
    }
    template<typename Call> static bool attempt(Call call)
    {
        const InLibrary inside;
        return call() == 0;
    }

    void latch(Range r)
    {
        perform("ww_latch", [&] { return ww_latch(tracker_, at(r.first), bytes(r)); });
        pages_.for_each(r, [](Page& page) { page.latched = page.reported(); });
    }

    void reset(Range r)
    {
        perform("ww_reset", [&] { return ww_reset(tracker_, at(r.first), bytes(r)); });
        pages_.for_each(r, [](Page& page) { page.written = page.latched = false; });
    }

    // Shared memory keeps its contents, and its state with them.
    void drop(Range r)
    {
        require(madvise(at(r.first), bytes(r), MADV_DONTNEED) == 0, "madvise");
        if (memory_ == Memory::is_private)
            pages_.for_each(r, [](Page& page) { page.written = false; });
    }

    void replace(Range r)
    {
        require(mmap(at(r.first), bytes(r), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at(r.first),
                "mmap");
        pages_.for_each(r, [](Page& page) { page.written = false; });
        perform("ww_rearm", [&] { return ww_rearm(tracker_, at(r.first), bytes(r)); });
    }

    void write(Range r, std::size_t step)
    {
        for (std::size_t i = r.first; i < r.end; i += step) {
            *static_cast<volatile char*>(at(i)) = 1;
            pages_[i].written = true;
        }
    }

    struct Answer {
        bool success = false;
        std::vector<std::size_t> pages;
    };

    std::size_t number(std::uintptr_t address) const
    {
        return (address - reinterpret_cast<std::uintptr_t>(base_)) / page_size;
    }

    Answer ask(Range r, unsigned flags, std::size_t capacity)
    {
        std::vector<void*> found(capacity);
        const long count =
            ww_collect(tracker_, at(r.first), bytes(r), flags, found.data(), capacity);
        Answer answer{count >= 0, {}};
        for (long i = 0; i < count; ++i)
            answer.pages.push_back(
                number(reinterpret_cast<std::uintptr_t>(found[static_cast<std::size_t>(i)])));
        return answer;
    }

    void collect(Range r, unsigned flags, std::size_t capacity)
    {
        Answer answer;
        perform("ww_collect", [&] {
            answer = ask(r, flags, capacity);
            return answer.success ? 0 : -1;
        });
        check(answer, r, flags == WW_RESET, capacity);
    }

    void collect_ranges(Range r, unsigned flags, std::size_t capacity)
    {
        std::vector<ww_range> found(capacity);
        long count = 0;
        perform("ww_collect_ranges", [&] {
            count =
                ww_collect_ranges(tracker_, at(r.first), bytes(r), flags, found.data(), capacity);
            return count >= 0 ? 0 : -1;
        });
        Answer answer{true, {}};
        for (const ww_range& run : std::vector<ww_range>(found.begin(), found.begin() + count))
            for (std::uintptr_t page = run.start; page < run.end; page += page_size)
                answer.pages.push_back(number(page));
        // A full array says nothing about what follows its last run.
        const bool full = static_cast<std::size_t>(count) == capacity;
        check(answer, r, flags == WW_RESET, full ? answer.pages.size() : page_count + 1);
    }

    void check(const Answer& answer, Range r, bool resets, std::size_t capacity)
    {
        require(answer.success, "a collection fails without a fault");
        pages_.check(answer.pages, r, resets, capacity, happened() && !exact_);
    }

    char* at(std::size_t page) const { return base_ + page * page_size; }
    static std::size_t bytes(Range r) { return (r.end - r.first) * page_size; }

    ww_tracker* tracker_;
    Memory memory_;
    char* base_ = nullptr;
    Expected pages_{page_count};
    bool watched_ = false;
    bool exact_ = false;
};

ww_tracker* open_tracker()
{
    ww_tracker* tracker = nullptr;
    const auto open = [&] {
        const InLibrary inside;
        return ww_open(nullptr, &tracker);
    };
    if (open() == 0)
        return tracker;
    require(happened() && tracker == nullptr, "ww_open fails without a fault");
    lift();
    require(open() == 0, "ww_open fails again, without a fault");
    return tracker;
}

void live(Program::Memory memory)
{
    ww_tracker* const tracker = open_tracker();
    {
        Program program(tracker, memory);
        program.run();
        const InLibrary inside;
        ww_close(tracker);
    }
}

template<Program::Memory memory> std::string scenario()
{
    try {
        live(memory);
        live(memory); // what a process has once, and the fault prevented
        const Resources before = Resources::now();
        live(memory);
        const Resources after = Resources::now();
        require(after.descriptors == before.descriptors, "file descriptors are left open");
        require(after.mappings <= before.mappings, "mappings are left behind");
    } catch (const Problem& problem) {
        return problem.what;
    }
    return {};
}

} // namespace

int main(int argc, char** argv)
{
    const std::string memory = argc > 1 ? argv[1] : "";
    if (argc != 2 || (memory != "private" && memory != "shared")) {
        std::printf("usage: %s private|shared\n\n"
                    "Injects every fault, or the one that WRITEWATCH_FAULT names.\n",
                    argv[0]);
        return memory == "--help" ? 0 : 64;
    }
    return run_with_every_fault("faults-c-api", memory == "private"
                                                    ? scenario<Program::Memory::is_private>
                                                    : scenario<Program::Memory::is_shared>);
}
